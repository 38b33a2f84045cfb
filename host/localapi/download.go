package localapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strconv"

	"github.com/tesseras/tesseras/sdk"
)

// Body is a packed tar on its way from the node. Only io.EOF says that all of it came; any other error
// says that what was read is not to be kept.
type Body struct {
	ID      sdk.TesseraID
	Size    int64    // in bytes
	Sources []Source // the holders it was restored from

	ctx      context.Context
	response *http.Response
}

var errTruncated = fmt.Errorf("the stream broke off: %w", io.ErrUnexpectedEOF)

// Packed opens one of the owner's tesseras. The caller closes the body.
func (c *Client) Packed(ctx context.Context, id string) (*Body, error) {
	return c.get(ctx, "/v1/packed/"+url.PathEscape(id))
}

// Fetch opens a tessera restored from the network. progress has the news of the search; the rest is
// the reading of the body, which the caller closes.
func (c *Client) Fetch(ctx context.Context, id string, progress ProgressFunc) (*Body, error) {
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
			var p Progress
			if json.Unmarshal([]byte(h.Get(headerProgress)), &p) == nil {
				progress(p)
			}
			return nil
		},
	})
	return c.get(traced, "/v1/fetch/"+url.PathEscape(id))
}

func (c *Client) get(ctx context.Context, path string) (*Body, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
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
	b := &Body{ctx: ctx, response: response}
	if b.ID, err = sdk.ParseTesseraID(response.Header.Get(headerID)); err != nil {
		return nil, errors.Join(fmt.Errorf("answer of the node: %w", err), b.Close())
	}
	// Both are for show; a node that does not say leaves them empty.
	b.Size, _ = strconv.ParseInt(response.Header.Get(headerSize), 10, 64)
	_ = json.Unmarshal([]byte(response.Header.Get(headerSources)), &b.Sources)
	return b, nil
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	n, err := b.response.Body.Read(p)
	switch {
	case err == io.EOF:
		err = b.verdict()
	case err != nil:
		err = broken(b.ctx, err)
	}
	return n, err
}

// verdict is what the node says of the body it sent.
func (b *Body) verdict() error {
	status := b.response.Trailer.Get(headerStatus)
	if status == statusOK {
		return io.EOF
	}
	if err, ok := parseErrorJSON([]byte(status)); ok {
		return err
	}
	return lost(errTruncated)
}

// Close implements io.Closer.
func (b *Body) Close() error { return b.response.Body.Close() }
