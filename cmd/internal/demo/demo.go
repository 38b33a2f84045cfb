// Package demo answers: does the main job hold, on this computer, with these files?
//
// It runs a small network of real node processes, preserves a folder, destroys its owner, kills holders
// without warning in two waves, lets those who are left repair by themselves, restores the folder on an
// empty node and compares it byte by byte. It knows the nodes only as a person does: through the command
// line and its JSON.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// Options are what a person may choose.
type Options struct {
	Path string // folder to preserve; "" makes a sample
	// Nodes counts the holders alone; the owner and the empty node come on top.
	Nodes int
	Kill  int    // holders in the first wave
	Seed  uint64 // chooses who is killed and what the sample holds
	Keep  bool   // leave the data directories behind
	// Program is the executable that is both node and command line.
	Program string
	Log     io.Writer // the story, in plain words
	Stderr  io.Writer // what failing processes said
}

// Result is what happened.
type Result struct {
	Nodes            int      `json:"nodes"`
	Killed           int      `json:"killed"`
	Waves            []int    `json:"waves"` // how many were killed at once
	ID               string   `json:"id"`
	Tier             string   `json:"tier"`
	Files            int      `json:"files"`
	SizeBytes        int64    `json:"size_bytes"`
	Fragments        int      `json:"fragments"`
	SurvivesPeers    int      `json:"survives_peers"`
	RebuiltFragments int      `json:"rebuilt_fragments"`
	Sources          []Source `json:"sources"`
	Identical        bool     `json:"identical"`
	Seed             uint64   `json:"seed"`
	Seconds          Seconds  `json:"seconds"`
}

// Source is a holder that served the restore.
type Source struct {
	Node      string `json:"node"`
	Fragments []int  `json:"fragments"`
}

// Seconds tells how long each part took.
type Seconds struct {
	Start   float64 `json:"start"`
	Create  float64 `json:"create"`
	Publish float64 `json:"publish"`
	Repair  float64 `json:"repair"` // of both waves
	Restore float64 `json:"restore"`
	Total   float64 `json:"total"`
}

// What a demo takes.
const (
	fewestNodes = 3   // with two holders of which one dies nobody is left to rebuild anything at
	mostNodes   = 250 // each has an address in a subnet of its own, 127.0.x.1
	// wholeCopies is how many nodes hold a small tessera. One more has to be there to get a copy again.
	wholeCopies = 7
)

// Check tells what is wrong with the options, before anything is begun.
func (o Options) Check() error {
	switch {
	case o.Nodes < fewestNodes || o.Nodes > mostNodes:
		return fmt.Errorf("--nodes %d: from %d to %d holders can be run here", o.Nodes, fewestNodes, mostNodes)
	case o.Kill < 1:
		return fmt.Errorf("--kill %d: someone has to die for others to rebuild something", o.Kill)
	case o.Kill >= o.Nodes:
		return fmt.Errorf("--kill %d of %d holders: someone must be left to restore from", o.Kill, o.Nodes)
	}
	return nil
}

// Run does all of it. The processes and, unless Keep, the folders are gone when it returns, also when
// ctx was cancelled. An error means that a part could not be done; a Result that is not Identical
// means it was done and the folder differs.
func Run(ctx context.Context, o Options) (result Result, err error) {
	base, err := os.MkdirTemp("", "tesseras-demo-")
	if err != nil {
		return Result{}, err
	}
	s := &show{Options: o, base: base, rng: rand.New(rand.NewPCG(o.Seed, 1)), begun: time.Now()}
	s.result = Result{Nodes: o.Nodes, Seed: o.Seed, Sources: []Source{}, Waves: []int{}}
	defer func() {
		s.fleet.killAll()
		if o.Keep {
			s.say("The data directories stay in %s.", base)
			return
		}
		err = errors.Join(err, os.RemoveAll(base))
	}()
	for _, act := range []func(context.Context) error{
		s.prepare, s.startNodes, s.create, s.publish, s.destroyOwner, s.firstWave, s.awaitRepair, s.secondWave, s.awaitRepair, s.restore,
	} {
		if err := act(ctx); err != nil {
			return s.result, err
		}
	}
	s.result.Seconds.Total = since(s.begun)
	return s.result, nil
}

