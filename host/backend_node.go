package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/tesseras/tesseras/host/archive"
	"github.com/tesseras/tesseras/host/catalog"
	"github.com/tesseras/tesseras/host/fragment"
	"github.com/tesseras/tesseras/host/gather"
	"github.com/tesseras/tesseras/host/health"
	"github.com/tesseras/tesseras/host/identity"
	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/publish"
	"github.com/tesseras/tesseras/host/repair"
	"github.com/tesseras/tesseras/host/restore"
	"github.com/tesseras/tesseras/sdk"
)

var _ localapi.Backend = (*Node)(nil)

// errBelow tells that a publish did not reach its target.
var errBelow = errors.New("below the durability asked for")

// publishJob is a publish that a person asked for. It goes on when that person stops watching.
type publishJob struct {
	done   chan struct{}
	result publish.Result // set before done is closed, with err
	err    error

	mu       sync.Mutex // guards watchers
	watchers map[int]localapi.ProgressFunc
	next     int

	stop context.CancelFunc
}

func (j *publishJob) watch(f localapi.ProgressFunc) (leave func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	id := j.next
	j.next++
	j.watchers[id] = f
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		delete(j.watchers, id)
	}
}

func (j *publishJob) report(stage publish.Stage, done, total int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.watchers {
		f(localapi.Progress{Stage: string(stage), Done: done, Total: total, Unit: localapi.Bytes})
	}
}

// startPublish begins a publish, or joins the one under way.
func (n *Node) startPublish(id sdk.TesseraID) *publishJob {
	n.mu.Lock()
	defer n.mu.Unlock()
	if j := n.publishing[id]; j != nil {
		return j
	}
	j := &publishJob{done: make(chan struct{}), watchers: map[int]localapi.ProgressFunc{}}
	var ctx context.Context
	ctx, j.stop = context.WithCancel(n.background)
	n.publishing[id] = j
	n.tasks.Go(func() {
		j.result, j.err = n.publisher.Publish(ctx, id, j.report)
		j.stop()
		n.mu.Lock()
		delete(n.publishing, id)
		n.mu.Unlock()
		close(j.done)
	})
	return j
}

// endPublish stops the publish of a tessera that is gone.
func (n *Node) endPublish(id sdk.TesseraID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if j := n.publishing[id]; j != nil {
		j.stop()
	}
}

func (n *Node) busy(id sdk.TesseraID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.publishing[id] != nil
}

// Publish implements localapi.Network.
func (n *Node) Publish(ctx context.Context, id sdk.TesseraID, o localapi.PublishOptions, progress localapi.ProgressFunc) (localapi.Published, error) {
	if _, err := n.archive.Get(id); err != nil {
		return localapi.Published{ID: id}, n.about(id, err)
	}
	waiting := ctx
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, o.Timeout)
		defer cancel()
	}
	n.waiting.Add(1)
	defer n.waiting.Add(-1)
	out := localapi.Published{ID: id}
	reason := ""
	for again := false; ; again = true {
		result, err := n.publishOnce(waiting, id, progress)
		if result.Plan != nil {
			out, reason = published(result.Plan, result.Health), result.Reason
		}
		switch {
		case waiting.Err() != nil && ctx.Err() == nil:
			return n.below(id, o.Timeout, reason)
		case err != nil:
			return out, n.about(id, err)
		case out.AtTarget || !o.Wait:
			return out, nil
		}
		if !again {
			n.cycle.Wake() // holders that were silent may be back, with what they held
		}
		select {
		case <-waiting.Done():
		case <-time.After(retryPublish):
		}
	}
}

// retryPublish is the pause before peers that may have come are tried.
const retryPublish = 2 * time.Second

func (n *Node) publishOnce(ctx context.Context, id sdk.TesseraID, progress localapi.ProgressFunc) (publish.Result, error) {
	j := n.startPublish(id)
	defer j.watch(progress)()
	select {
	case <-j.done:
		return j.result, j.err
	case <-ctx.Done():
		return publish.Result{}, ctx.Err()
	}
}

func published(plan *fragment.FragmentPlan, r health.Report) localapi.Published {
	return localapi.Published{
		ID: plan.Tessera, Tier: tierName(plan.Tier), Fragments: r.Total, Placed: r.Held, Peers: r.Peers,
		SurvivesPeers: r.Survives.Peers, AtTarget: r.Status == health.Healthy,
	}
}

// below tells how far a publish is that was waited for in vain.
func (n *Node) below(id sdk.TesseraID, timeout time.Duration, reason string) (localapi.Published, error) {
	t, err := n.archive.Get(id)
	if err != nil {
		return localapi.Published{ID: id}, n.about(id, err)
	}
	st, err := n.health(t, n.busy)
	if err != nil {
		return localapi.Published{ID: id}, err
	}
	out, err := localapi.Published{ID: id}, fmt.Errorf("%w after %s: it is still being coded", errBelow, timeout)
	if st.plan != nil {
		out = published(st.plan, st.report)
		err = fmt.Errorf("%w after %s: %d of %d fragments have a holder, on %d peers of the %d wanted",
			errBelow, timeout, out.Placed, out.Fragments, out.Peers, n.cfg.Replication.Replicas)
	}
	if out.AtTarget {
		return out, nil // just in time
	}
	if reason != "" {
		err = fmt.Errorf("%w: %s", err, reason)
	}
	return out, localapi.Fail(localapi.CodeBelowTarget, "the node goes on trying; tes peers shows whom it has found", err)
}

