package identity

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// ErrKeyExposed tells that a key file can be read or written by others than its owner.
var ErrKeyExposed = errors.New("key file is open to others")

// ErrKeyFile tells that a file holds no Ed25519 private key in PKCS#8 PEM.
var ErrKeyFile = errors.New("not an Ed25519 private key in PKCS#8 PEM")

const (
	pemType    = "PRIVATE KEY"
	maxKeyFile = 4 << 10
)

// readKey reads a PKCS#8 PEM file that nobody else can open. The mode is that of the opened file,
// so that a swap between the look and the reading gains nothing.
func readKey(path string) (secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return secret{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return secret{}, err
	}
	if !info.Mode().IsRegular() {
		return secret{}, fmt.Errorf("%s: %w", path, ErrKeyFile)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return secret{}, fmt.Errorf("%s has mode %04o: %w (chmod 600 it)", path, perm, ErrKeyExposed)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return secret{}, err
	}
	key, err := parseKey(text)
	if err != nil {
		return secret{}, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

func parseKey(text []byte) (secret, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemType {
		return secret{}, ErrKeyFile
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return secret{}, ErrKeyFile
	}
	return secret{key: key}, nil
}

// createKeyIfMissing writes a new key durably. A crash leaves either no file of that name or a whole
// one, and of two at once the first one's key stays.
func createKeyIfMissing(path string) error {
	if exists(path) {
		return nil
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key.key)
	if err != nil {
		return err
	}
	temp, err := writeTemp(path, pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}))
	if err != nil {
		return err
	}
	// The check above keeps an existing key; a rename, unlike a link, works on every file system.
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(filepath.Dir(path))
}

// writeTemp puts text on stable storage in a new file beside path, mode 0600.
func writeTemp(path string, text []byte) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return "", err
	}
	_, werr := f.Write(text)
	if err := errors.Join(werr, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
