package localapi

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/sdk"
)

// The values of Health beyond those of package health.
const (
	HealthLocal      = "local"      // here alone, never published
	HealthPublishing = "publishing" // the first publish is under way
)

// The JSON names of these types are what scripts rely on.

// Created is what Create has made.
type Created struct {
	ID        sdk.TesseraID `json:"id"`
	Title     Name          `json:"title"`
	Files     int           `json:"files"`
	SizeBytes int64         `json:"size_bytes"`
	NewBytes  int64         `json:"new_bytes"` // of content that was not here before
}

// Summary is one line of a list.
type Summary struct {
	ID        sdk.TesseraID `json:"id"`
	Title     Name          `json:"title"`
	SizeBytes int64         `json:"size_bytes"` // of the files
	Created   Moment        `json:"created"`
	Health    string        `json:"health"`
}

// Details is all that the documents of a tessera say.
type Details struct {
	Summary
	Owner       sdk.OwnerKey `json:"owner"`
	PackedBytes int64        `json:"packed_bytes"`
	Tier        string       `json:"tier"` // "small", "medium" or "large"
	Entries     []Entry      `json:"entries"`
}

// Entry is a file, or an empty folder.
type Entry struct {
	Path      Name        `json:"path"`
	Folder    bool        `json:"folder"`
	SizeBytes int64       `json:"size_bytes"`
	Modified  Moment      `json:"modified"`
	MediaType string      `json:"media_type"`
	Hash      digest.Hash `json:"hash"`
}

// Deleted is what Delete has done.
type Deleted struct {
	ID         sdk.TesseraID `json:"id"`
	FreedBytes int64         `json:"freed_bytes"`
}

// Verified is what Verify has found.
type Verified struct {
	ID        sdk.TesseraID `json:"id"`
	Files     int           `json:"files"`
	SizeBytes int64         `json:"size_bytes"`
	Damage    []Damage      `json:"damage"`
}

// Damage is one thing that is not as it should be.
type Damage struct {
	Path     Name   `json:"path,omitempty"`     // of a file; "" where it is none
	Fragment *int   `json:"fragment,omitempty"` // index; nil where it is none
	Problem  string `json:"problem"`
}

// Published is how far a publish has come.
type Published struct {
	ID            sdk.TesseraID `json:"id"`
	Tier          string        `json:"tier"`
	Fragments     int           `json:"fragments"` // of the plan; for whole copies, the copies wanted
	Placed        int           `json:"placed"`
	Peers         int           `json:"peers"`
	SurvivesPeers int           `json:"survives_peers"`
	AtTarget      bool          `json:"at_target"`
}

// Source is a holder that served a restore.
type Source struct {
	Node      sdk.NodeID `json:"node"`
	Fragments []int      `json:"fragments"`
}

// Peer is another node.
type Peer struct {
	Node          sdk.NodeID `json:"node"`
	Addr          string     `json:"addr"`
	Subnet        string     `json:"subnet"`
	LastSeen      Moment     `json:"last_seen"`
	Institutional bool       `json:"institutional"`
}

// Account is what we and another owner owe each other, in bytes.
type Account struct {
	Owner               sdk.OwnerKey `json:"owner"`
	BytesStoredForThem  int64        `json:"bytes_stored_for_them"`
	BytesTheyStoreForUs int64        `json:"bytes_they_store_for_us"`
	Balance             int64        `json:"balance"` // theirs for us less ours for them
}

// Audit is whether this node's books follow from the facts, and agree with its peers' books.
type Audit struct {
	Agree     bool          `json:"agree"`
	Wrong     []WrongRow    `json:"wrong"` // rows that do not follow from the fragments and holders
	Peers     []AuditedPeer `json:"peers"`
	Receipts  ReceiptCount  `json:"receipts"`
	Unreached int           `json:"unreached"`
	Unvouched []Unvouched   `json:"unvouched"` // what the receipts in the journal say otherwise
}

// What receipts and books may disagree on.
const (
	UnvouchedCredit = "credited" // the holder has credit for it, and neither gave a receipt for it nor proved it
	UnvouchedKept   = "not_kept" // this node gave a receipt for it, and does not keep it
)

// Unvouched is a fragment that receipts and books disagree on.
type Unvouched struct {
	Tessera sdk.TesseraID `json:"tessera"`
	Index   int           `json:"index"`
	Holder  sdk.NodeID    `json:"holder"`
	Problem string        `json:"problem"`
}

// WrongRow is a row of the ledger beside what it should be, in bytes.
type WrongRow struct {
	Owner        sdk.OwnerKey `json:"owner"`
	HereWritten  int64        `json:"here_written"` // stored here for them
	HereFacts    int64        `json:"here_facts"`
	ThereWritten int64        `json:"there_written"` // stored by them for us
	ThereFacts   int64        `json:"there_facts"`
}

// What an audit finds out about a peer.
const (
	AuditAgrees    = "agrees"
	AuditLess      = "less" // somebody keeps less than the other counts on
	AuditMore      = "more" // somebody keeps more than the other knows of
	AuditUnreached = "unreached"
)

// AuditedPeer is both sides' view of what two nodes keep for each other, in bytes.
type AuditedPeer struct {
	Node         sdk.NodeID   `json:"node"`
	Owner        sdk.OwnerKey `json:"owner"`
	Verdict      string       `json:"verdict"`
	WeKeep       int64        `json:"we_keep"`
	TheySayWe    int64        `json:"they_say_we_keep"`
	TheyKeep     int64        `json:"they_keep"`
	WeSayTheyDo  int64        `json:"we_say_they_keep"`
	WhyUnreached string       `json:"why,omitempty"`
}

