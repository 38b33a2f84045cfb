package host_test

import (
	"context"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tesseras/tesseras/host"
	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/vfs"
	"github.com/tesseras/tesseras/sdk"
)

// scripts and commands are where the other tests are that set keys.
const (
	scripts  = "../cmd/tes/testdata/script/"
	commands = "../cmd/internal/daemon/"
)

// keyTests names for each key a test that sets it in the configuration and sees what it changes: a test
// function of a file, or a whole script.
var keyTests = map[string]struct{ file, name string }{
	"network.listen":                   {"space_test.go", "TestWhereANodeCannotStart"},
	"network.advertise":                {"space_test.go", "TestWhereANodeCannotStart"},
	"network.bootstrap":                {"gathering_test.go", "TestAGatheringNeedsNoCentre"},
	"network.pow_bits":                 {"configkeys_test.go", "TestPowBitsAreWork"},
	"storage.sync":                     {"configkeys_test.go", "TestSyncNormalSyncsFoldersTogether"},
	"storage.min_free":                 {"space_test.go", "TestAFullOwnDisk"},
	"storage.lock_wait":                {"configkeys_test.go", "TestLockWaitIsPatience"},
	"replication.replicas":             {"configkeys_test.go", "TestTheCapOfASubnet"},
	"replication.per_subnet":           {"configkeys_test.go", "TestTheCapOfASubnet"},
	"replication.strict":               {"configkeys_test.go", "TestTheCapOfASubnet"},
	"replication.concurrent_transfers": {"publish_test.go", "TestAPublishIsCutShortAndGoesOn"},
	"replication.deficit_allowance":    {"institutions_test.go", "TestAnInstitutionIsExemptAndALiarIsNot"},
	"replication.peer_limit":           {"configkeys_test.go", "TestPeerLimitBoundsWhatIsKeptForOneOwner"},
	"replication.repair_interval":      {"repair_test.go", "TestTheCycleRepairsByItself"},
	"replication.repair_jitter":        {"configkeys_test.go", "TestRepairJitterReachesTheCycle"},
	"replication.proofs_per_holder":    {"custody_test.go", "TestHoldersRepairWithoutTheOwner"},
	"replication.repair_bandwidth":     {"pace_test.go", "TestRepairBandwidthBoundsRepairs"},
	"maintenance.scrub_period":         {"care_test.go", "TestScrubPeriodSaysHowMuchARoundReads"},
	"maintenance.scrub_rate":           {"care_test.go", "TestScrubRateBoundsTheReading"},
	"performance.index_cache":          {"configkeys_test.go", "TestIndexCacheIsTheLimit"},
	"performance.fragment_cache":       {"fragmentcache_test.go", "TestAFragmentIsServedTwiceFromMemory"},
	"performance.max_connections":      {"pool_test.go", "TestPoolSettingsTakeEffect"},
	"performance.idle_timeout":         {"pool_test.go", "TestPoolSettingsTakeEffect"},
	"performance.reaper_interval":      {"pool_test.go", "TestPoolSettingsTakeEffect"},
	"policy.defaults":                  {"configkeys_test.go", "TestWithoutDefaultsNoPolicyIsInForce"},
	"policy.decisions_kept":            {"configkeys_test.go", "TestDecisionsKeptIsRoomForDecisions"},
	"policy.placement":                 {"policies_test.go", "TestASwappedPolicyDecides"},
	"policy.reciprocity":               {"policies_test.go", "TestASwappedPolicyDecides"},
	"policy.repair":                    {"policies_test.go", "TestASwappedPolicyDecides"},
	"api.group":                        {scripts + "daemon.txtar", ""},
	"metrics.listen":                   {scripts + "errors.txtar", ""},
	"institutional.domain":             {"institutions_test.go", "TestAnInstitutionIsExemptAndALiarIsNot"},
	"institutional.pledge":             {"institutions_test.go", "TestTheOperatorIsToldWhatTheDomainSays"},
	"institutional.operator":           {"configkeys_test.go", "TestTheOperatorOfAnInstitutionIsKnown"},
	"log.level":                        {commands + "daemon_test.go", "TestLevels"},
	"log.format":                       {commands + "daemon_test.go", "TestLevels"},
}

