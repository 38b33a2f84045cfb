package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

func same(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestTesseraRows(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		a := Tessera{ID: id(1), Title: "Grüße %", Created: noon, Files: 3, Bytes: 1 << 40, Packed: 2 << 40, WantPublished: true}
		b := Tessera{ID: id(2), Published: true}
		update(t, c, func(tx *Tx) error {
			must(t, tx.PutTessera(b))
			return tx.PutTessera(a)
		})
		view(t, c, func(tx *Tx) error {
			got, err := tx.Tessera(a.ID)
			must(t, err)
			same(t, got, a)
			list, err := all(tx.Tesseras())
			same(t, list, []Tessera{a, b})
			return err
		})
		update(t, c, func(tx *Tx) error { return tx.DropTessera(a.ID) })
		view(t, c, func(tx *Tx) error {
			_, err := tx.Tessera(a.ID)
			wantError(t, err, ErrNotFound)
			return nil
		})
	})
}

func TestTesseraByPrefix(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		ids := []sdk.TesseraID{{0xab, 0xcd, 0x10}, {0xab, 0xcd, 0x20}, {0xab, 0xce}, {0xff}}
		update(t, c, func(tx *Tx) error {
			for _, id := range ids {
				must(t, tx.PutTessera(Tessera{ID: id}))
			}
			return nil
		})
		find := func(prefix string) (found Tessera, err error) {
			err = c.View(func(tx *Tx) error {
				found, err = tx.TesseraByPrefix(prefix)
				return err
			})
			return found, err
		}
		for prefix, want := range map[string]sdk.TesseraID{
			"abcd1": ids[0], "abcd2": ids[1], "abce": ids[2], "f": ids[3], "ff": ids[3], ids[1].String(): ids[1],
		} {
			got, err := find(prefix)
			if err != nil || got.ID != want {
				t.Errorf("%s: %s, %v", prefix, got.ID.Short(), err)
			}
		}
		for prefix, want := range map[string]error{
			"abcd": ErrAmbiguous, "": ErrAmbiguous, "00": ErrNotFound, "abcd3": ErrNotFound,
			"ABCE": ErrNotFound, "xy": ErrNotFound, strings.Repeat("a", 70): ErrNotFound, "ff00é": ErrNotFound,
		} {
			if _, err := find(prefix); err == nil {
				t.Errorf("%q was found", prefix)
			} else {
				wantError(t, err, want)
			}
		}
	})
}

func TestPlanRows(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		p := PlanRow{Tessera: id(1), Owner: owner(2), Tier: 2, Data: 16, Parity: 8, Copies: 1, ShardSize: 1 << 33, Own: true}
		p.Verified = hash(7)
		q := PlanRow{Tessera: id(3), Owner: owner(4), Tier: 1, Data: 1, Copies: 7, IllSince: time.Unix(9, 5).UTC()}
		surplus := PlanRow{Tessera: id(4), Owner: owner(4), Tier: 2, Data: 16, Parity: 8, Copies: 1, SurplusSince: time.Unix(8, 4).UTC()}
		update(t, c, func(tx *Tx) error {
			must(t, tx.PutPlan(p))
			must(t, tx.PutPlan(surplus))
			return tx.PutPlan(q)
		})
		view(t, c, func(tx *Tx) error {
			got, err := tx.Plan(p.Tessera)
			must(t, err)
			same(t, got, p)
			list, err := all(tx.Plans(sdk.TesseraID{}))
			must(t, err)
			same(t, list, []PlanRow{p, q, surplus})
			list, err = all(tx.Plans(id(2)))
			same(t, list, []PlanRow{q, surplus})
			return err
		})
		update(t, c, func(tx *Tx) error { return tx.DropPlan(p.Tessera) })
		view(t, c, func(tx *Tx) error {
			_, err := tx.Plan(p.Tessera)
			wantError(t, err, ErrNotFound)
			return nil
		})
	})
}

