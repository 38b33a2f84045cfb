package catalog

import "testing"

// FuzzRows gives arbitrary bytes to every decoder: an error is fine, a panic is not.
func FuzzRows(f *testing.F) {
	c := openMemory(f)
	update(f, c, func(tx *Tx) error {
		must(f, tx.PutTessera(Tessera{ID: id(1), Title: "t", Created: noon}))
		must(f, tx.PutPlan(PlanRow{Tessera: id(1)}))
		must(f, tx.PutHolder(Holder{Tessera: id(1), Key: node(1), Addr: "a", Fragments: []HeldFragment{{Index: 1, Acked: noon, Failed: noon}}}))
		must(f, tx.PutAudit(Audit{Key: node(1), Passed: noon, Open: &OpenChallenge{Since: noon}, Evidence: []Evidence{{Time: noon}}}))
		must(f, tx.PutIntent(Intent{Tessera: id(1), Kind: "k", Data: []byte{1}}))
		must(f, tx.PutBadDocument(BadDocument{Tessera: id(1), Kind: DocPlan, Found: noon, Problem: "p"}))
		must(f, tx.PutPeer(Peer{Key: node(1), Addr: "a", FirstSeen: noon}))
		must(f, tx.AddBlobRef(BlobRef{Tessera: id(1), Memory: hash(1), Name: "n", Hash: hash(1), Size: 1}))
		_, err := tx.AddFragment(FragmentRef{Tessera: id(1), Index: 2, Hash: hash(2), Size: 3, Stored: noon})
		must(f, err)
		_, err = tx.AddLedger(owner(1), 1, 2)
		return err
	})
	view(f, c, func(tx *Tx) error {
		for r, err := range tx.scan(nil, nil) {
			must(f, err)
			f.Add(r.key, r.value)
		}
		return nil
	})
	f.Fuzz(func(_ *testing.T, key, value []byte) {
		r := row{append([]byte{'x'}, key...), value}
		for _, decode := range []func(row) error{
			ignore(decodeTessera), ignore(decodePlan), ignore(decodeHolders), ignore(decodeHeldBy), ignore(decodeIntent),
			ignore(decodePeer), ignore(decodeBlobRef), ignore(decodeFragment), ignore(decodeLedger), ignore(decodeObject),
			ignore(decodeReferrer), ignore(decodeReleased), ignore(decodeDamage), ignore(decodeBooks),
			ignore(decodeAudit), ignore(decodeBadDocument),
		} {
			_ = decode(r)
		}
	})
}

func ignore[T any](decode func(row) (T, error)) func(row) error {
	return func(r row) error {
		_, err := decode(r)
		return err
	}
}
