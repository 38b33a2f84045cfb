package localapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tesseras/tesseras/sdk"
)

// DecisionQuery says which decisions of the policies are meant.
type DecisionQuery struct {
	About string    // a decision's id or a tessera's, or the first digits of one; "" is all
	Since time.Time // zero is ever
}

// DecisionKeeper is a backend that keeps what its policies decided. Not every backend does.
type DecisionKeeper interface {
	// DecisionRecords writes the decisions that are meant as host/policy/decisions exports them. With a
	// tessera, decision is ""; with a decision, tessera is zero. found is how many were written; with
	// an error nothing that was written may be used.
	DecisionRecords(ctx context.Context, decision string, tessera sdk.TesseraID, since time.Time, w io.Writer) (found int, err error)
}

const hintNoDecision = "decisions are kept within policy.decisions_kept, the oldest go first"

// decisions answers GET /v1/decisions?about=...&since=... with an export.
func (f *files) decisions(w http.ResponseWriter, r *http.Request) {
	about := r.FormValue("about")
	ms, err := strconv.ParseInt(r.FormValue("since"), 10, 64)
	if err != nil {
		refuse(w, Fail(CodeUsage, "", fmt.Errorf("since: %w", err)))
		return
	}
	var since time.Time
	if ms != 0 {
		since = time.UnixMilli(ms)
	}
	h := w.Header()
	body := &lateWriter{w: bufio.NewWriterSize(onlyWriter{w}, bodyBuffer), begin: func() {
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Trailer", headerStatus)
	}}
	err = f.exportDecisions(r.Context(), about, since, body)
	if err != nil && !body.begun {
		refuse(w, err)
		return
	}
	if err == nil {
		err = body.w.Flush()
	}
	h.Set(headerStatus, statusOf(err))
}

// exportDecisions takes text for a tessera first, and for a decision where there is none.
func (f *files) exportDecisions(ctx context.Context, about string, since time.Time, w io.Writer) error {
	keeper, ok := f.backend.(DecisionKeeper)
	if !ok {
		return errors.New("this node keeps no decisions")
	}
	if about == "" {
		_, err := keeper.DecisionRecords(ctx, "", sdk.TesseraID{}, since, w)
		return err
	}
	id, unknown := resolve(ctx, f.backend, about)
	if unknown == nil {
		found, err := ifAny(w, func(w io.Writer) (int, error) { return keeper.DecisionRecords(ctx, "", id, since, w) })
		if err != nil || found > 0 {
			return err
		}
		unknown = Fail(CodeNotFound, hintNoDecision, fmt.Errorf("no decision about %s is kept", id.Short()))
	}
	if len(about) < minPrefix || len(about) > decisionID {
		return unknown
	}
	found, err := ifAny(w, func(w io.Writer) (int, error) { return keeper.DecisionRecords(ctx, about, sdk.TesseraID{}, since, w) })
	if err == nil && found == 0 && CodeOf(unknown) == CodeUsage {
		return unknown
	}
	if err == nil && found == 0 {
		err = Fail(CodeNotFound, hintNoDecision, fmt.Errorf("%s is neither a decision that is kept nor a tessera with one", about))
	}
	return err
}

// decisionID is how many digits the id of a decision has.
const decisionID = 16

// ifAny exports where something is found: once to see whether there is, and then for good, so that
// nothing has to be kept meanwhile.
func ifAny(w io.Writer, export func(io.Writer) (int, error)) (found int, err error) {
	if found, err = export(io.Discard); err != nil || found == 0 {
		return 0, err
	}
	return export(w)
}

// lateWriter calls begin before the first byte.
type lateWriter struct {
	w     *bufio.Writer
	begin func()
	begun bool
}

func (l *lateWriter) Write(p []byte) (int, error) {
	if !l.begun {
		l.begun = true
		l.begin()
	}
	return l.w.Write(p)
}

// Decisions opens the decisions that are meant, as host/policy/decisions exports them. Only io.EOF says
// that all of them came. The caller closes the body.
func (c *Client) Decisions(ctx context.Context, q DecisionQuery) (io.ReadCloser, error) {
	ms := int64(0)
	if !q.Since.IsZero() {
		ms = q.Since.UnixMilli()
	}
	values := url.Values{"about": {q.About}, "since": {strconv.FormatInt(ms, 10)}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/decisions?"+values.Encode(), nil)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, broken(ctx, err)
	}
	if err := refusal(response); err != nil {
		_ = response.Body.Close() // it was read
		return nil, err
	}
	return &Body{ctx: ctx, response: response}, nil
}