func TestBadDocumentRows(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		journal := BadDocument{Kind: DocJournal, Found: noon, Problem: strings.Repeat("p", maxProblem)}
		manifest := BadDocument{Tessera: id(1), Kind: DocManifest, Found: noon, Problem: "cut"}
		plan := BadDocument{Tessera: id(1), Kind: DocPlan, Found: noon, Problem: "flipped"}
		update(t, c, func(tx *Tx) error {
			must(t, tx.PutBadDocument(plan))
			must(t, tx.PutBadDocument(manifest))
			must(t, tx.PutBadDocument(BadDocument{Kind: DocJournal, Found: noon, Problem: journal.Problem + "too much"}))
			return tx.PutBadDocument(BadDocument{Tessera: id(1), Kind: DocPlan, Found: noon.Add(time.Hour)}) // the first stays
		})
		known := func(want ...BadDocument) {
			t.Helper()
			view(t, c, func(tx *Tx) error {
				list, err := all(tx.BadDocuments())
				same(t, list, want)
				return err
			})
		}
		known(journal, manifest, plan)
		update(t, c, func(tx *Tx) error { return tx.DropPlan(id(1)) })
		known(journal, manifest)
		update(t, c, func(tx *Tx) error { return tx.DropTessera(id(1)) })
		update(t, c, func(tx *Tx) error { return tx.DropBadDocument(sdk.TesseraID{}, DocJournal) })
		known()
	})
}

func TestHolderRows(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		h := Holder{
			Tessera: id(1), Key: node(2), Nonce: 1 << 60, Addr: "127.0.1.2:4433", Owner: owner(3),
			Fragments: []HeldFragment{{Index: 0, Acked: noon}, {Index: 23, Acked: noon, Proven: noon.Add(time.Hour), Failed: noon.Add(2 * time.Hour), Lapsed: noon.Add(3 * time.Hour)}},
			LastSeen:  noon, SilentSince: noon.Add(time.Minute), Failed: time.Time{}, Flaps: 4,
		}
		other := Holder{Tessera: id(1), Key: node(9)}
		elsewhere := Holder{Tessera: id(5), Key: node(2)}
		update(t, c, func(tx *Tx) error {
			for _, h := range []Holder{elsewhere, other, h} {
				must(t, tx.PutHolder(h))
			}
			return nil
		})
		view(t, c, func(tx *Tx) error {
			got, err := tx.Holder(id(1), node(2))
			must(t, err)
			same(t, got, h)
			of, err := all(tx.HoldersOf(id(1)))
			must(t, err)
			same(t, of, []Holder{h, other})
			every, err := all(tx.Holders())
			must(t, err)
			same(t, every, []Holder{h, other, elsewhere})
			by, err := all(tx.HeldBy(node(2)))
			same(t, by, []sdk.TesseraID{id(1), id(5)})
			return err
		})
		update(t, c, func(tx *Tx) error { return tx.DropHolder(id(1), node(2)) })
		view(t, c, func(tx *Tx) error {
			by, err := all(tx.HeldBy(node(2)))
			same(t, by, []sdk.TesseraID{id(5)})
			return err
		})
		wantError(t, c.Update(func(tx *Tx) error {
			return tx.PutHolder(Holder{Fragments: make([]HeldFragment, MaxHeld+1)})
		}), ErrTooBig)
	})
}

func TestLedgerRows(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		add := func(ours, theirs int64) (l LedgerRow, err error) {
			err = c.Update(func(tx *Tx) error {
				l, err = tx.AddLedger(owner(1), ours, theirs)
				return err
			})
			return l, err
		}
		got, err := add(10, 5)
		must(t, err)
		same(t, got, LedgerRow{owner(1), 10, 5})
		got, err = add(-10, 1<<40)
		must(t, err)
		same(t, got, LedgerRow{owner(1), 0, 5 + 1<<40})
		_, err = add(-1, 7)
		wantError(t, err, ErrConflict)
		view(t, c, func(tx *Tx) error {
			rows, err := all(tx.LedgerRows())
			same(t, rows, []LedgerRow{{owner(1), 0, 5 + 1<<40}})
			none, err2 := tx.Ledger(owner(2))
			same(t, none, LedgerRow{Owner: owner(2)})
			must(t, err2)
			return err
		})
	})
}

