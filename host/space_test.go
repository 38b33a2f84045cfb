package host_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tesseras/tesseras/host"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/publish"
	"github.com/tesseras/tesseras/host/restore"
	"github.com/tesseras/tesseras/host/wire"
	"github.com/tesseras/tesseras/sdk"
)

// full lets a node find its disk full: so much shall stay free that nothing fits.
func full(c *config.Config) { c.Storage.MinFree = 1 << 60 }

func TestAFullHolderSaysSo(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 0)
	laden := v.add(full)
	v.meet(owner, 1)
	made := create(t, owner, folder(t, small))
	_, why := owner.fallsShort(made.ID)
	if !strings.Contains(why, "refused: no space: no room: 1.") || !strings.Contains(why, "1 EiB stay free") {
		t.Errorf("the publisher hears: %s", why)
	}
	if len(laden.held(made.ID)) != 0 || len(laden.objects()) != 0 {
		t.Error("a full holder took something")
	}

	for range 7 {
		v.add()
	}
	owner.healthy()
	if len(laden.held(made.ID)) != 0 {
		t.Error("a full holder took something")
	}

	plan, giver := read(t, owner.plan(made.ID)), v.holdersOf(made.ID)[0]
	body := read(t, giver.objects()[0])
	if code := v.stranger().offers(laden, plan, 0, body); code != wire.Code_NO_SPACE {
		t.Errorf("a full holder answers %s", code)
	}
}

func TestAFullOwnDisk(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 7)
	original := folder(t, medium)
	published, made := create(t, owner, original), create(t, owner, folder(t, small))
	owner.publish(published.ID)
	owner = owner.restart(full)
	v.meet(owner, 7)
	for name, err := range map[string]error{
		"create":  errOf(owner.Create(t.Context(), streamed(t, original))),
		"publish": errOf(owner.Publish(t.Context(), made.ID, localapi.PublishOptions{}, noProgress)),
	} {
		if localapi.CodeOf(err) != localapi.CodeFailed || !strings.Contains(localapi.HintOf(err), "free some space") {
			t.Errorf("%s: %v, hint %q", name, err, localapi.HintOf(err))
		}
	}
	if err := errOf(owner.Publish(t.Context(), made.ID, localapi.PublishOptions{}, noProgress)); !errors.Is(err, publish.ErrSpace) {
		t.Errorf("publish: %v", err)
	}
	poor := v.add(full)
	v.meet(poor, 8)
	if err := errOf(poor.Fetch(t.Context(), published.ID, noProgress)); !errors.Is(err, restore.ErrSpace) || !strings.Contains(localapi.HintOf(err), "free some space") {
		t.Errorf("fetch: %v, hint %q", err, localapi.HintOf(err))
	}
	v.nodes[0].loses(published.ID)
	v.eventually("the repair to say that there is no room", func() bool {
		report := owner.repair(published.ID)
		if report.Failed != 1 {
			t.Fatalf("repair %+v", report)
		}
		why := report.Failures[0].Why // a round may be at it just now
		return strings.Contains(why, "not enough free space to rebuild")
	})
	if owner.spooled()+poor.spooled() != 0 {
		t.Error("something is left in a spool")
	}

	// with room again all of it goes on, what the owner wanted published without being asked
	owner = owner.restart()
	owner.healthy()
	fetch(t, v.nodes[0], published.ID, original)
}

func TestADataDirectoryIsUsedOnce(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 0)
	_, err := host.Open(t.Context(), v.config(), owner.dir, v.log())
	if localapi.CodeOf(err) != localapi.CodeInUse || localapi.HintOf(err) == "" || !strings.Contains(err.Error(), owner.dir) {
		t.Errorf("second open: %v, code %d, hint %q", err, localapi.CodeOf(err), localapi.HintOf(err))
	}
	_, _, err = host.OpenLocal(t.Context(), v.config(), owner.dir, v.log())
	if localapi.CodeOf(err) != localapi.CodeInUse {
		t.Errorf("beside a daemon: %v", err)
	}
	create(t, owner, folder(t, small)) // the first was not disturbed
	owner.stop()
	b, done, err := host.OpenLocal(t.Context(), v.config(), owner.dir, v.log())
	if err != nil {
		t.Fatal(err)
	}
	defer func(c io.Closer) {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}(done)
	if all, err := b.List(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
	if err := errOf(b.Publish(t.Context(), sdk.TesseraID{}, localapi.PublishOptions{}, noProgress)); localapi.CodeOf(err) != localapi.CodeNoDaemon {
		t.Errorf("publish without a daemon: %v", err)
	}
}

func TestWhereANodeCannotStart(t *testing.T) {
	t.Parallel()
	v, owner := newVillage(t, 0)
	parent := t.TempDir()
	file := filepath.Join(parent, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	objects := filepath.Join(parent, "half", "objects")
	if err := os.MkdirAll(filepath.Dir(objects), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(objects, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	free := t.TempDir()
	taken := func(c *config.Config) { c.Network.Listen = owner.Addr().String() }
	for name, c := range map[string]struct {
		dir  string
		tune func(*config.Config)
		want string
	}{
		"a file in its place":   {file, func(*config.Config) {}, "not a directory"},
		"a file above it":       {filepath.Join(file, "data"), func(*config.Config) {}, "not a directory"},
		"a file inside":         {filepath.Dir(objects), func(*config.Config) {}, "objects"},
		"an address in use":     {free, taken, "address already in use"},
		"an address of others":  {free, func(c *config.Config) { c.Network.Listen = "192.0.2.1:0" }, "192.0.2.1:0"},
		"a name that is no one": {free, func(c *config.Config) { c.Network.Advertise = "nowhere.invalid" }, "network.advertise"},
	} {
		n, err := host.Open(t.Context(), v.config(c.tune), c.dir, v.log())
		if err == nil {
			t.Errorf("%s: it started: %v", name, n.Close())
		} else if localapi.CodeOf(err) != localapi.CodeFailed || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, code %d", name, err, localapi.CodeOf(err))
		}
	}
	v.addAt(free) // a failed start left nothing in the way
}
