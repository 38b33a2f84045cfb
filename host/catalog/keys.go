package catalog

import (
	"encoding/binary"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

// The first byte of a key says what kind of row it is. ROWS.md describes them all.
const (
	kindMeta        = 'm'
	kindObject      = 'o'
	kindReference   = 'r'
	kindReleased    = 'g'
	kindBlob        = 'b'
	kindFragment    = 'f'
	kindTessera     = 't'
	kindPlan        = 'p'
	kindHolder      = 'h'
	kindHeldBy      = 'k'
	kindLedger      = 'l'
	kindIntent      = 'i'
	kindPeer        = 'n'
	kindDamage      = 'd'
	kindAudit       = 'a'
	kindBadDocument = 'c'
)

// maxName bounds the variable part of a key.
const maxName = 32 << 10

func hashKey(kind byte, h digest.Hash) enc { return append(enc{kind}, h[:]...) }

func tesseraKey(kind byte, t sdk.TesseraID) enc { return append(enc{kind}, t[:]...) }

func nodeKey(kind byte, k sdk.NodeKey) enc { return append(enc{kind}, k[:]...) }

func (e enc) index(i int) enc { return binary.BigEndian.AppendUint32(e, uint32(i)) }

func (d *dec) index() int { return int(binary.BigEndian.Uint32(d.raw(4))) }

func (d *dec) hash() (h digest.Hash) {
	copy(h[:], d.raw(len(h)))
	return h
}

func (d *dec) tessera() (t sdk.TesseraID) {
	copy(t[:], d.raw(len(t)))
	return t
}

func (d *dec) node() (k sdk.NodeKey) {
	copy(k[:], d.raw(len(k)))
	return k
}

func (d *dec) owner() (k sdk.OwnerKey) {
	copy(k[:], d.raw(len(k)))
	return k
}