func TestIntentPeerAndMetaRows(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		i := Intent{Tessera: id(1), Kind: "archive.create", Started: noon, Data: []byte{1, 2}}
		j := Intent{Tessera: id(1), Kind: "archive.delete", Started: noon, Data: []byte{}}
		p := Peer{Key: node(1), Nonce: 3, Addr: "[::1]:4433", Owner: owner(1), FirstSeen: noon, LastSeen: noon.Add(time.Hour), Asked: 7, Answered: 5, Silent: 2}
		update(t, c, func(tx *Tx) error {
			must(t, tx.PutIntent(i))
			must(t, tx.PutIntent(j))
			must(t, tx.PutMeta("cursor", []byte("here")))
			return tx.PutPeer(p)
		})
		view(t, c, func(tx *Tx) error {
			intents, err := all(tx.Intents())
			must(t, err)
			same(t, intents, []Intent{i, j})
			got, err := tx.Intent(id(1), "archive.create")
			must(t, err)
			same(t, got, i)
			peers, err := all(tx.Peers())
			must(t, err)
			same(t, peers, []Peer{p})
			meta, err := tx.Meta("cursor")
			same(t, string(meta), "here")
			return err
		})
		update(t, c, func(tx *Tx) error {
			must(t, tx.DropIntent(id(1), "archive.create"))
			must(t, tx.DropMeta("cursor"))
			return tx.DropPeer(node(1))
		})
		view(t, c, func(tx *Tx) error {
			_, err := tx.Intent(id(1), "archive.create")
			wantError(t, err, ErrNotFound)
			_, err = tx.Meta("cursor")
			wantError(t, err, ErrNotFound)
			_, err = tx.Peer(node(1))
			wantError(t, err, ErrNotFound)
			return nil
		})
	})
}

// TestPeerRowsOfBefore: what was written before peers were counted is still read.
func TestPeerRowsOfBefore(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		p := Peer{Key: node(1), Nonce: 3, Addr: "[::1]:4433", Owner: owner(1), FirstSeen: noon, LastSeen: noon}
		update(t, c, func(tx *Tx) error {
			return tx.set(nodeKey(kindPeer, p.Key), newValue().uint(p.Nonce).text(p.Addr).raw(p.Owner[:]).time(p.FirstSeen).time(p.LastSeen))
		})
		view(t, c, func(tx *Tx) error {
			got, err := tx.Peer(p.Key)
			same(t, got, p)
			return err
		})
	})
}

func TestFragmentRows(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		f := FragmentRef{Tessera: id(1), Index: 0, Hash: hash(1), Size: 9, Stored: noon}
		g := FragmentRef{Tessera: id(1), Index: 300, Hash: hash(2), Size: 9, Stored: noon}
		h := FragmentRef{Tessera: id(2), Index: 7, Hash: hash(1), Size: 9, Stored: noon}
		update(t, c, func(tx *Tx) error {
			for _, f := range []FragmentRef{h, g, f} {
				added, err := tx.AddFragment(f)
				must(t, err)
				same(t, added, true)
			}
			added, err := tx.AddFragment(f)
			same(t, added, false)
			return err
		})
		wantError(t, c.Update(func(tx *Tx) error {
			_, err := tx.AddFragment(FragmentRef{Tessera: id(1), Index: 0, Hash: hash(5), Size: 9})
			return err
		}), ErrConflict)
		view(t, c, func(tx *Tx) error {
			of, err := all(tx.Fragments(id(1)))
			must(t, err)
			same(t, of, []FragmentRef{f, g})
			rest, err := all(tx.AllFragments(f.Key().Next()))
			must(t, err)
			same(t, rest, []FragmentRef{g, h})
			refs, err := all(tx.Referrers(hash(1)))
			must(t, err)
			same(t, refs, []Referrer{{id(1), true, 0}, {id(2), true, 7}})
			n, err := tx.RefCount(hash(1))
			same(t, n, 2)
			o, err2 := tx.Object(hash(1))
			same(t, o, Object{hash(1), 9, noon})
			must(t, err2)
			return err
		})
		update(t, c, func(tx *Tx) error {
			last, err := tx.DropFragment(id(1), 0)
			must(t, err)
			same(t, last, false)
			last, err = tx.DropFragment(id(2), 7)
			must(t, err)
			same(t, last, true)
			_, err = tx.DropFragment(id(2), 7)
			wantError(t, err, ErrNotFound)
			return nil
		})
		view(t, c, func(tx *Tx) error {
			released, err := all(tx.Released(digest.Hash{}))
			same(t, released, []digest.Hash{hash(1)})
			return err
		})
	})
}