// show is a demo under way.
type show struct {
	Options
	base   string
	rng    *rand.Rand
	begun  time.Time
	fleet  fleet
	owner  *node
	data   int             // fragments that suffice
	dead   map[string]bool // node ids
	left   spread          // after the last wave
	result Result
}

func (s *show) say(format string, args ...any) { fmt.Fprintf(s.Log, format+"\n", args...) }

func (s *show) prepare(context.Context) error {
	s.fleet = fleet{program: s.Program, base: s.base, config: filepath.Join(s.base, "demo.toml"), spread: loopbackIsWide()}
	if err := s.fleet.configure(s.Nodes); err != nil {
		return err
	}
	if s.Path != "" {
		return nil
	}
	s.Path = filepath.Join(s.base, "sample")
	s.say("No folder was named, so here is a sample of pictures, sound and text.")
	return writeSample(s.Path, s.Seed)
}

func (s *show) startNodes(ctx context.Context) error {
	s.say("Starting %d holders and one owner, each a process of its own.", s.Nodes)
	begun := time.Now()
	first, err := s.fleet.start(ctx, "holder-01", "")
	if err != nil {
		return err
	}
	for i := 2; i <= s.Nodes; i++ {
		if _, err := s.fleet.launch(fmt.Sprintf("holder-%02d", i), first.addr); err != nil {
			return err
		}
	}
	if s.owner, err = s.fleet.launch("owner", first.addr); err != nil {
		return err
	}
	for _, n := range s.fleet.nodes {
		if err := n.awaitReady(ctx); err != nil {
			return err
		}
	}
	err = until(ctx, time.Minute, "the owner to meet every holder", func() (bool, error) {
		var peers struct{ Peers []struct{} }
		err := s.owner.ask(ctx, &peers, "peers")
		return len(peers.Peers) >= s.Nodes, err
	})
	s.result.Seconds.Start = since(begun)
	return err
}

func (s *show) create(ctx context.Context) error {
	begun := time.Now()
	var made struct {
		ID        string
		Files     int
		SizeBytes int64 `json:"size_bytes"`
	}
	if err := s.owner.ask(ctx, &made, "create", s.Path, "--skip-special", "--title", "demo"); err != nil && !isPartly(err) {
		return err
	}
	s.result.ID, s.result.Files, s.result.SizeBytes = made.ID, made.Files, made.SizeBytes
	s.result.Seconds.Create = since(begun)
	s.say("The owner keeps %d files (%s) as tessera %.8s, hashed and signed.", made.Files, size(made.SizeBytes), made.ID)
	return s.checkTier(ctx)
}

// checkTier refuses a small tessera where every holder has a whole copy, so that nothing can be rebuilt.
func (s *show) checkTier(ctx context.Context) error {
	status, err := s.owner.status(ctx, s.result.ID)
	if err != nil || status.Tier != "small" || s.Nodes > wholeCopies {
		return err
	}
	return advised(fmt.Sprintf("tes demo --nodes %d, or a larger folder", wholeCopies+5),
		"a folder as small as this is kept as %d whole copies: with %d holders nothing could be rebuilt", wholeCopies, s.Nodes)
}

func (s *show) publish(ctx context.Context) error {
	begun := time.Now()
	var p struct {
		Tier          string
		Fragments     int
		Peers         int
		SurvivesPeers int `json:"survives_peers"`
	}
	if err := s.owner.ask(ctx, &p, "publish", s.result.ID, "--wait", "--wait-timeout", "10m"); err != nil {
		return err
	}
	r := &s.result
	r.Tier, r.Fragments, r.SurvivesPeers = p.Tier, p.Fragments, p.SurvivesPeers
	r.Seconds.Publish = since(begun)
	s.say("Published in %.1f s: %d fragments (%s tier) on %d holders. Any %d of them may vanish at once.",
		r.Seconds.Publish, p.Fragments, p.Tier, p.Peers, p.SurvivesPeers)
	if s.Kill > p.SurvivesPeers {
		return advised(fmt.Sprintf("tes demo with --kill %d, or with more --nodes", max(p.SurvivesPeers, 1)),
			"%s to be killed, but this spread survives only %d at once", count(s.Kill, "holder"), p.SurvivesPeers)
	}
	return nil
}

