package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"

	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/tessera"
	"github.com/tesseras/tesseras/sdk"
)

const (
	publishGoal = 0.8
	commandGoal = 1.15 // times the publish
	fetchGoal   = 0.75
)

func publishStep(l *lab) step { return step{"publish", l.publishRows} }

func fetchStep(l *lab) step { return step{"fetch", l.fetchRow} }

// params are those of the tessera that is published: packed, it has a little more than its file.
func (l *lab) params() fragment.Params { return fragment.ParamsFor(l.size + 16*kib) }

// newTessera keeps a folder of one new file on a node.
func (l *lab) newTessera(ctx context.Context, n *node) (localapi.Created, error) {
	folder, err := l.fresh("tessera", 1, l.size)
	if err != nil {
		return localapi.Created{}, err
	}
	defer os.RemoveAll(folder)
	return keep(ctx, n.client, folder)
}

// publishRows measures a publish through the local API, and the command that does the same.
func (l *lab) publishRows(ctx context.Context) ([]row, error) {
	owner, err := l.publisher(ctx)
	if err != nil {
		return nil, err
	}
	tes, problem := l.buildTes(ctx)
	var command best
	byCommand := func(ctx context.Context, _ *timer) error {
		if tes == "" {
			return nil
		}
		err := command.try(ctx, form{run: l.publishing(owner, l.byCommand(tes, owner))}, l.timer(l.settle))
		if err != nil {
			return fmt.Errorf("tes publish: %w", err)
		}
		return nil
	}
	both := []timed{l.publishing(owner, byAPI(owner)), byCommand}
	ours := func(ctx context.Context, t *timer) error {
		slices.Reverse(both) // the first of a round finds the nodes after other work
		for _, publish := range both {
			if err := publish(ctx, t); err != nil {
				return err
			}
		}
		return nil
	}
	p := l.params()
	shard := p.ShardSize()
	r, err := l.contest(ctx, fmt.Sprintf("publish to %d processes", l.nodes), l.size, ours, []part{
		l.rawHash("the source", l.size),
		l.rawCode(p.Data, p.Parity, nil),
		l.rawHash("the shards", int64(p.Total())*shard),
		l.rawSpool("spool write", p.Total(), shard),
		l.rawAsk("QUIC push", push, p.Total(), shard),
		l.rawAsk("receivers' BLAKE3", hash, p.Total(), shard),
		l.rawAsk("receivers' durable writes", durable, p.Total(), shard),
	})
	if err != nil {
		return nil, err
	}
	r = r.atLeast(publishGoal).noted("%d+%d, %s on the wire", p.Data, p.Parity, size(int64(p.Total())*shard))
	cmd := row{Step: "tes publish --wait", Bytes: l.size, Seconds: command.wall.Seconds(), Bound: r.Seconds}
	if tes == "" {
		return []row{r, row{Step: cmd.Step}.noted("left out: %s", problem)}, nil
	}
	cmd.Ratio = cmd.Bound / cmd.Seconds
	return []row{r, cmd.within(commandGoal).noted("the bound is the row above")}, nil
}

// publishing makes a new tessera, measures how it is published, and deletes it everywhere: what stays
// would make the next round's files lie in colder memory than those of the raw parts.
func (l *lab) publishing(owner *node, publish func(context.Context, sdk.TesseraID) error) timed {
	return func(ctx context.Context, t *timer) error {
		made, err := l.newTessera(ctx, owner)
		if err != nil {
			return err
		}
		t.begin()
		err = publish(ctx, made.ID)
		t.end()
		return errors.Join(err, l.forget(ctx, owner, made.ID))
	}
}

// forget deletes a tessera and waits until no holder has anything of it.
func (l *lab) forget(ctx context.Context, owner *node, id sdk.TesseraID) error {
	if _, err := owner.client.Delete(ctx, id.String()); err != nil {
		return err
	}
	for _, h := range l.holders {
		err := h.await(ctx, "it to forget", func() (bool, error) {
			s, err := h.client.NodeStatus(ctx)
			return err == nil && s.FragmentsHeld == 0, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func byAPI(owner *node) func(context.Context, sdk.TesseraID) error {
	return func(ctx context.Context, id sdk.TesseraID) error {
		p, err := owner.client.Publish(ctx, id.String(), localapi.PublishOptions{Wait: true}, func(localapi.Progress) {})
		if err == nil && (p.Placed != p.Fragments || !p.AtTarget) {
			err = fmt.Errorf("only %d of %d fragments were placed", p.Placed, p.Fragments)
		}
		return err
	}
}

func (l *lab) byCommand(tes string, owner *node) func(context.Context, sdk.TesseraID) error {
	return func(ctx context.Context, id sdk.TesseraID) error {
		cmd := exec.CommandContext(ctx, tes, "--data-dir", owner.dir, "publish", id.String(), "--wait")
		cmd.Env = own(os.Environ())
		dieWithParent(cmd)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
}

// buildTes builds the command line; "" and a reason where that cannot be done here.
func (l *lab) buildTes(ctx context.Context) (tes, problem string) {
	if l.quick {
		return "", "-quick"
	}
	tes = l.path("tes")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", tes, "github.com/tesseras/tesseras/cmd/tes")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Sprintf("it does not build: %v: %.100q", err, out)
	}
	return tes, ""
}

// fetchRow measures a restore on a node that has nothing, to a folder, as the command line does it.
func (l *lab) fetchRow(ctx context.Context) ([]row, error) {
	owner, err := l.publisher(ctx)
	if err != nil {
		return nil, err
	}
	heir, err := l.startMember(ctx, "heir")
	if err != nil {
		return nil, err
	}
	made, err := l.newTessera(ctx, owner)
	if err == nil {
		err = byAPI(owner)(ctx, made.ID)
	}
	if err != nil {
		return nil, err
	}
	p := l.params()
	r, err := l.contest(ctx, fmt.Sprintf("fetch from %d processes", l.nodes), l.size, func(ctx context.Context, t *timer) error {
		dest := l.path("restored")
		defer os.RemoveAll(dest)
		t.begin()
		defer t.end()
		return restore(ctx, heir, made.ID, dest)
	}, []part{
		l.rawAsk("QUIC pull", pull, p.Data, p.ShardSize()),
		l.rawHash("the data shards", int64(p.Data)*p.ShardSize()),
		l.rawSpool("spool write", p.Data, p.ShardSize()),
		l.rawSocket(l.size),
		l.rawHash("the file", l.size),
		l.rawSpool("plain write", 1, l.size),
	})
	if err != nil {
		return nil, err
	}
	return []row{r.atLeast(fetchGoal)}, l.forget(ctx, owner, made.ID)
}

// restore fetches a tessera into a folder.
func restore(ctx context.Context, n *node, id sdk.TesseraID, dest string) error {
	body, err := n.client.Fetch(ctx, id.String(), func(localapi.Progress) {})
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = tessera.UnpackTo(ctx, body, dest, tessera.UnpackOptions{ID: id})
	return err
}
