package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// day is in milliseconds.
const day = 24 * 60 * 60 * 1000

// mostBytes bounds what is read of a list.
const mostBytes = 16 << 20

// allowList is whom the institution works with.
type allowList struct {
	digest   string // first digits of the file's SHA-256
	nodes    map[sdk.NodeID]bool
	networks map[string]bool // as sdk.SubnetText writes them
	owners   map[sdk.OwnerKey]bool
}

// holds tells whether a peer may hold fragments. A list that names neither nodes nor networks lets all.
func (l allowList) holds(node []byte, network string) bool {
	if len(l.nodes)+len(l.networks) == 0 {
		return true
	}
	return l.networks[network] || len(node) == sdk.IDSize && l.nodes[sdk.NodeID(node)]
}

// owns tells whether an owner's fragments are kept. A list that names no owners lets all.
func (l allowList) owns(owner []byte) bool {
	return len(l.owners) == 0 || len(owner) == sdk.IDSize && l.owners[sdk.OwnerKey(owner)]
}

// readAllowList reads lines of "node ID", "network 198.51.100.0/24" and "owner KEY"; what follows a # is
// for people. No file is an empty list.
func readAllowList(path string) (allowList, error) {
	l := allowList{nodes: map[sdk.NodeID]bool{}, networks: map[string]bool{}, owners: map[sdk.OwnerKey]bool{}}
	digest, err := eachLine(path, func(kind, name string) error {
		switch kind {
		case "node":
			id, err := sdk.ParseNodeID(name)
			l.nodes[id] = true
			return err
		case "network":
			l.networks[name] = true
			return nil
		case "owner":
			key, err := sdk.ParseOwnerKey(name)
			l.owners[key] = true
			return err
		}
		return fmt.Errorf("%q is none of node, network, owner", kind)
	})
	l.digest = digest
	return l, err
}

// retentionList is how long tesseras are kept.
type retentionList struct {
	digest string
	days   map[sdk.TesseraID]int64 // Unix ms of the end of the last day, UTC
}

// until is when a tessera's retention ends; kept is false for one that is not on the list.
func (l retentionList) until(tessera []byte) (ms int64, kept bool) {
	if len(tessera) != sdk.IDSize {
		return 0, false
	}
	ms, kept = l.days[sdk.TesseraID(tessera)]
	return ms, kept
}

// readRetention reads lines of "TESSERA 2099-12-31"; the day itself still counts.
func readRetention(path string) (retentionList, error) {
	l := retentionList{days: map[sdk.TesseraID]int64{}}
	digest, err := eachLine(path, func(tessera, until string) error {
		id, err := sdk.ParseTesseraID(tessera)
		if err != nil {
			return err
		}
		last, err := time.Parse(time.DateOnly, until)
		l.days[id] = last.UnixMilli() + day
		return err
	})
	l.digest = digest
	return l, err
}

// eachLine hands over the two words of every line of a file.
func eachLine(path string, take func(first, second string) error) (digest string, err error) {
	var text []byte
	if path != "" {
		info, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		if info.Size() > mostBytes {
			return "", fmt.Errorf("%s: %d bytes, at most %d are read", path, info.Size(), mostBytes)
		}
		if text, err = os.ReadFile(path); err != nil {
			return "", err
		}
	}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != 2 {
			return "", fmt.Errorf("%s, line %d: want two words", path, number)
		}
		if err := take(words[0], words[1]); err != nil {
			return "", fmt.Errorf("%s, line %d: %w", path, number, err)
		}
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:4]), nil
}