// Fetch implements localapi.Network. Where the network cannot give enough, the owner's own copy does.
func (n *Node) Fetch(ctx context.Context, id sdk.TesseraID, progress localapi.ProgressFunc) (localapi.Packed, error) {
	if err := n.deleted(id); err != nil {
		return localapi.Packed{}, explain(err)
	}
	collected, err := n.restorer.Collect(ctx, id, func(done, total int64) {
		progress(localapi.Progress{Stage: "fetching", Done: done, Total: total, Unit: localapi.Bytes})
	})
	var few *gather.InsufficientError
	if errors.As(err, &few) || errors.Is(err, restore.ErrNoPlan) {
		if _, missing := n.archive.Get(id); !errors.Is(missing, archive.ErrNotFound) {
			return n.Pack(ctx, id)
		}
	}
	if err != nil {
		return localapi.Packed{}, explain(err)
	}
	packed := localapi.Packed{Size: collected.Plan.Packed, Sources: []localapi.Source{}}
	for _, s := range collected.Served {
		slices.Sort(s.Fragments)
		packed.Sources = append(packed.Sources, localapi.Source{Node: s.Node, Fragments: s.Fragments})
	}
	packed.Write = func(w io.Writer) error {
		if err := collected.Decode(ctx, w); err != nil {
			return errors.Join(err, collected.Leave()) // what was fetched stays, and the next fetch goes on with it
		}
		return collected.Discard()
	}
	return packed, nil
}

// Peers implements localapi.Network.
func (n *Node) Peers(context.Context) ([]localapi.Peer, error) {
	peers := []localapi.Peer{}
	for _, k := range n.dht.Peers() {
		if k.Silent > 0 {
			continue
		}
		_, institutional := n.institutions.Of(k.Contact.Key)
		peers = append(peers, localapi.Peer{
			Node: k.ID(), Addr: k.Contact.Addr.String(), Subnet: identity.Subnet(k.Contact.Addr.Addr()).String(),
			LastSeen: localapi.Moment{Time: k.LastSeen}, Institutional: institutional,
		})
	}
	slices.SortFunc(peers, func(a, b localapi.Peer) int { return cmp.Compare(a.Node.String(), b.Node.String()) })
	return peers, nil
}

// List implements localapi.Tesseras.
func (n *Node) List(ctx context.Context) ([]localapi.Summary, error) { return n.list(ctx, n.busy) }

// Show implements localapi.Tesseras.
func (n *Node) Show(ctx context.Context, id sdk.TesseraID) (localapi.Details, error) {
	return n.show(ctx, id, n.busy)
}

// Status implements localapi.Maintenance.
func (n *Node) Status(ctx context.Context, id sdk.TesseraID) (localapi.Status, error) {
	return n.status(ctx, id, n.busy)
}

// Delete implements localapi.Tesseras; the holders are told in the background.
func (n *Node) Delete(ctx context.Context, id sdk.TesseraID) (localapi.Deleted, error) {
	d, err := n.local.Delete(ctx, id)
	if err == nil {
		n.endPublish(id)
		n.tasks.Go(func() {
			if err := n.publisher.Withdraw(n.background); err != nil {
				n.log.Info("holders will be told of a deletion later", "err", err)
			}
		})
	}
	return d, err
}

// RepairPlan implements localapi.Maintenance.
func (n *Node) RepairPlan(ctx context.Context) ([]localapi.RepairStep, error) {
	planned, err := n.repairer.Plan(ctx)
	if err != nil {
		return nil, explain(err)
	}
	steps := make([]localapi.RepairStep, len(planned))
	for i, p := range planned {
		steps[i] = n.repairStep(p)
	}
	return steps, nil
}

func (n *Node) repairStep(p repair.Planned) localapi.RepairStep {
	wanting, _ := p.Report.Wanting()
	step := localapi.RepairStep{
		ID: p.Tessera, Title: localapi.Name(n.titleOf(p.Tessera)), Health: string(p.Report.Status), Deficit: p.Report.Deficit,
		SurvivesPeers: p.Report.Survives.Peers, Fragments: health.Indexes(wanting), Why: p.Reason,
	}
	switch {
	case p.Wait > 0:
		step.Action = fmt.Sprintf("wait %s", p.Wait.Round(time.Second))
	case p.Rebuild > 0:
		step.Action = fmt.Sprintf("rebuild %d", p.Rebuild)
	default:
		step.Action = "wait"
	}
	return step
}