// ReceiptCount counts the signed receipts in the journal.
type ReceiptCount struct {
	Given int64 `json:"given"` // by this node
	Taken int64 `json:"taken"` // from holders
	Bad   int64 `json:"bad"`   // whose signature does not hold, or that cannot be read
}

// Status is how one tessera stands.
type Status struct {
	ID        sdk.TesseraID   `json:"id"`
	Title     Name            `json:"title"`
	Tier      string          `json:"tier"`
	Health    string          `json:"health"`
	Deficit   int             `json:"deficit"`
	SizeBytes int64           `json:"size_bytes"`
	Created   Moment          `json:"created"`
	Fragments FragmentCount   `json:"fragments"`
	Holders   []Holder        `json:"holders"`
	Survives  health.Survives `json:"survives"`
	Damage    []Damage        `json:"damage"`
	Notes     []string        `json:"notes"` // what else a person should know, in sentences
}

// FragmentCount counts the fragments (copies) of a tessera.
type FragmentCount struct {
	Data   int `json:"data"`  // that suffice to restore it
	Total  int `json:"total"` // that are wanted
	Held   int `json:"held"`
	Proven int `json:"proven"`
}

// Holder is a peer that holds, or held, fragments.
type Holder struct {
	Node       sdk.NodeID `json:"node"`
	Addr       string     `json:"addr"`
	Fragments  []int      `json:"fragments"`
	LastProven Moment     `json:"last_proven"`
	Failed     bool       `json:"failed"` // it is silent, or failed a proof
	Self       bool       `json:"self"`   // it is this node, which proves nothing to itself
	Note       string     `json:"note"`   // why it does not count, or not for all; "" where it does
}

// NodeStatus is how the node stands.
type NodeStatus struct {
	Node          sdk.NodeID `json:"node"`
	Addr          string     `json:"addr"` // "" while no daemon runs
	Peers         int        `json:"peers"`
	Tesseras      int        `json:"tesseras"`
	FragmentsHeld int        `json:"fragments_held"`
	BytesHeld     int64      `json:"bytes_held"`
	FreeBytes     int64      `json:"free_bytes"`

	Unplanned      []Unplanned    `json:"unplanned"` // the first MaxUnplanned of them, by ascending id
	UnplannedTotal UnplannedTotal `json:"unplanned_total"`
}

// The most that is listed of what is unplanned: tesseras, and fragments of each.
const (
	MaxUnplanned          = 100
	MaxUnplannedFragments = 256 // no plan has more
)

// Unplanned is what is kept here of a tessera while nothing here says how it goes together: fragments
// without their plan, files without their manifest. They came from the layout before this one, or the
// document was lost.
type Unplanned struct {
	ID        sdk.TesseraID `json:"id"`
	Fragments []int         `json:"fragments"` // indexes, ascending
	Files     int           `json:"files"`
	SizeBytes int64         `json:"size_bytes"` // of fragments and files
}

// UnplannedTotal sums up what is unplanned, also what is not listed.
type UnplannedTotal struct {
	Tesseras  int   `json:"tesseras"`
	Fragments int   `json:"fragments"`
	Files     int   `json:"files"`
	SizeBytes int64 `json:"size_bytes"`
}

// Identity is who the node is.
type Identity struct {
	Node  sdk.NodeID   `json:"node"`
	Addr  string       `json:"addr"` // "" while no daemon runs
	Owner sdk.OwnerKey `json:"owner"`
}

// RepairStep is what a repair would do for one tessera.
type RepairStep struct {
	ID            sdk.TesseraID `json:"id"`
	Title         Name          `json:"title"`
	Health        string        `json:"health"`
	Deficit       int           `json:"deficit"`
	SurvivesPeers int           `json:"survives_peers"`
	Fragments     []int         `json:"fragments"` // that lack holders
	Action        string        `json:"action"`    // in words
	Why           string        `json:"why"`
}

// RepairReport is what a repair has done.
type RepairReport struct {
	Checked          int       `json:"checked"`
	Healthy          int       `json:"healthy"`
	Repaired         int       `json:"repaired"`
	RebuiltFragments int       `json:"rebuilt_fragments"`
	Failed           int       `json:"failed"`
	CorruptHealed    int       `json:"corrupt_healed"`
	Failures         []Failure `json:"failures"`
}

// Failure is a tessera that could not be repaired now.
type Failure struct {
	ID  sdk.TesseraID `json:"id"`
	Why string        `json:"why"`
}

// Name is what a person called something: bytes, which need not be text.
type Name string

// MarshalText keeps text as it is and writes each byte that is none as %XX.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.spell(nil)), nil }

// Printable is the name on a terminal: control characters, which could move the cursor or worse, are
// written as %XX too.
func (n Name) Printable() string {
	return n.spell(func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || isBidi(r) })
}

// isBidi tells the characters that turn the direction of writing, and so can disguise a name.
func isBidi(r rune) bool { return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 }

func (n Name) spell(escape func(rune) bool) string {
	var b strings.Builder
	for rest := string(n); rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		if r == utf8.RuneError && size == 1 || escape != nil && escape(r) {
			for _, c := range []byte(rest[:size]) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		} else {
			b.WriteString(rest[:size])
		}
		rest = rest[size:]
	}
	return b.String()
}

// Moment is a time that may be missing; then it is null in JSON.
type Moment struct{ time.Time }

// MarshalJSON gives the time in UTC as RFC 3339 has it, or null.
func (m Moment) MarshalJSON() ([]byte, error) {
	if m.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(m.text())
}

func parseMoment(text string) (m Moment, err error) {
	if text != "" {
		m.Time, err = time.Parse(time.RFC3339Nano, text)
	}
	return m, err
}

func (m Moment) text() string {
	if m.IsZero() {
		return ""
	}
	return m.UTC().Format(time.RFC3339Nano)
}
