// Package identity answers: who am I, and is this peer who it says it is?
//
// Two Ed25519 keys make an identity. The owner key stands for a person or an institution and may own
// several nodes; the node key is one machine's, and the one its TLS certificate carries. The owner
// signs the node's key (the delegation). A node's id is the BLAKE3 of its key and a nonce, and costs
// some work to make: the id must begin with a number of zero bits that every verifier demands.
package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The names of the key files in an identity's folder.
const (
	OwnerFile = "owner.key"
	NodeFile  = "node.key"
)

// ErrOwnerMissing tells that a folder has a node key but no owner key. A new owner is not made up
// in its place: everything that the old one signed would be lost to it.
var ErrOwnerMissing = errors.New("the node key is there, but the owner key is missing")

// Identity is a node and the owner it belongs to.
type Identity struct {
	Owner *Owner
	Node  *Node
	// Delegation is the owner's signature over the node's key, 64 bytes.
	Delegation []byte
}

// Load reads the identity in dir. A missing key file is fs.ErrNotExist, one that others may read is
// ErrKeyExposed. The node's proof of work has powBits leading zero bits and is searched again, which
// takes 2^powBits hashes on average and always finds the same nonce.
func Load(dir string, powBits int) (*Identity, error) {
	owner, err := readKey(filepath.Join(dir, OwnerFile))
	if err != nil {
		return nil, fmt.Errorf("load owner key: %w", err)
	}
	node, err := readKey(filepath.Join(dir, NodeFile))
	if err != nil {
		return nil, fmt.Errorf("load node key: %w", err)
	}
	return assemble(owner, node, powBits)
}

// Create makes a new identity and keeps its keys in dir, which it makes with mode 0700 where it is
// missing. Existing keys are never overwritten: they are fs.ErrExist.
func Create(dir string, powBits int) (*Identity, error) {
	for _, name := range []string{OwnerFile, NodeFile} {
		if exists(filepath.Join(dir, name)) {
			return nil, fmt.Errorf("create %s: %w", filepath.Join(dir, name), fs.ErrExist)
		}
	}
	return LoadOrCreate(dir, powBits)
}

// LoadOrCreate reads the identity in dir and makes what is missing of it: both keys on a first start,
// the node key alone when an owner key was brought to a new machine. A node key without its owner's
// is ErrOwnerMissing. A new key is on stable storage before this returns.
func LoadOrCreate(dir string, powBits int) (*Identity, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create identity: %w", err)
	}
	owner, node := filepath.Join(dir, OwnerFile), filepath.Join(dir, NodeFile)
	if exists(node) && !exists(owner) {
		return nil, fmt.Errorf("load identity in %s: %w", dir, ErrOwnerMissing)
	}
	for _, path := range []string{owner, node} { // the owner first: see ErrOwnerMissing
		if err := createKeyIfMissing(path); err != nil {
			return nil, fmt.Errorf("create identity: %w", err)
		}
	}
	return Load(dir, powBits)
}

// Generate makes an identity that lives in memory only.
func Generate(powBits int) (*Identity, error) {
	owner, err := newKey()
	if err != nil {
		return nil, err
	}
	node, err := newKey()
	if err != nil {
		return nil, err
	}
	return assemble(owner, node, powBits)
}

func assemble(owner, node secret, powBits int) (*Identity, error) {
	o := &Owner{secret: owner}
	n := &Node{secret: node}
	nonce, err := searchNonce(n.Key(), powBits)
	if err != nil {
		return nil, err
	}
	n.nonce = nonce
	return &Identity{Owner: o, Node: n, Delegation: o.Delegate(n.Key())}, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
