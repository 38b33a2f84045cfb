package policytest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tesseras/tesseras/sdk"
)

// Golden is a question with the answer a policy has to give: a file NAME.json in a folder of cases.
type Golden struct {
	Name    string          `json:"-"`
	About   string          `json:"about,omitempty"` // what the case shows, in a sentence
	Role    sdk.Role        `json:"role"`
	Request json.RawMessage `json:"request"` // by the names of policy.proto; bytes in hexadecimal
	Want    json.RawMessage `json:"want,omitempty"`
}

// ErrGolden tells that a file is no golden case.
var ErrGolden = errors.New("not a golden case")

// ReadGolden reads the cases of a folder, by name.
func ReadGolden(dir string) ([]Golden, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("read cases of %s: %w", dir, fs.ErrNotExist)
	}
	slices.Sort(names)
	out := make([]Golden, len(names))
	for i, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&out[i]); err != nil {
			return nil, fmt.Errorf("read case %s: %w: %w", name, ErrGolden, err)
		}
		out[i].Name = strings.TrimSuffix(filepath.Base(name), ".json")
	}
	return out, nil
}

// Write keeps the case in a folder.
func (g Golden) Write(dir string) error {
	text, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, g.Name+".json"), append(text, '\n'), 0o644)
}

// NewGolden makes a case of a question, without an answer.
func NewGolden(name, about string, role sdk.Role, request any) (Golden, error) {
	text, err := plain(request)
	return Golden{Name: name, About: about, Role: role, Request: text}, err
}

// Answer asks the policy the case's question and returns the case with the answer it gave, and what is
// wrong with that: another answer than is wanted, or one that breaks the rules. A case that wants
// nothing yet takes any answer that keeps the rules.
func (g Golden) Answer(s Subject) (answered Golden, problem, err error) {
	question, answer := messages(g.Role)
	if question == nil {
		return g, nil, fmt.Errorf("case %s: %w: role %q", g.Name, ErrGolden, g.Role)
	}
	if err := fromPlain(g.Request, question); err != nil {
		return g, nil, fmt.Errorf("case %s: %w: request: %w", g.Name, ErrGolden, err)
	}
	request, err := question.MarshalVT()
	if err != nil {
		return g, nil, fmt.Errorf("case %s: %w", g.Name, err)
	}
	check := s.Check
	if check == nil {
		check = Rules
	}
	response, err := s.Ask(g.Role, request)
	if err != nil {
		return g, err, nil
	}
	if err := answer.UnmarshalVT(response); err != nil {
		return g, fmt.Errorf("the answer is none: %w", err), nil
	}
	answered = g
	if answered.Want, err = plain(answer); err != nil {
		return g, nil, err
	}
	if err := check(g.Role, guards(question), request, response); err != nil {
		return answered, err, nil
	}
	problem, err = g.compare(answer, answered.Want)
	return answered, problem, err
}

// compare holds an answer against what is wanted, whichever of the ways protobuf has it is encoded in.
func (g Golden) compare(answer message, got json.RawMessage) (problem, err error) {
	if len(g.Want) == 0 {
		return nil, nil
	}
	_, wanted := messages(g.Role)
	if err := fromPlain(g.Want, wanted); err != nil {
		return nil, fmt.Errorf("case %s: %w: want: %w", g.Name, ErrGolden, err)
	}
	a, errA := answer.MarshalVT()
	b, errB := wanted.MarshalVT()
	if err := errors.Join(errA, errB); err != nil {
		return nil, fmt.Errorf("case %s: %w", g.Name, err)
	}
	if bytes.Equal(a, b) {
		return nil, nil
	}
	want, err := plain(wanted)
	if err != nil {
		return nil, err
	}
	return fmt.Errorf("another answer: %s", firstDifference(want, got)), nil
}

// firstDifference is the first line in which two texts differ.
func firstDifference(want, got []byte) string {
	w, g := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	for i := range max(len(w), len(g)) {
		a, b := "nothing more", "nothing more"
		if i < len(w) {
			a = strings.TrimSpace(w[i])
		}
		if i < len(g) {
			b = strings.TrimSpace(g[i])
		}
		if a != b {
			return fmt.Sprintf("want %s, got %s", a, b)
		}
	}
	return "other bytes for the same fields"
}

// message can cross the border both ways.
type message interface {
	encodable
	decodable
}

// messages makes the empty question and answer of a role; nil where there is no such role.
func messages(role sdk.Role) (question, answer message) {
	switch role {
	case sdk.RolePlacement:
		return &sdk.PlaceRequest{}, &sdk.PlaceResponse{}
	case sdk.RoleReciprocity:
		return &sdk.AdmitRequest{}, &sdk.AdmitResponse{}
	case sdk.RoleRepair:
		return &sdk.RepairRequest{}, &sdk.RepairResponse{}
	}
	return nil, nil
}

// guards tells whether a question is put to guards.
func guards(question message) bool {
	q, ok := question.(interface{ GetGuarding() bool })
	return ok && q.GetGuarding()
}