func TestObjectOfTwoSizesIsAConflict(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		update(t, c, func(tx *Tx) error {
			return tx.AddBlobRef(BlobRef{Tessera: id(1), Memory: hash(1), Name: "a", Hash: hash(1), Size: 1})
		})
		for _, b := range []BlobRef{
			{Tessera: id(1), Memory: hash(1), Name: "b", Hash: hash(1), Size: 2},
			{Tessera: id(1), Memory: hash(1), Name: "a", Hash: hash(2), Size: 1},
		} {
			wantError(t, c.Update(func(tx *Tx) error { return tx.AddBlobRef(b) }), ErrConflict)
		}
	})
}

func TestBlobRefsBeyondOneTransaction(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		const files = 3000
		names := make([]string, files)
		for i := range names {
			names[i] = fmt.Sprintf("folder/%s-%d", strings.Repeat("n", i%200), i)
		}
		must(t, UpdateEach(c, names, func(tx *Tx, name string) error {
			h := digest.Of([]byte{byte(len(name))})
			return tx.AddBlobRef(BlobRef{Tessera: id(1), Memory: h, Name: name, Hash: h, Size: 1})
		}))
		view(t, c, func(tx *Tx) error {
			refs, err := all(tx.BlobRefs(id(1)))
			same(t, len(refs), files)
			return err
		})
		released := map[digest.Hash]bool{}
		for more := true; more; {
			update(t, c, func(tx *Tx) error {
				gone, again, err := tx.DropBlobRefs(id(1), 1000)
				for _, h := range gone {
					released[h] = true
				}
				more = again
				return err
			})
		}
		view(t, c, func(tx *Tx) error {
			refs, err := all(tx.AllBlobRefs())
			must(t, err)
			same(t, len(refs), 0)
			objects, err := all(tx.Objects(digest.Hash{}))
			must(t, err)
			same(t, len(objects), len(released))
			for _, o := range objects {
				if n, err := tx.RefCount(o.Hash); err != nil || n != 0 || !released[o.Hash] {
					t.Errorf("object %s: %d references, released %v, %v", o.Hash.Short(), n, released[o.Hash], err)
				}
			}
			return nil
		})
	})
}

// TestChangeHolders: some holders of a tessera change at once, and the others stay as they are.
func TestChangeHolders(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		var want []Holder
		for n := range byte(9) {
			want = append(want, Holder{Tessera: id(1), Key: node(n + 1), Addr: "a", Fragments: []HeldFragment{{Index: int(n), Acked: noon}}})
		}
		update(t, c, func(tx *Tx) error {
			for _, h := range want {
				must(t, tx.PutHolder(h))
			}
			return nil
		})
		for _, some := range [][]int{{0}, {8}, {0, 1, 8}, {3, 5}, {}, {0, 1, 2, 3, 4, 5, 6, 7, 8}} {
			var changed []Holder
			for _, at := range some {
				want[at].Flaps++
				want[at].LastSeen, want[at].Fragments = noon.Add(time.Hour), []HeldFragment{{Index: at, Proven: noon}}
				changed = append(changed, want[at])
			}
			update(t, c, func(tx *Tx) error { return tx.ChangeHolders(id(1), changed) })
			view(t, c, func(tx *Tx) error {
				got, err := all(tx.HoldersOf(id(1)))
				same(t, got, want)
				return err
			})
		}
	})
}

