package archive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/sdk"
)

// killSize is how many kills a run makes, one half at points named in the code, the other at any moment.
var killSize = suite.KillArchive

const (
	envSeed    = suite.EnvSeed
	envChild   = "TESSERAS_TEST_ARCHIVE_CHILD"
	envFolders = "TESSERAS_TEST_ARCHIVE_FOLDERS"
	envDie     = "TESSERAS_TEST_ARCHIVE_DIE" // at which point, counted from the first
	lineReady  = "ready"
)

// TestMain is also the child that creates and deletes until it is killed.
func TestMain(m *testing.M) {
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

// TestKill kills a process that creates and deletes, at the points named in the code and at any moment,
// and opens what it left: every tessera it was told of is whole, what was deleted stays deleted, what
// was under way is there whole or not at all, and the index agrees with the disk.
func TestKill(t *testing.T) {
	t.Parallel()
	rnd, kills := rand.New(rand.NewPCG(suite.Seed(t), 0)), 0
	g := gravedigger{t: t, dir: t.TempDir(), folders: writeFolders(t, rnd), alive: map[sdk.TesseraID]bool{}, dead: map[sdk.TesseraID]bool{}}
	for ; kills < killSize.Cases(); kills++ {
		if kills%2 == 0 {
			g.round(1+rnd.IntN(25), 0, rnd.Uint64())
		} else {
			g.round(0, time.Duration(rnd.IntN(50_000))*time.Microsecond, rnd.Uint64())
		}
		if t.Failed() {
			return
		}
	}
	killSize.Executed(t, kills, "processes killed while they created and deleted")
	t.Logf("%d tesseras created, %d deleted, %d finished creations and %d finished deletions after a kill",
		len(g.alive)+len(g.dead), len(g.dead), g.lateCreations, g.lateDeletions)
}

// gravedigger knows what the children were told.
type gravedigger struct {
	t           *testing.T
	dir         string
	folders     string // where the children find the streams of folders
	alive, dead map[sdk.TesseraID]bool

	lateCreations, lateDeletions int
}

// round starts a child, which dies at a point or is killed after a while, and looks at what is left.
func (g *gravedigger) round(point int, after time.Duration, seed uint64) {
	deleting, ok := g.runChild(point, after, seed)
	if !ok {
		return
	}
	h, err := openHouse(g.dir, houseOptions{})
	if err != nil {
		g.t.Errorf("after a kill (point %d, after %v): %v", point, after, err)
		return
	}
	defer h.close()
	visible, err := h.audit()
	if err != nil {
		g.t.Errorf("after a kill (point %d, after %v): %v", point, after, err)
		return
	}
	there := map[sdk.TesseraID]bool{}
	for _, id := range visible {
		there[id] = true
		if g.dead[id] {
			g.t.Errorf("%s was deleted and is back", id.Short())
		}
		if !g.alive[id] { // the child died before it was told
			g.lateCreations++
			g.alive[id] = true
		}
	}
	for id := range g.alive {
		if there[id] {
			continue
		}
		if id != deleting {
			g.t.Errorf("%s was created and is gone", id.Short())
		}
		g.lateDeletions++
		delete(g.alive, id)
		g.dead[id] = true
	}
}

// runChild runs a child to its death and takes down what it was told. deleting is what it was about to
// delete when it died.
func (g *gravedigger) runChild(point int, after time.Duration, seed uint64) (deleting sdk.TesseraID, ok bool) {
	exe, err := os.Executable()
	must(g.t, err)
	c := exec.Command(exe)
	c.Env = append(os.Environ(), envChild+"="+g.dir, envFolders+"="+g.folders, envSeed+"="+strconv.FormatUint(seed, 10), envDie+"="+strconv.Itoa(point))
	out, err := c.StdoutPipe()
	must(g.t, err)
	must(g.t, c.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		verb, rest, _ := strings.Cut(lines.Text(), " ")
		switch verb {
		case lineReady:
			if point == 0 {
				timer := time.AfterFunc(after, func() { _ = c.Process.Kill() })
				defer timer.Stop()
			}
		case "created":
			g.alive[g.id(rest)] = true
		case "deleting":
			deleting = g.id(rest)
		case "deleted":
			delete(g.alive, g.id(rest))
			g.dead[g.id(rest)] = true
		default:
			g.t.Errorf("child: %s", lines.Text())
		}
	}
	err = c.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		g.t.Errorf("the child ended otherwise: %v", err)
		return deleting, false
	}
	return deleting, true
}

func (g *gravedigger) id(text string) sdk.TesseraID {
	id, err := sdk.ParseTesseraID(text)
	must(g.t, err)
	return id
}

// child opens the data directory, then creates and deletes until it dies.
func child(dir string) error {
	seed, err := strconv.ParseUint(os.Getenv(envSeed), 10, 64)
	if err != nil {
		return err
	}
	die, err := strconv.ParseInt(os.Getenv(envDie), 10, 64)
	if err != nil {
		return err
	}
	var points atomic.Int64
	fmt.Println(lineReady) // opening and recovering is work that may be killed, too
	h, err := openHouse(dir, houseOptions{reached: func(string) {
		if points.Add(1) == die {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}})
	if err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(seed, 1))
	for {
		if err := h.childStep(rnd, os.Stdout); err != nil {
			return err
		}
	}
}

func (h *house) childStep(rnd *rand.Rand, out io.Writer) error {
	all, err := h.List()
	if err != nil {
		return err
	}
	if len(all) > 3 || len(all) > 0 && rnd.IntN(3) == 0 {
		id := all[rnd.IntN(len(all))].ID
		fmt.Fprintln(out, "deleting", id)
		if err := h.Delete(ctx, id); err != nil {
			return err
		}
		fmt.Fprintln(out, "deleted", id)
		return nil
	}
	folder, err := os.Open(filepath.Join(os.Getenv(envFolders), strconv.Itoa(rnd.IntN(folders))))
	if err != nil {
		return err
	}
	defer folder.Close()
	made, err := h.Create(ctx, folder)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "created", made.ID)
	return nil
}

// folders is how many folders the children choose from.
const folders = 8

// writeFolders writes the streams of some folders.
func writeFolders(t *testing.T, rnd *rand.Rand) string {
	t.Helper()
	dir := t.TempDir()
	for i := range folders {
		b, err := randomTree(rnd, i).stream("")
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), b, 0o600))
	}
	return dir
}

// randomTree has few contents under many names, every fourth more names than fit into one transaction.
func randomTree(rnd *rand.Rand, number int) tree {
	f := tree{}
	n := 1 + rnd.IntN(20)
	if number%4 == 0 {
		n = 1100 + rnd.IntN(300)
	}
	for i := range n {
		f[fmt.Sprintf("%d/%d", i%7, i)] = strings.Repeat(fmt.Sprint(rnd.IntN(25)), rnd.IntN(3))
	}
	f["large"] = strings.Repeat(fmt.Sprint(rnd.IntN(3)), 700_000)
	return f
}
