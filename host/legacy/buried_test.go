package legacy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/internal/crashfs"
	"github.com/tesseras/tesseras/host/sidecar"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

// published is a tessera of somebody, cut 3+2.
type published struct {
	plan   *fragment.FragmentPlan
	shards []bytes.Buffer
}

// Create implements fragment.ShardSink.
func (p *published) Create(i int) (io.WriteCloser, error) { return nopCloser{&p.shards[i]}, nil }

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func someone(t testing.TB) *identity.Identity {
	t.Helper()
	who, err := identity.Generate(0)
	must(t, err)
	return who
}

func publish(t testing.TB, owner *identity.Identity, title string) *published {
	t.Helper()
	list := tessera.FileList{{Path: "a", Hash: digest.Of([]byte(title)), Size: int64(len(title)), ModTime: time.Unix(1, 0)}}
	manifest, err := tessera.Seal(list, title, time.Unix(2, 0), owner.Owner)
	must(t, err)
	content := bytes.Repeat([]byte(title), 200)
	params := fragment.Params{Tier: fragment.Medium, Data: 3, Parity: 2, Chunk: 64, Packed: int64(len(content)), Copies: 1}
	p := &published{shards: make([]bytes.Buffer, params.Total())}
	hashes, err := fragment.Encode(t.Context(), params, bytes.NewReader(content), p)
	must(t, err)
	p.plan, err = fragment.NewPlan(params, hashes, manifest.HeadBytes, manifest.Signature)
	must(t, errors.Join(err, p.plan.Sign(owner.Owner)))
	return p
}

// tree is an old layout of some fragments.
func (p *published) tree(indexes ...int) oldTree {
	tree := oldTree{}
	for _, i := range indexes {
		tree[fmt.Sprintf("%s/%s/%03d%s", FragmentsFolder, p.plan.Tessera, i, ShardExtension)] = p.shards[i].String()
	}
	return tree
}

// plans opens the plans and tombstones of a disk.
func plans(t testing.TB, disk *crashfs.FS) *sidecar.Shelf {
	t.Helper()
	shelf, err := sidecar.Open(disk, sidecar.Plans)
	must(t, err)
	return shelf
}

func tombstone(t testing.TB, id sdk.TesseraID, who *identity.Identity) []byte {
	t.Helper()
	tomb, err := tessera.SignTombstone(id, time.Unix(3, 0), who.Owner)
	must(t, err)
	return tomb.Bytes()
}

// TestOnlyItsOwnerDeletes lays files called like a tombstone beside an old layout: but for that of the
// owner everything comes over.
func TestOnlyItsOwnerDeletes(t *testing.T) {
	owner, me := someone(t), someone(t)
	p := publish(t, owner, "theirs")
	id := p.plan.Tessera
	right := tombstone(t, id, owner)
	for _, c := range []struct {
		name    string
		tomb    []byte
		planned bool
		dead    bool
	}{
		{"empty", nil, true, false},
		{"rotten", append([]byte("x"), right[1:]...), true, false},
		{"too big", make([]byte, sidecar.MaxTombstone+1), true, false},
		{"a stranger's", tombstone(t, id, someone(t)), true, false},
		{"of another tessera", tombstone(t, sdk.TesseraID{1}, owner), true, false},
		{"its owner's", right, true, true},
		{"empty, without a plan", nil, false, false},
		{"its owner's, whom nobody here knows", right, false, false},
		{"my own", tombstone(t, id, me), false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk, rows, tree := crashfs.New(crashfs.Options{}), newRows(t), p.tree(0, 3)
			tree.write(t, disk)
			shelf := plans(t, disk)
			must(t, shelf.Write(id, sidecar.Tombstone, c.tomb))
			if c.planned {
				must(t, shelf.Write(id, sidecar.Plan, p.plan.Bytes()))
			}
			h, err := openHome(disk, rows)
			must(t, err)
			h.Owner = me.Owner.Key()
			r, err := Open(t.Context(), h.Deps, Config{})
			must(t, err)
			if c.dead {
				if _, err := disk.Stat(FragmentsFolder); r.Fragments != 0 || err == nil {
					t.Errorf("of a deleted tessera came %+v", r)
				}
				return
			}
			if r.Fragments != len(tree) {
				t.Errorf("report %+v", r)
			}
			must(t, tree.over(disk, rows))
			rows = newRows(t) // nor does it keep an index that was thrown away from learning of them
			_, err = migrate(disk, rows, Config{})
			must(t, errors.Join(err, tree.over(disk, rows)))
		})
	}
}
