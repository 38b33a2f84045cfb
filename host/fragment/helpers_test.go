package fragment

import (
	"bytes"
	"crypto/ed25519"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// No test of this package may leave a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func randomBytes(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// testOwner signs with a key made from a known seed.
type testOwner struct{ key ed25519.PrivateKey }

func newOwner(seed byte) testOwner {
	return testOwner{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))}
}

func (o testOwner) Key() sdk.OwnerKey      { return sdk.OwnerKey(o.key.Public().(ed25519.PublicKey)) }
func (o testOwner) Sign(msg []byte) []byte { return ed25519.Sign(o.key, msg) }

// signedHead is the head of an empty tessera.
func signedHead(owner testOwner, title string) (head, signature []byte) {
	list := []byte("tesseras files 1\n")
	head = tessera.Head{
		Owner:    owner.Key(),
		Title:    title,
		Created:  time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		List:     digest.Of(list),
		ListSize: int64(len(list)),
	}.Encode()
	return head, owner.Sign(head)
}

// signedPlan is the plan of the given shards.
func signedPlan(t testing.TB, p Params, fragments []digest.Hash, title string) *FragmentPlan {
	t.Helper()
	owner := newOwner(1)
	head, signature := signedHead(owner, title)
	plan, err := NewPlan(p, fragments, head, signature)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Sign(owner); err != nil {
		t.Fatal(err)
	}
	return plan
}

// memory is a Sink that keeps shards in memory.
type memory struct {
	mu     sync.Mutex // guards shards and open
	shards map[int]*bytes.Buffer
	open   int // writers not closed
}

func newMemory() *memory { return &memory{shards: map[int]*bytes.Buffer{}} }

func (m *memory) Create(index int) (io.WriteCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shards[index] = &bytes.Buffer{}
	m.open++
	return &memoryShard{m.shards[index], m}, nil
}

type memoryShard struct {
	*bytes.Buffer
	m *memory
}

func (s *memoryShard) Close() error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.open--
	return nil
}

// readers are readers of the shards of the given indices.
func readers(shards [][]byte, indices ...int) map[int]io.Reader {
	out := map[int]io.Reader{}
	for _, i := range indices {
		out[i] = bytes.NewReader(shards[i])
	}
	return out
}

// encoded is packed with its shards and its plan.
func encoded(t testing.TB, p Params, packed []byte) (shards [][]byte, plan *FragmentPlan) {
	t.Helper()
	m := newMemory()
	hashes, err := Encode(t.Context(), p, bytes.NewReader(packed), m)
	if err != nil {
		t.Fatal(err)
	}
	if m.open != 0 {
		t.Fatalf("%d shards were not closed", m.open)
	}
	for i := range p.Total() {
		shards = append(shards, m.shards[i].Bytes())
	}
	return shards, signedPlan(t, p, hashes, "a test")
}

// subsets calls f with every choice of k of n, ascending.
func subsets(n, k int, f func(chosen []int)) {
	var choose func(from int, chosen []int)
	choose = func(from int, chosen []int) {
		if len(chosen) == k {
			f(chosen)
			return
		}
		for i := from; i < n; i++ {
			choose(i+1, append(chosen[:len(chosen):len(chosen)], i))
		}
	}
	choose(0, nil)
}

// without is 0 ... n-1 but for some.
func without(n int, lost ...int) []int {
	var out []int
next:
	for i := range n {
		for _, l := range lost {
			if i == l {
				continue next
			}
		}
		out = append(out, i)
	}
	return out
}
