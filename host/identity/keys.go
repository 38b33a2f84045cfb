package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log/slog"

	"github.com/tesseras/tesseras/host/digest"
	"github.com/tesseras/tesseras/sdk"
)

// redacted is what a private key shows of itself, whatever it is printed with.
const redacted = "[private key]"

// secret is a private key that cannot be compared and never prints itself.
type secret struct {
	_   [0]func()
	key ed25519.PrivateKey
}

// Owner is the private key of a person or an institution.
type Owner struct{ secret }

// Node is the private key of one machine, and the work that was done for its id.
type Node struct {
	secret
	nonce uint64
}

// Key is the owner's public key.
func (o *Owner) Key() sdk.OwnerKey { return sdk.OwnerKey(o.public()) }

// Delegate signs a node's key: the owner vouches for that node.
func (o *Owner) Delegate(node sdk.NodeKey) []byte { return o.Sign(delegationText(node)) }

// Key is the node's public key.
func (n *Node) Key() sdk.NodeKey { return sdk.NodeKey(n.public()) }

// Nonce is the proof of work that makes the id valid.
func (n *Node) Nonce() uint64 { return n.nonce }

// ID is the node's position in the network.
func (n *Node) ID() sdk.NodeID { return NodeIDOf(n.Key(), n.nonce) }

// Sign signs msg with Ed25519; 64 bytes.
func (s *secret) Sign(msg []byte) []byte { return ed25519.Sign(s.key, msg) }

// Derive makes a secret of 32 bytes for one purpose, which context names in fixed text: the same for the same key
// whenever it is asked, and another for every other purpose.
func (s *secret) Derive(context string) [digest.Size]byte {
	return digest.Derive(context, s.key.Seed())
}

// Format implements fmt.Formatter, so that no verb reveals the key.
func (s secret) Format(f fmt.State, _ rune) { f.Write([]byte(redacted)) }

// LogValue implements slog.LogValuer.
func (s secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, so that JSON does not reveal the key.
func (s secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

func (s *secret) public() [sdk.IDSize]byte {
	return [sdk.IDSize]byte(s.key.Public().(ed25519.PublicKey))
}

func newKey() (secret, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return secret{key: key}, err
}

// Verify tells whether sig is the signature of msg by the key.
func Verify[K sdk.NodeKey | sdk.OwnerKey](key K, msg, sig []byte) bool {
	return len(sig) == ed25519.SignatureSize && ed25519.Verify(key[:], msg, sig)
}

// VerifyDelegation tells whether the owner vouches for the node.
func VerifyDelegation(owner sdk.OwnerKey, node sdk.NodeKey, delegation []byte) bool {
	return Verify(owner, delegationText(node), delegation)
}

// delegationText is what an owner signs for a node.
func delegationText(node sdk.NodeKey) []byte {
	return append([]byte("tesseras node 1\n"), node[:]...)
}