func (s *show) destroyOwner(ctx context.Context) error {
	status, err := s.owner.status(ctx, s.result.ID)
	if err != nil {
		return err
	}
	s.data = status.Fragments.Data
	s.owner.kill()
	if err := os.RemoveAll(s.owner.dir); err != nil {
		return err
	}
	s.dead = map[string]bool{s.owner.id: true}
	s.say("The owner's process is killed and its disk wiped: keys, photos and all. Nobody is in charge now.")
	return nil
}

func (s *show) firstWave(ctx context.Context) error { return s.wave(ctx, s.Kill) }

// secondWave kills as many as what was repaired survives, in all more than the code alone would.
func (s *show) secondWave(ctx context.Context) error { return s.wave(ctx, s.Kill) }

// wave kills so many holders at once, or as many as the spread of this moment survives.
func (s *show) wave(ctx context.Context, most int) error {
	before, err := s.look(ctx)
	if err != nil {
		return err
	}
	var victims []*node
	for _, n := range s.alive() {
		if len(before[n.id]) > 0 {
			victims = append(victims, n)
		}
	}
	s.rng.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
	victims = victims[:min(most, before.survives(s.data), len(victims))]
	lost := 0
	for _, n := range victims {
		n.kill()
		s.dead[n.id] = true
		lost += len(before[n.id])
		delete(before, n.id)
	}
	s.left = before
	s.result.Killed += len(victims)
	s.result.Waves = append(s.result.Waves, len(victims))
	if len(victims) == 0 {
		s.say("No second wave: those who are left could not spare anybody.")
		return nil
	}
	s.say("Killed %s with SIGKILL, seed %d. %s died with them.", count(len(victims), "holder"), s.Seed, count(lost, "fragment"))
	return nil
}

func (s *show) awaitRepair(ctx context.Context) error {
	if s.result.Waves[len(s.result.Waves)-1] == 0 {
		return nil // nobody died since the last repair
	}
	begun := time.Now()
	s.say("Nobody says a word. The holders' own maintenance cycles have to notice and repair.")
	var now spread
	err := until(ctx, 5*time.Minute, "the repair", func() (done bool, err error) {
		now, err = s.look(ctx)
		return err == nil && now.complete(s.result.Tier, s.result.Fragments, len(s.alive())), err
	})
	if err != nil {
		return err
	}
	took := since(begun)
	s.result.Seconds.Repair += took
	rebuilt := gained(s.left, now)
	s.result.RebuiltFragments += rebuilt
	if rebuilt == 0 {
		return errors.New("the holders that died held fragments, but none was rebuilt")
	}
	s.say("Repaired in %.1f s: %s rebuilt by the holders that are left, from each other. Any %s may vanish now.",
		took, count(rebuilt, "fragment"), count(now.survives(s.data), "holder"))
	return nil
}

// alive lists the holders that were not killed.
func (s *show) alive() (nodes []*node) {
	for _, n := range s.fleet.nodes {
		if !s.dead[n.id] {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

func (s *show) restore(ctx context.Context) error {
	heir, err := s.fleet.start(ctx, "heir", s.alive()[0].addr)
	if err != nil {
		return err
	}
	s.say("A new, empty node joins. It knows one address and the id %.8s.", s.result.ID)
	begun := time.Now()
	var fetched struct{ Sources []Source }
	dest := filepath.Join(s.base, "restored")
	if err := heir.ask(ctx, &fetched, "fetch", s.result.ID, dest); err != nil {
		return err
	}
	s.result.Sources = fetched.Sources
	s.result.Seconds.Restore = since(begun)
	difference, err := compare(s.Path, dest)
	if err != nil {
		return err
	}
	s.result.Identical = difference == ""
	if difference != "" {
		s.say("The restored folder differs: %s.", difference)
		return nil
	}
	s.say("Restored in %.1f s from %d holders, and compared with the original: identical, every byte of %d files.",
		s.result.Seconds.Restore, len(fetched.Sources), s.result.Files)
	return nil
}

func since(t time.Time) float64 { return float64(time.Since(t).Milliseconds()) / 1000 }

func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

func size(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// until polls done until it says so; what names the wait in the error.
func until(ctx context.Context, limit time.Duration, what string, done func() (bool, error)) error {
	deadline := time.Now().Add(limit)
	for {
		ok, err := done()
		if ok {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %s for %s: %w", limit, what, errors.Join(err, context.DeadlineExceeded))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
