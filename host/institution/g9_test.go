package institution_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host/institution"
	"github.com/tesseras/tesseras/host/internal/bombard"
	"github.com/tesseras/tesseras/sdk"
)

// answering is a resolver that always gives the same text.
type answering string

func (a answering) LookupTXT(context.Context, string) ([]string, error) {
	return []string{string(a)}, nil
}

// TestStrangersRecords (G9): what a domain's TXT record says.
func TestStrangersRecords(t *testing.T) {
	node := sdk.NodeID{7}
	right := institution.Record(node, 1<<40)
	seeds := [][]byte{
		[]byte(right),
		[]byte(right + " later=words node=again"),
		[]byte("v=tesseras1" + strings.Repeat(" a", 100)),
	}
	bombard.Run(t, bombard.Parser{Name: "FuzzRecord", Seeds: seeds, Parse: func(in []byte) { vouches(t, node, in) }})
}

func vouches(t *testing.T, node sdk.NodeID, record []byte) {
	_, err := institution.Lookup(context.Background(), answering(record), "library.example", node)
	if err == nil && !strings.Contains(string(record), node.String()) {
		t.Fatalf("%q vouches for a node it does not name", record)
	}
}

// FuzzRecord takes one TXT record.
func FuzzRecord(f *testing.F) {
	node := sdk.NodeID{7}
	f.Add([]byte(institution.Record(node, 1<<40)))
	f.Fuzz(func(t *testing.T, record []byte) { vouches(t, node, record) })
}