// TestHoldersAmong: whichever tesseras are asked for, their holders come, and an Update sees what it changed.
func TestHoldersAmong(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		const many = 200
		update(t, c, func(tx *Tx) error {
			for n := range byte(many) {
				must(t, tx.PutHolder(Holder{Tessera: id(n), Key: node(1)}))
				must(t, tx.PutHolder(Holder{Tessera: id(n), Key: node(2)}))
			}
			return tx.DropHolder(id(many/2), node(1))
		})
		for _, step := range []int{1, 2, 7, 60} {
			var ids []sdk.TesseraID
			for n := 0; n < many+step; n += step { // the last is not there
				ids = append(ids, id(byte(n)))
			}
			update(t, c, func(tx *Tx) error {
				var want [][]Holder
				for _, t0 := range ids {
					of, err := all(tx.HoldersOf(t0))
					must(t, err)
					if len(of) > 0 {
						want = append(want, of)
					}
				}
				got, err := all(tx.HoldersAmong(ids))
				must(t, err)
				same(t, got, want)
				for _, of := range want {
					for i := range of {
						of[i].Flaps += 1 + step
						must(t, tx.ChangeHolder(of[i]))
					}
				}
				got, err = all(tx.HoldersAmong(ids))
				same(t, got, want)
				return err
			})
		}
	})
}

// TestFragmentsAmong: whichever tesseras are asked for, the fragments kept of them come, and none is passed over
// where a page ends.
func TestFragmentsAmong(t *testing.T) {
	inEveryForm(t, func(t *testing.T, c *Catalog) {
		const many = 200
		update(t, c, func(tx *Tx) error {
			for n := range byte(many) {
				for index := range int(n % 5) {
					if _, err := tx.AddFragment(FragmentRef{Tessera: id(n), Index: index, Hash: digest.Hash{n, byte(index)}, Size: 1}); err != nil {
						return err
					}
				}
			}
			return nil
		})
		for _, step := range []int{1, 2, 7, 60} {
			var ids []sdk.TesseraID
			for n := 0; n < many+step; n += step { // the last is not there
				ids = append(ids, id(byte(n)))
			}
			view(t, c, func(tx *Tx) error {
				var want []FragmentRef
				for _, t0 := range ids {
					of, err := all(tx.Fragments(t0))
					must(t, err)
					want = append(want, of...)
				}
				got, err := all(tx.FragmentsAmong(ids))
				same(t, got, want)
				return err
			})
		}
	})
}

// TestCrowdedTessera: a flood of holders does not grow a row beyond what a transaction holds, nothing is written of
// those it has no room for, and those that are known can still change.
func TestCrowdedTessera(t *testing.T) {
	c := openMemory(t)
	key := func(n int) (k sdk.NodeKey) {
		binary.BigEndian.PutUint32(k[:], uint32(n))
		return k
	}
	n := 0
	for err := error(nil); ; n++ {
		err = c.Update(func(tx *Tx) error {
			err := tx.PutHolder(Holder{Tessera: id(1), Key: key(n), Addr: "192.0.2.1:4433"})
			if errors.Is(err, ErrCrowded) {
				must(t, tx.PutMeta("crowded", nil)) // what else the transaction does stays
				return nil
			}
			return err
		})
		must(t, err)
		if c.View(func(tx *Tx) error { _, err := tx.Meta("crowded"); return err }) == nil {
			break
		}
	}
	if n < 1000 {
		t.Errorf("only %d holders", n)
	}
	update(t, c, func(tx *Tx) error {
		_, err := tx.Holder(id(1), key(n))
		wantError(t, err, ErrNotFound)
		h, err := tx.Holder(id(1), key(7))
		must(t, err)
		h.LastSeen, h.SilentSince, h.Failed = noon, noon, noon
		must(t, tx.ChangeHolder(h))
		h.Fragments = make([]HeldFragment, MaxHeld)
		wantError(t, tx.PutHolder(h), ErrCrowded)
		return tx.DropHolder(id(1), key(0))
	})
}
