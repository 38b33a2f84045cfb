package localapi

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// keeper is a backend with decisions: one about anID, and one of the id 0123456789abcdef.
type keeper struct {
	fake
	since time.Time
	fail  error
}

func (k *keeper) DecisionRecords(_ context.Context, decision string, tessera sdk.TesseraID, since time.Time, w io.Writer) (int, error) {
	k.since = since
	switch {
	case k.fail != nil:
		return 0, k.fail
	case tessera == anID:
		return io.WriteString(w, "tessera")
	case tessera.IsZero() && decision == "":
		return 2, write(w, strings.Repeat("all", 1<<20))
	case tessera.IsZero() && strings.HasPrefix("0123456789abcdef", decision):
		return 1, write(w, "decision")
	}
	return 0, nil
}

func write(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}

func TestDecisions(t *testing.T) {
	k := &keeper{fake: fake{known: []sdk.TesseraID{anID}}}
	both(t, k, func(t *testing.T, c *Client) {
		read := func(q DecisionQuery) (string, error) {
			body, err := c.Decisions(t.Context(), q)
			if err != nil {
				return "", err
			}
			defer body.Close()
			b, err := io.ReadAll(body)
			return string(b), err
		}
		since := time.UnixMilli(1_700_000_000_123)
		for about, want := range map[string]string{
			anID.String(): "tessera", anID.String()[:6]: "tessera", "0123456789abcdef": "decision", "0123": "decision",
			"": strings.Repeat("all", 1<<20),
		} {
			if got, err := read(DecisionQuery{About: about, Since: since}); err != nil || got != want || !k.since.Equal(since) {
				t.Errorf("%s: %.20q, %v, since %v", about, got, err, k.since)
			}
		}
		if _, err := read(DecisionQuery{}); err != nil || !k.since.IsZero() {
			t.Errorf("%v, since %v", err, k.since)
		}
		for about, want := range map[string]Code{
			"fedcba9876543210": CodeNotFound, sdk.TesseraID{9}.String(): CodeNotFound, "012": CodeUsage, "not hex": CodeUsage,
		} {
			if got, err := read(DecisionQuery{About: about}); CodeOf(err) != want {
				t.Errorf("%s: %.20q, %v", about, got, err)
			}
		}
		k.fail = Fail(CodeFailed, "look", errors.New("the disk"))
		defer func() { k.fail = nil }()
		if _, err := read(DecisionQuery{}); CodeOf(err) != CodeFailed || err.Error() != "the disk" || HintOf(err) != "look" {
			t.Errorf("%v", err)
		}
	})
}

// TestNoDecisions: a backend that keeps none says so.
func TestNoDecisions(t *testing.T) {
	both(t, &fake{}, func(t *testing.T, c *Client) {
		if _, err := c.Decisions(t.Context(), DecisionQuery{}); err == nil || !strings.Contains(err.Error(), "keeps no decisions") {
			t.Errorf("%v", err)
		}
	})
}