// TestEveryKeyChangesSomething wants a test for each key that sets it by its name in the configuration.
func TestEveryKeyChangesSomething(t *testing.T) {
	for _, key := range config.Keys() {
		where, ok := keyTests[key]
		if !ok {
			t.Errorf("no test is named that shows what %s changes", key)
			continue
		}
		text, err := os.ReadFile(where.file)
		if err != nil {
			t.Error(err)
			continue
		}
		if where.name != "" && !strings.Contains(string(text), "func "+where.name+"(") {
			t.Errorf("%s: there is no %s in %s", key, where.name, where.file)
		}
		if !slices.ContainsFunc(spellings(key), func(s string) bool { return strings.Contains(string(text), s) }) {
			t.Errorf("%s: %s does not set it", key, where.file)
		}
	}
	for key := range keyTests {
		if !slices.Contains(config.Keys(), key) {
			t.Errorf("%s is no key", key)
		}
	}
}

// spellings are the ways in which a test may set a key: as a field, in the environment, as a flag.
func spellings(key string) []string {
	section, name, _ := strings.Cut(key, ".")
	out := []string{"TESSERAS_" + strings.ToUpper(section) + "__" + strings.ToUpper(name), "--" + section + " "}
	sections := reflect.TypeFor[config.Config]()
	for i := range sections.NumField() {
		s := sections.Field(i)
		for j := range s.Type.NumField() {
			if f := s.Type.Field(j); s.Tag.Get("koanf") == section && f.Tag.Get("koanf") == name {
				out = append(out, "."+f.Name, f.Name+":")
			}
		}
	}
	return out
}

func TestPowBitsAreWork(t *testing.T) {
	t.Parallel()
	v := &village{t: t}
	if id := v.add(func(c *config.Config) { c.Network.PowBits = 8 }).id(); id[0] != 0 {
		t.Errorf("with 8 bits of work the id begins %s", id.Short())
	}
}

// folderSyncs counts how often folders are made durable.
type folderSyncs struct {
	vfs.FS
	n atomic.Int64
}

// SyncDir implements vfs.FS.
func (f *folderSyncs) SyncDir(name string) error { f.n.Add(1); return f.FS.SyncDir(name) }

func TestSyncNormalSyncsFoldersTogether(t *testing.T) {
	t.Parallel()
	v, files := &village{t: t}, map[string]int{}
	for i := range 40 {
		files[strings.Repeat("x", i+1)] = 10 + i
	}
	took := map[string]int64{}
	for _, how := range []string{config.SyncFull, config.SyncNormal} {
		disk := &folderSyncs{}
		m := v.addThrough(func(fs vfs.FS) vfs.FS { disk.FS = fs; return disk }, t.TempDir(), func(c *config.Config) { c.Storage.Sync = how })
		before := disk.n.Load()
		create(t, m, folder(t, files))
		took[how] = disk.n.Load() - before
	}
	if full, normal := took[config.SyncFull], took[config.SyncNormal]; normal >= full {
		t.Errorf("folders were synced %d times for 40 files, with storage.sync normal %d times", full, normal)
	}
}

// TestLockWaitIsPatience opens a data directory while its node is about to stop.
func TestLockWaitIsPatience(t *testing.T) {
	t.Parallel()
	v := &village{t: t}
	m := v.add()
	opened := make(chan error, 1)
	cfg := v.config(func(c *config.Config) { c.Storage.LockWait = config.Duration(time.Minute) })
	go func() {
		_, closer, err := host.OpenLocal(context.Background(), cfg, m.dir, v.log())
		if err == nil {
			err = closer.Close()
		}
		opened <- err
	}()
	m.stop()
	if err := <-opened; err != nil {
		t.Errorf("one that waits does not get the data directory: %v", err)
	}
}

