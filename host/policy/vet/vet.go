// Package vet answers: may a policy that comes from outside be taken into use, with these settings,
// and which of its words do we log?
//
// It is what the runtimes for WASM modules and for programs have in common: whatever runs a policy,
// it has to describe itself, takes the operator's settings as text, and may fill a log only so far.
package vet

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/tesseras/tesseras/sdk"
)

var (
	// ErrDescription tells that a policy does not say, or not in a usable way, what it is.
	ErrDescription = errors.New("the policy does not describe itself")
	// ErrSettings tells that the operator's settings do not suit the policy. Errors of this kind are *SettingError.
	ErrSettings = errors.New("settings of the policy")
)

// What a description may have.
const (
	longestDescription = 64 << 10 // bytes
	longestName        = 100
	mostKeys           = 256
)

// Description decodes what a policy says about itself. The error is an ErrDescription.
func Description(encoded []byte) (*sdk.Description, error) {
	if len(encoded) > longestDescription {
		return nil, undescribed("%d bytes, at most %d are read", len(encoded), longestDescription)
	}
	d := &sdk.Description{}
	if err := d.UnmarshalVT(encoded); err != nil {
		return nil, undescribed("%v", err)
	}
	switch {
	case !readable(d.Name):
		return nil, undescribed("its name %q is not 1 to %d printable characters", Clean(d.Name, longestName), longestName)
	case !readable(d.Version):
		return nil, undescribed("its version %q is not 1 to %d printable characters", Clean(d.Version, longestName), longestName)
	case !d.Places && !d.Admits && !d.Repairs:
		return nil, undescribed("it answers none of the three questions")
	case !d.Guard && !d.Decider:
		return nil, undescribed("it is neither guard nor decider")
	case len(d.Config) > mostKeys:
		return nil, undescribed("%d settings, at most %d are read", len(d.Config), mostKeys)
	}
	seen := map[string]bool{}
	for _, k := range d.Config {
		if !readable(k.GetKey()) || seen[k.GetKey()] {
			return nil, undescribed("the setting %q is not printable, or is described twice", Clean(k.GetKey(), longestName))
		}
		if !kinds[k.GetKind()] {
			return nil, undescribed("the setting %q is of the kind %q, not one of %s", k.GetKey(), Clean(k.GetKind(), longestName), kindNames)
		}
		seen[k.GetKey()] = true
	}
	return d, nil
}

func undescribed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDescription, fmt.Sprintf(format, args...))
}

// readable tells whether a word can stand in a log, a label and a table.
func readable(s string) bool {
	if s == "" || len(s) > longestName || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// Plays tells whether the policy says that it answers the question of a role.
func Plays(d *sdk.Description, role sdk.Role) bool {
	switch role {
	case sdk.RolePlacement:
		return d.GetPlaces()
	case sdk.RoleReciprocity:
		return d.GetAdmits()
	case sdk.RoleRepair:
		return d.GetRepairs()
	}
	return false
}
