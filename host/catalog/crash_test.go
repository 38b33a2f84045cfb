package catalog

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/internal/suite"
)

// killSize is how many processes TestKill kills.
var killSize = suite.KillIndex

const (
	envChild = "TESSERAS_TEST_CATALOG_CHILD"
)

// TestMain is also the child that opens, writes and closes until it is killed, and the one that works on
// a full disk.
func TestMain(m *testing.M) {
	if dir := os.Getenv(envFull); dir != "" {
		if err := smallDiskChild(dir, os.Args[1]); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	if dir := os.Getenv(envChild); dir != "" {
		if err := child(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	suite.CollectLess()
	os.Exit(m.Run())
}

// TestKill kills a process that opens the index, writes a few rows and closes it, over and over: most
// kills hit opening and closing. What was acknowledged is there, whole transactions only.
func TestKill(t *testing.T) {
	t.Parallel()
	rnd, kills := rand.New(rand.NewPCG(suite.Seed(t), 0)), 0
	dir, last := t.TempDir(), uint64(0)
	for ; kills < killSize.Cases(); kills++ {
		acknowledged := runChild(t, dir, time.Duration(rnd.IntN(40_000))*time.Microsecond, kills%2*(1+rnd.IntN(8)))
		last = max(last, acknowledged)
		c, err := Open(dir, Options{Ballast: -1})
		if err != nil {
			t.Fatalf("after a kill: %v", err)
		}
		n := readCounter(t, c)
		must(t, c.Close())
		if n != last && n != last+1 {
			t.Fatalf("%d transactions were acknowledged, %d are there", last, n)
		}
		last = n
	}
	killSize.Executed(t, kills, "processes killed over the index")
	t.Logf("%d transactions", last)
}

// readCounter checks that all rows are of the same transaction and gives its number.
func readCounter(t *testing.T, c *Catalog) (n uint64) {
	t.Helper()
	view(t, c, func(tx *Tx) error {
		for i := range counterRows {
			v, err := tx.Meta(counterName(i))
			if errors.Is(err, ErrNotFound) {
				v, err = make([]byte, 8), nil
			}
			must(t, err)
			if m := binary.BigEndian.Uint64(v); i == 0 {
				n = m
			} else if m != n {
				t.Fatalf("rows of transactions %d and %d", n, m)
			}
		}
		return nil
	})
	return n
}

const counterRows = 50

func counterName(i int) string { return fmt.Sprintf("counter %d", i) }

// runChild runs a child and kills it a while after it began, or after some acknowledgements if any are
// to be waited for. It gives the last one.
func runChild(t *testing.T, dir string, after time.Duration, acks int) (acknowledged uint64) {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	c := exec.Command(exe)
	c.Env = append(os.Environ(), envChild+"="+dir)
	out, err := c.StdoutPipe()
	must(t, err)
	must(t, c.Start())
	lines := bufio.NewScanner(out)
	for seen := 0; lines.Scan(); {
		if lines.Text() == "ready" {
			if acks > 0 {
				continue
			}
			timer := time.AfterFunc(after, func() { _ = c.Process.Kill() })
			defer timer.Stop()
			continue
		}
		acknowledged, err = strconv.ParseUint(lines.Text(), 10, 64)
		if err != nil {
			t.Errorf("child: %s", lines.Text())
		}
		if seen++; seen == acks {
			_ = c.Process.Kill()
		}
	}
	err = c.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended otherwise: %v", err)
	}
	return acknowledged
}

func child(dir string) error {
	fmt.Println("ready")
	for {
		c, err := Open(dir, Options{Ballast: -1})
		if err != nil {
			return err
		}
		for range 3 {
			if err := count(c); err != nil {
				return err
			}
		}
		if err := c.Close(); err != nil {
			return err
		}
	}
}

// count writes the next number into all rows in one transaction, then acknowledges it.
func count(c *Catalog) error {
	var n uint64
	err := c.Update(func(tx *Tx) error {
		old, err := tx.Meta(counterName(0))
		if err == nil {
			n = binary.BigEndian.Uint64(old)
		}
		n++
		for i := range counterRows {
			if err := tx.PutMeta(counterName(i), binary.BigEndian.AppendUint64(nil, n)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		fmt.Println(n)
	}
	return err
}
