package localapi

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

func TestEveryRequestCarriesEveryField(t *testing.T) {
	backend := &fake{known: []sdk.TesseraID{anID}}
	both(t, backend, func(t *testing.T, c *Client) {
		ctx, id := t.Context(), anID.String()
		ignore := func(Progress) {}
		for name, ask := range map[string]func() (got any, want any, err error){
			"list":     func() (any, any, error) { v, err := c.List(ctx); return v, []Summary{aSummary}, err },
			"show":     func() (any, any, error) { v, err := c.Show(ctx, id); return v, aDetails, err },
			"delete":   func() (any, any, error) { v, err := c.Delete(ctx, id); return v, Deleted{anID, 12}, err },
			"verify":   func() (any, any, error) { v, err := c.Verify(ctx, id, ignore); return v, aVerified, err },
			"status":   func() (any, any, error) { v, err := c.Status(ctx, id); return v, aStatus, err },
			"node":     func() (any, any, error) { v, err := c.NodeStatus(ctx); return v, aNode, err },
			"identity": func() (any, any, error) { v, err := c.Identity(ctx); return v, anIdentity, err },
			"netcheck": func() (any, any, error) { v, err := c.NetCheck(ctx); return v, aNetCheck, err },
			"peers":    func() (any, any, error) { v, err := c.Peers(ctx); return v, []Peer{aPeer}, err },
			"ledger":   func() (any, any, error) { v, err := c.Ledger(ctx); return v, []Account{anAccount}, err },
			"audit":    func() (any, any, error) { v, err := c.AuditLedger(ctx); return v, anAudit, err },
			"policies": func() (any, any, error) { v, err := c.PolicyList(ctx); return v, somePolicies, err },
			"reload":   func() (any, any, error) { v, err := c.PolicyReload(ctx); return v, somePolicies, err },
			"rollback": func() (any, any, error) { v, err := c.PolicyRollback(ctx); return v, somePolicies, err },
			"plan":     func() (any, any, error) { v, err := c.RepairPlan(ctx); return v, []RepairStep{aStep}, err },
			"gc": func() (any, any, error) {
				want := aSwept
				want.BytesFreed = int64(time.Minute)
				v, err := c.GC(ctx, GCOptions{DryRun: true, Grace: time.Minute})
				return v, want, err
			},
			"gc by default": func() (any, any, error) {
				want := aSwept
				want.DryRun, want.BytesFreed = false, -1
				v, err := c.GC(ctx, GCOptions{Grace: -1})
				return v, want, err
			},
			"scrub": func() (any, any, error) { v, err := c.Scrub(ctx, ignore); return v, aScrub, err },
			"scrub pause": func() (any, any, error) {
				v, err := c.ScrubControl(ctx, ScrubPause)
				return v, aScrubStatus, err
			},
			"run": func() (any, any, error) { v, err := c.RepairRun(ctx, "", ignore); return v, aReport, err },
		} {
			got, want, err := ask()
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
			}
		}
	})
}

func TestErrorsKeepCodeHintAndText(t *testing.T) {
	for _, code := range []Code{CodeFailed, CodeUsage, CodePartly, CodeNotFound, CodeInUse, CodeBelowTarget, CodeCannotRestore, CodeNoDaemon} {
		backend := &fake{fail: boom(code)}
		both(t, backend, func(t *testing.T, c *Client) {
			_, listErr := c.List(t.Context())
			_, verifyErr := c.Verify(t.Context(), anID.String(), func(Progress) {})
			for _, err := range []error{listErr, verifyErr} {
				if CodeOf(err) != code || HintOf(err) != HintOf(backend.fail) || err.Error() != "boom" {
					t.Errorf("got %v, code %d, hint %q, want boom, %d", err, CodeOf(err), HintOf(err), code)
				}
			}
		})
	}
}

func TestPrefixes(t *testing.T) {
	other := sdk.TesseraID{0xab, 0xcd, 2}
	backend := &fake{known: []sdk.TesseraID{anID, other}}
	both(t, backend, func(t *testing.T, c *Client) {
		unknown := strings.Repeat("9", 64)
		for _, text := range []string{anID.String(), "abcd01", strings.ToUpper("abcd01"), unknown} {
			if _, err := c.Delete(t.Context(), text); err != nil || !strings.HasPrefix(backend.asked.String(), strings.ToLower(text)) {
				t.Errorf("%s: asked for %s, %v", text, backend.asked, err)
			}
		}
		for text, code := range map[string]Code{
			"abcd": CodeUsage, "abc": CodeUsage, "": CodeUsage, "wxyz": CodeUsage, unknown + "9": CodeUsage,
			"abce": CodeNotFound, unknown[:63]: CodeNotFound,
		} {
			if _, err := c.Delete(t.Context(), text); CodeOf(err) != code || HintOf(err) == "" {
				t.Errorf("%q: got %v, code %d, want %d", text, err, CodeOf(err), code)
			}
		}
	})
}

func TestPublishGivesProgressThenResultAndErrorTogether(t *testing.T) {
	backend := &fake{publish: func(_ context.Context, o PublishOptions, progress ProgressFunc) (Published, error) {
		if !o.Wait || o.Timeout != time.Minute {
			t.Errorf("options %+v", o)
		}
		for i := range int64(1000) { // far more than is worth telling
			progress(Progress{"pushing", i, 1000, Bytes})
		}
		progress(Progress{"pushing", 1000, 1000, Bytes})
		progress(Progress{"waiting", 1, 2, Fragments})
		return aPublished, boom(CodeBelowTarget)
	}}
	both(t, backend, func(t *testing.T, c *Client) {
		var told []Progress
		got, err := c.Publish(t.Context(), anID.String(), PublishOptions{Wait: true, Timeout: time.Minute}, func(p Progress) { told = append(told, p) })
		if got != aPublished || CodeOf(err) != CodeBelowTarget {
			t.Errorf("got %+v, %v", got, err)
		}
		if len(told) > 100 || !slices.Contains(told, Progress{"pushing", 1000, 1000, Bytes}) || told[len(told)-1].Stage != "waiting" {
			t.Errorf("told %d times, at last %+v", len(told), told[max(0, len(told)-2):])
		}
	})
}

func TestCancelledRequestEndsAtTheNode(t *testing.T) {
	ended := make(chan error)
	backend := &fake{publish: func(ctx context.Context, _ PublishOptions, progress ProgressFunc) (Published, error) {
		progress(Progress{Stage: "waiting"})
		<-ctx.Done()
		ended <- ctx.Err()
		return Published{}, ctx.Err()
	}}
	both(t, backend, func(t *testing.T, c *Client) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := c.Publish(ctx, anID.String(), PublishOptions{}, func(Progress) { cancel() })
		if !errors.Is(err, context.Canceled) || CodeOf(err) != CodeInterrupted {
			t.Errorf("got %v", err)
		}
		if err := <-ended; err == nil {
			t.Error("the node went on")
		}
	})
}

func TestStoppingNodeEndsWaitingRequests(t *testing.T) {
	dir := t.TempDir()
	backend := &fake{}
	stop := serve(t, dir, "", backend)
	stopped := make(chan struct{})
	backend.publish = func(ctx context.Context, _ PublishOptions, _ ProgressFunc) (Published, error) {
		go func() { stop(); close(stopped) }()
		<-ctx.Done()
		return Published{}, ctx.Err()
	}
	c, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Publish(t.Context(), anID.String(), PublishOptions{}, func(Progress) {})
	if CodeOf(err) != CodeFailed || !strings.Contains(err.Error(), "the node is stopping") {
		t.Errorf("got %v", err)
	}
	<-stopped
}