// titleOf is the title of a tessera that is here or of which fragments are kept here, "" where it cannot be read.
func (n *Node) titleOf(id sdk.TesseraID) string {
	if t, err := n.archive.Get(id); err == nil {
		return t.Title
	}
	if plan, err := n.plan(id); err == nil {
		if head, err := plan.Head(); err == nil {
			return head.Title
		}
	}
	return ""
}

// RepairRun implements localapi.Maintenance.
func (n *Node) RepairRun(ctx context.Context, id sdk.TesseraID, progress localapi.ProgressFunc) (localapi.RepairReport, error) {
	progress(localapi.Progress{Stage: "checking", Unit: localapi.Fragments})
	var only []sdk.TesseraID
	if !id.IsZero() {
		if err := n.hasPlan(id); err != nil {
			return localapi.RepairReport{}, err
		}
		only = []sdk.TesseraID{id}
	}
	cured, err := n.healer.Run(ctx, only)
	if err != nil {
		return localapi.RepairReport{CorruptHealed: cured.Healed, Failures: []localapi.Failure{}}, explain(err)
	}
	s, err := n.repairer.Run(ctx, only)
	report := localapi.RepairReport{
		Checked: s.Checked, Healthy: s.Healthy, Repaired: s.Repaired, RebuiltFragments: s.Rebuilt,
		Failed: len(s.Failed) + len(cured.Failed), CorruptHealed: cured.Healed, Failures: []localapi.Failure{},
	}
	for _, f := range cured.Failed {
		report.Failures = append(report.Failures, localapi.Failure{ID: f.Tessera, Why: "damage here could not be made good: " + f.Err.Error()})
	}
	for _, f := range s.Failed {
		report.Failures = append(report.Failures, localapi.Failure{ID: f.Tessera, Why: f.Err.Error()})
	}
	return report, explain(err)
}

// hasPlan tells whether there is anything to repair by.
func (n *Node) hasPlan(id sdk.TesseraID) error {
	keeps := false // a fragment of somebody else's
	err := n.catalog.View(func(tx *catalog.Tx) error {
		for _, err := range tx.Fragments(id) {
			keeps = err == nil
			return err
		}
		_, err := tx.Plan(id)
		return err
	})
	if keeps {
		return nil
	}
	if _, err := n.archive.Get(id); err != nil {
		return n.about(id, err)
	}
	if errors.Is(err, catalog.ErrNotFound) {
		return localapi.Fail(localapi.CodeFailed, "tes publish gives it to peers first", fmt.Errorf("%s was never published", id.Short()))
	}
	return err
}

// NodeStatus implements localapi.Node.
func (n *Node) NodeStatus(context.Context) (localapi.NodeStatus, error) {
	return n.withUnplanned(n.figures())
}

// figures is that of a node without network, with what the network knows.
func (n *Node) figures() (localapi.NodeStatus, error) {
	s, err := n.local.figures()
	s.Addr = n.Addr().String()
	for _, k := range n.dht.Peers() {
		if k.Silent == 0 {
			s.Peers++
		}
	}
	return s, err
}

// Identity implements localapi.Node.
func (n *Node) Identity(ctx context.Context) (localapi.Identity, error) {
	who, err := n.local.Identity(ctx)
	who.Addr = n.Addr().String()
	return who, err
}

// What a backend without a network answers.

// Publish implements localapi.Network.
func (*localBackend) Publish(context.Context, sdk.TesseraID, localapi.PublishOptions, localapi.ProgressFunc) (localapi.Published, error) {
	return localapi.Published{}, localapi.ErrNoDaemon
}

// Fetch implements localapi.Network.
func (*localBackend) Fetch(context.Context, sdk.TesseraID, localapi.ProgressFunc) (localapi.Packed, error) {
	return localapi.Packed{}, localapi.ErrNoDaemon
}

// Peers implements localapi.Network.
func (*localBackend) Peers(context.Context) ([]localapi.Peer, error) {
	return nil, localapi.ErrNoDaemon
}

// RepairPlan implements localapi.Maintenance.
func (*localBackend) RepairPlan(context.Context) ([]localapi.RepairStep, error) {
	return nil, localapi.ErrNoDaemon
}

// RepairRun implements localapi.Maintenance.
func (*localBackend) RepairRun(context.Context, sdk.TesseraID, localapi.ProgressFunc) (localapi.RepairReport, error) {
	return localapi.RepairReport{}, localapi.ErrNoDaemon
}

// PolicyList implements localapi.Policies.
func (*localBackend) PolicyList(context.Context) (localapi.PolicyList, error) {
	return localapi.PolicyList{}, localapi.ErrNoDaemon
}

// PolicyReload implements localapi.Policies.
func (*localBackend) PolicyReload(context.Context) (localapi.PolicyList, error) {
	return localapi.PolicyList{}, localapi.ErrNoDaemon
}

// PolicyRollback implements localapi.Policies.
func (*localBackend) PolicyRollback(context.Context) (localapi.PolicyList, error) {
	return localapi.PolicyList{}, localapi.ErrNoDaemon
}
