package host_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tesseras/tesseras/host"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/internal/suite"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/policy/wasm"
	"github.com/tesseras/tesseras/host/tessera"
)

// nodeDir names the data directory for which this binary is a node and runs no tests.
const nodeDir = "NODE_OF_A_TEST"

func TestMain(m *testing.M) {
	wasm.MaybeCompileChild()
	if dir := os.Getenv(nodeDir); dir != "" {
		os.Exit(beNode(dir))
	}
	if dir := os.Getenv(careDir); dir != "" {
		os.Exit(beCareful(dir))
	}
	suite.CollectLess()
	remove := suite.Scratch()
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", "8") // these tests wait, for peers that are dead, more than they compute
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(built.dir) // "" is nothing
		common.close()
		remove()
		os.Exit(code)
	}))
}

// beNode is what a process of a test does. It ends when its parent does, and gives memory that it does not use
// back to the system at every line it reads.
func beNode(dir string) int {
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			debug.FreeOSMemory()
		}
		os.Exit(3)
	}()
	cfg, err := config.Load(config.Sources{Env: os.Environ()})
	if err == nil {
		err = host.Serve(context.Background(), cfg, dir, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// process is a node in a process of its own.
type process struct {
	t     *testing.T
	v     *village
	dir   string
	addr  string
	api   *localapi.Client
	cmd   *exec.Cmd
	stdin io.Writer
	ended chan struct{}
	env   []string
}

// spawn starts a node as a process, on a data directory of its own.
func (v *village) spawn(env ...string) *process {
	v.t.Helper()
	p := &process{t: v.t, v: v, dir: v.t.TempDir(), env: env}
	p.start()
	v.t.Cleanup(p.kill)
	return p
}

// cacheHome is where all nodes of all tests find compiled policies, so that they are compiled once.
func cacheHome(t *testing.T) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		return t.TempDir()
	}
	return dir
}

var readyLine = regexp.MustCompile(`msg=ready .*addr=(\S+)`)

// start starts the process, also again after it was killed, and waits until it answers.
func (p *process) start() {
	p.t.Helper()
	cfg := p.v.config() // for the address and where to begin
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append([]string{
		nodeDir + "=" + p.dir, "HOME=" + p.dir, "XDG_CACHE_HOME=" + cacheHome(p.t), "XDG_CONFIG_HOME=" + filepath.Join(p.dir, "none"),
		"TESSERAS_NETWORK__LISTEN=" + cfg.Network.Listen, "TESSERAS_NETWORK__BOOTSTRAP=" + cfg.Network.Bootstrap[0],
		fmt.Sprintf("TESSERAS_NETWORK__POW_BITS=%d", powBits), "TESSERAS_STORAGE__MIN_FREE=0", "TESSERAS_REPLICATION__REPAIR_JITTER=0s",
	}, p.env...)
	var err error
	p.stdin, err = p.cmd.StdinPipe() // closed when this process ends
	if err != nil {
		p.t.Fatal(err)
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.ended = make(chan struct{})
	ready := make(chan string, 1)
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintln(p.t.Output(), lines.Text())
			if found := readyLine.FindStringSubmatch(lines.Text()); found != nil {
				ready <- found[1]
			}
		}
	}()
	select {
	case p.addr = <-ready:
	case <-p.ended:
		p.t.Fatalf("the process ended before it was ready: %v", p.cmd.Wait())
	case <-time.After(time.Minute):
		p.t.Fatal("the process does not get ready")
	}
	if p.api, err = localapi.Dial(p.t.Context(), p.dir); err != nil {
		p.t.Fatal(err)
	}
}

// collect has the process give back, soon, what memory it does not use.
func (p *process) collect() {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.stdin); err != nil {
		p.t.Fatal(err)
	}
}

// kill is the end of a process in the middle of whatever it does.
func (p *process) kill() {
	if p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may be gone already
	<-p.ended
	_ = p.cmd.Wait() // says that it was killed
	_ = p.api.Close()
}

// create gives a folder to the process as the command line does.
func (p *process) create(dir string) localapi.Created {
	p.t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		p.t.Fatal(err)
	}
	defer root.Close()
	found, err := tessera.Scan(p.t.Context(), root, tessera.ScanOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	made, err := p.api.Create(p.t.Context(), func(ctx context.Context, w io.Writer) error {
		return tessera.WriteFolder(ctx, w, root, "a title", found.Entries)
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return made
}
