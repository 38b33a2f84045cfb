package fragment

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// MaxPlan is the size of the largest plan file in bytes.
const MaxPlan = 64 << 10

// What callers decide on when a plan is not good.
var (
	// ErrPlan tells that bytes are not a plan, or not in the one spelling there is.
	ErrPlan = errors.New("malformed plan")
	// ErrSignature tells that the key named in the head did not sign the head or the plan.
	ErrSignature = tessera.ErrSignature
)

// Signer is what signing a plan needs of an owner.
type Signer interface {
	Key() sdk.OwnerKey
	Sign(message []byte) []byte
}

// FragmentPlan says how a tessera was cut into fragments and what each of them hashes to. It embeds
// the head and is signed by the key that the head names, so nobody else can make a plan for its id.
// It is a pure function of the tessera. Nobody changes one after it was signed or verified.
type FragmentPlan struct {
	Tessera sdk.TesseraID
	Params
	Fragments     []digest.Hash // by index
	HeadBytes     []byte        // the head as its owner signed it
	HeadSignature [ed25519.SignatureSize]byte
	Signature     [ed25519.SignatureSize]byte // over all lines before it
}

// NewPlan makes an unsigned plan of the fragments' checksums for the tessera of the given head.
func NewPlan(p Params, fragments []digest.Hash, head, headSignature []byte) (*FragmentPlan, error) {
	if len(headSignature) != ed25519.SignatureSize {
		return nil, fmt.Errorf("plan: head: %w", ErrSignature)
	}
	plan := &FragmentPlan{
		Tessera:       sdk.TesseraID(digest.Of(head)),
		Params:        p,
		Fragments:     slices.Clone(fragments),
		HeadBytes:     bytes.Clone(head),
		HeadSignature: [ed25519.SignatureSize]byte(headSignature),
	}
	if err := plan.check(); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	return plan, nil
}

// Sign signs the plan. The owner must be the one whose key the head names.
func (p *FragmentPlan) Sign(owner Signer) error {
	copy(p.Signature[:], owner.Sign(p.signed()))
	if err := p.Verify(); err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	return nil
}

// Verify tells whether the owner named in the embedded head signed that head and this plan, whether
// the id is that of the head, and whether the numbers fit each other.
func (p *FragmentPlan) Verify() error {
	if err := p.check(); err != nil {
		return fmt.Errorf("plan %s: %w", p.Tessera.Short(), err)
	}
	head, err := tessera.VerifyHead(p.HeadBytes, p.HeadSignature[:])
	if err != nil {
		return fmt.Errorf("plan %s: %w", p.Tessera.Short(), err)
	}
	if !ed25519.Verify(head.Owner[:], p.signed(), p.Signature[:]) {
		return fmt.Errorf("plan %s: %w", p.Tessera.Short(), ErrSignature)
	}
	return nil
}

// check is Verify without the signatures.
func (p *FragmentPlan) check() error {
	if _, err := tessera.ParseHead(p.HeadBytes); err != nil {
		return fmt.Errorf("%w: %w", ErrPlan, err)
	}
	if id := sdk.TesseraID(digest.Of(p.HeadBytes)); id != p.Tessera {
		return fmt.Errorf("%w: its head is that of tessera %s", ErrPlan, id.Short())
	}
	if err := p.Params.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrPlan, err)
	}
	if len(p.Fragments) != p.Total() {
		return fmt.Errorf("%w: %d fragments, not %d", ErrPlan, len(p.Fragments), p.Total())
	}
	return nil
}

// Head is what the embedded head says.
func (p *FragmentPlan) Head() (tessera.Head, error) { return tessera.ParseHead(p.HeadBytes) }

// ID names the fragment of the given index.
func (p *FragmentPlan) ID(index int) FragmentID {
	return FragmentID{Tessera: p.Tessera, Index: index, Shards: p.Total(), Checksum: p.Fragments[index]}
}

// Envelope puts a fragment together with what its receiver needs.
func (p *FragmentPlan) Envelope(index int, body io.Reader) FragmentEnvelope {
	return FragmentEnvelope{ID: p.ID(index), Size: p.ShardSize(), Plan: p.Bytes(), Body: body}
}

// The first line, and the values of the code line.
const (
	planVersion = "tesseras plan 1\n"
	codeCopy    = "copy"
	codeRS      = "reed-solomon gf256 0x11d parity[r][c]=1/(r^c)"
)

// Bytes gives the plan file, the one spelling of the plan. The caller owns it.
func (p *FragmentPlan) Bytes() []byte {
	return appendLine(p.signed(), "signature", "ed25519 "+hex.EncodeToString(p.Signature[:]))
}

// signed gives the lines that the signature is over.
func (p *FragmentPlan) signed() []byte {
	b := append(make([]byte, 0, 1024+80*len(p.Fragments)+2*len(p.HeadBytes)), planVersion...)
	b = appendLine(b, "tessera", p.Tessera.String())
	b = appendLine(b, "tier", tierName(p.Tier))
	b = appendLine(b, "code", p.code())
	b = p.appendNumbers(b)
	b = appendFragments(b, p.Fragments)
	for line := range bytes.Lines(p.HeadBytes) {
		b = appendLine(b, "head", string(bytes.TrimSuffix(line, []byte{'\n'})))
	}
	return appendLine(b, "head-signature", "ed25519 "+hex.EncodeToString(p.HeadSignature[:]))
}

func (p Params) code() string {
	if p.Tier == Small {
		return codeCopy
	}
	return codeRS
}

func (p Params) appendNumbers(b []byte) []byte {
	b = appendNumber(b, "data", int64(p.Data))
	b = appendNumber(b, "parity", int64(p.Parity))
	b = appendNumber(b, "chunk", int64(p.Chunk))
	b = appendNumber(b, "packed", p.Packed)
	b = appendNumber(b, "shard", p.ShardSize())
	return appendNumber(b, "copies", int64(p.Copies))
}

func appendFragments(b []byte, fragments []digest.Hash) []byte {
	for i, hash := range fragments {
		b = appendLine(b, "fragment", strconv.Itoa(i)+" "+hash.String())
	}
	return b
}

func appendNumber(b []byte, name string, n int64) []byte {
	return appendLine(b, name, strconv.FormatInt(n, 10))
}

func appendLine(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, '\n')
}

// tierName is how documents spell a tier.
func tierName(t FragmentationTier) string {
	switch t {
	case Small:
		return "small"
	case Medium:
		return "medium"
	}
	return "large"
}
