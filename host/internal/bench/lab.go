package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// What -quick makes small.
const (
	quickSize  = 6 * mib // still medium tier
	quickNodes = 8
	fullNodes  = 24
)

// lab is what the steps share: a folder on a real disk, random data, and the processes, which are
// started when a step first wants them.
type lab struct {
	options
	temp     string
	random   []byte // size bytes; nobody changes them
	names    int    // given by unused
	nodes    int    // holders
	children []*child
	holders  []*node
	owner    *node // who publishes
	peers    *rawPeers
}

func newLab(o options) (*lab, error) {
	l := &lab{options: o, nodes: fullNodes}
	if o.quick {
		l.nodes = quickNodes
	}
	for _, dir := range []string{o.profile, o.dir} {
		if dir != "" {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return nil, err
			}
		}
	}
	var err error
	l.temp, err = os.MkdirTemp(o.dir, "tesseras-bench-")
	if err != nil {
		return nil, err
	}
	l.random = make([]byte, o.size)
	fillRandom(l.random)
	return l, nil
}

// fillRandom writes bytes that never came before.
func fillRandom(b []byte) {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	_, _ = rand.NewChaCha8(seed).Read(b) // never fails
}

// close ends all processes and removes the folder.
func (l *lab) close() error {
	if l.peers != nil {
		l.peers.close()
	}
	stopAll(l.children)
	return os.RemoveAll(l.temp)
}

// path is a name in the temporary folder.
func (l *lab) path(name string) string { return filepath.Join(l.temp, name) }

// folder makes a folder of a name in the temporary one.
func (l *lab) folder(name string) (string, error) {
	return l.path(name), os.MkdirAll(l.path(name), 0o700)
}

// unused is a name in the temporary folder that nobody had before. What is there stays until the lab is
// closed: a file system that lost many files just now is slow to make new ones. ext4 without a journal
// does not use the inode of a removed file again for minutes, and looks at each of them for every new file.
func (l *lab) unused(name string) string {
	l.names++
	return fmt.Sprintf("%s-%d", name, l.names)
}

// emptyRawPeers removes what raw peers made durable.
func (l *lab) emptyRawPeers() {
	files, _ := filepath.Glob(l.path("raw-peer-*/*")) // the pattern is good
	for _, f := range files {
		_ = os.Remove(f) // at the latest with the whole folder
	}
}

// used is the processor time of this process and its children so far.
func (l *lab) used() time.Duration {
	sum := processorTime(os.Getpid())
	for _, c := range l.children {
		sum += processorTime(c.cmd.Process.Pid)
	}
	return sum
}

// rest is how long what a step left behind gets to come to rest: nodes announce what they took half a
// second after they took it.
const rest = 1200 * time.Millisecond

// settle writes back what is not on the disk yet, so that nobody pays for another's bytes. Where nobody is
// judged, that would only hold up whoever else writes to this disk.
func (l *lab) settle() {
	if l.quick {
		return
	}
	syncDisk()
	if len(l.holders) > 0 {
		time.Sleep(rest)
	}
}

func (l *lab) timer(settle func()) *timer { return &timer{used: l.used, settle: settle} }

// fresh fills a folder with files of new random bytes, replacing an older one of the name.
func (l *lab) fresh(name string, files int, each int64) (string, error) {
	dir := l.path(name)
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	buf := make([]byte, min(each, 4*mib))
	for i := range files {
		sub := filepath.Join(dir, subfolder(i))
		if i%100 == 0 {
			if err := os.MkdirAll(sub, 0o755); err != nil {
				return "", err
			}
		}
		if err := writeRandom(filepath.Join(sub, fileName(i)), buf, each); err != nil {
			return "", err
		}
	}
	return dir, nil
}

func writeRandom(path string, buf []byte, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for size > 0 {
		n := min(size, int64(len(buf)))
		fillRandom(buf[:n])
		if _, err := f.Write(buf[:n]); err != nil {
			return errors.Join(err, f.Close())
		}
		size -= n
	}
	return f.Close()
}

// holding gives the holders, started and known to each other.
func (l *lab) holding(ctx context.Context) ([]*node, error) {
	if l.holders != nil {
		return l.holders, nil
	}
	holders, err := l.startHolders(ctx, l.nodes)
	l.holders = holders
	return holders, err
}

// raw gives the raw peers, as many as there are holders.
func (l *lab) raw(ctx context.Context) (*rawPeers, error) {
	if l.peers != nil {
		return l.peers, nil
	}
	peers, err := l.startRawPeers(ctx, l.nodes)
	l.peers = peers
	return peers, err
}
