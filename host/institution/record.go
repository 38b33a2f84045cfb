package institution

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/tesseras/tesseras/sdk"
)

// Resolver looks up TXT records; *net.Resolver is one.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// ErrNotVouched tells that a domain has no record of a node.
var ErrNotVouched = errors.New("the domain does not vouch for this node")

// errDomain tells that a claim names nothing that could be a domain.
var errDomain = errors.New("not a domain name")

const (
	version = "v=tesseras1"
	// maxRecords is how many TXT records of a name are read: an institution has a few nodes.
	maxRecords = 64
)

// RecordName is where a domain's records are looked for.
func RecordName(domain string) string { return "_tesseras." + strings.TrimSuffix(domain, ".") }

// Record is the TXT record by which a domain vouches for a node that pledges so many bytes.
func Record(node sdk.NodeID, pledge uint64) string {
	return fmt.Sprintf("%s node=%s pledge=%d", version, node, pledge)
}

// Lookup asks whether a domain vouches for a node, and how many bytes it pledges for it. A domain
// that answers but has no such record is ErrNotVouched; other errors say nothing about the node.
func Lookup(ctx context.Context, r Resolver, domain string, node sdk.NodeID) (pledge uint64, err error) {
	if !strings.Contains(domain, ".") || len(domain) > 253 || strings.ContainsAny(domain, " \t\r\n\x00/@") {
		return 0, fmt.Errorf("%q: %w", domain, errDomain)
	}
	// The dot at the end keeps the resolver from trying the domains of its own network.
	records, err := r.LookupTXT(ctx, RecordName(domain)+".")
	if err := answered(err); err != nil {
		return 0, fmt.Errorf("%s: %w", domain, err)
	}
	for _, text := range records[:min(len(records), maxRecords)] {
		if id, pledge, ok := parseRecord(text); ok && id == node {
			return pledge, nil
		}
	}
	return 0, fmt.Errorf("%s: %w", domain, ErrNotVouched)
}

// answered leaves an error only where the domain did not answer: that there is no such name is an answer.
func answered(err error) error {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return nil
	}
	return err
}

// parseRecord reads "v=tesseras1 node=<id> pledge=<bytes>". Words it does not know are left for later
// versions of the record.
func parseRecord(text string) (node sdk.NodeID, pledge uint64, ok bool) {
	known, named := false, false
	for word := range strings.FieldsSeq(text) {
		if !known && word != version {
			return node, 0, false
		}
		known = true
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "node":
			id, err := sdk.ParseNodeID(value)
			if err != nil || named {
				return node, 0, false
			}
			node, named = id, true
		case "pledge":
			bytes, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				return node, 0, false
			}
			pledge = bytes
		}
	}
	return node, pledge, named
}