// TestTheCapOfASubnet has three holders in one subnet, of which one may be used.
func TestTheCapOfASubnet(t *testing.T) {
	t.Parallel()
	for strict, want := range map[bool]int{true: 1, false: 3} {
		v := &village{t: t}
		for _, listen := range []string{"127.0.200.1:0", "127.0.200.2:0", "127.0.200.3:0"} {
			v.add(func(c *config.Config) { c.Network.Listen = listen })
		}
		owner := v.add(func(c *config.Config) {
			c.Replication.Replicas, c.Replication.PerSubnet, c.Replication.Strict = 3, 1, strict
		})
		v.meet(owner, 3)
		made := create(t, owner, folder(t, medium))
		p, err := owner.Publish(t.Context(), made.ID, localapi.PublishOptions{}, noProgress)
		if err != nil || p.Peers != want || p.AtTarget != (want == 3) {
			t.Errorf("strict %v: published %+v, %v, want %d peers", strict, p, err, want)
		}
	}
}

func TestPeerLimitBoundsWhatIsKeptForOneOwner(t *testing.T) {
	t.Parallel()
	v := &village{t: t}
	narrow, wide := v.add(func(c *config.Config) { c.Replication.PeerLimit = 1 }), v.add()
	owner := v.add()
	v.meet(owner, 2)
	made := create(t, owner, folder(t, medium))
	if _, err := owner.Publish(t.Context(), made.ID, localapi.PublishOptions{}, noProgress); err != nil {
		t.Fatal(err)
	}
	if few, many := len(narrow.held(made.ID)), len(wide.held(made.ID)); few != 0 || many == 0 {
		t.Errorf("one with a limit of a byte holds %d fragments, another %d", few, many)
	}
}

func TestRepairJitterReachesTheCycle(t *testing.T) {
	t.Parallel()
	m := (&village{t: t}).add(func(c *config.Config) { c.Replication.RepairJitter = config.Duration(7 * time.Minute) })
	cycle := reflect.ValueOf(m.Node).Elem().FieldByName("cycle").Elem()
	if got := time.Duration(cycle.FieldByName("config").FieldByName("Jitter").Int()); got != 7*time.Minute {
		t.Errorf("rounds are shifted by %s at most", got)
	}
}

func TestIndexCacheIsTheLimit(t *testing.T) {
	t.Parallel()
	m := (&village{t: t}).add(func(c *config.Config) { c.Performance.IndexCache = 5 * config.MiB })
	if got := m.metrics()["tesseras_index_cache_limit_bytes"]; got != float64(5*config.MiB) {
		t.Errorf("%v bytes of the index may be in memory", got)
	}
}

func TestWithoutDefaultsNoPolicyIsInForce(t *testing.T) {
	t.Parallel()
	v := &village{t: t}
	for _, defaults := range []bool{true, false} {
		list, err := v.add(func(c *config.Config) { c.Policy.Defaults = defaults }).PolicyList(t.Context())
		if err != nil || (len(list.Policies) > 0) != defaults {
			t.Errorf("policy.defaults %v: %d policies, %v", defaults, len(list.Policies), err)
		}
	}
}

func TestDecisionsKeptIsRoomForDecisions(t *testing.T) {
	t.Parallel()
	for kept, want := range map[config.Size]bool{config.MiB: true, 0: false} {
		v, owner := newVillage(t, 1, func(c *config.Config) { c.Policy.DecisionsKept = kept })
		made := create(t, owner, folder(t, small))
		if _, err := owner.Publish(t.Context(), made.ID, localapi.PublishOptions{}, noProgress); err != nil {
			v.t.Fatal(err)
		}
		found, err := owner.DecisionRecords(t.Context(), "", made.ID, time.Time{}, io.Discard)
		if err != nil || (found > 0) != want {
			t.Errorf("policy.decisions_kept %v: %d decisions, %v", kept, found, err)
		}
	}
}

func TestTheOperatorOfAnInstitutionIsKnown(t *testing.T) {
	t.Parallel()
	z := &zone{records: map[string][]string{}}
	v := &village{t: t, options: []host.Option{host.WithResolver(z)}}
	peer := v.add()
	library := z.add(v, "library.example").restart(claiming("library.example"), func(c *config.Config) { c.Institutional.Operator = "The Town" })
	v.meet(library, 1)
	v.eventually("the claim to be verified", func() bool {
		return peer.OperatorOf(library.Contact().Key, sdk.OwnerKey{}) == "The Town"
	})
}
