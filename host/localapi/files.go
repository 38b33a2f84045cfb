package localapi

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/tesseras/tesseras/sdk"
)

// What travels beside a body.
const (
	headerStatus   = "Tesseras-Status"   // trailer: statusOK, or the error as JSON
	headerID       = "Tesseras-Id"       // of the tessera in the body
	headerSize     = "Tesseras-Size"     // of the body in bytes
	headerSources  = "Tesseras-Sources"  // holders a fetch came from, as JSON
	headerProgress = "Tesseras-Progress" // of the search, in interim responses, as JSON
	statusOK       = "ok"
)

// bodyBuffer is how much is handed to the socket at once: less costs system calls, more gains nothing.
const bodyBuffer = 256 << 10

// files serves contents of files over a backend.
type files struct{ backend Backend }

func (f *files) create(w http.ResponseWriter, r *http.Request) {
	created, err := f.backend.Create(r.Context(), r.Body)
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(created) // a client that is gone asks again: the tessera is there
}

func (f *files) packed(w http.ResponseWriter, r *http.Request) {
	f.send(w, r, f.backend.Pack)
}

func (f *files) fetch(w http.ResponseWriter, r *http.Request) {
	reporter := newReporter(func(p Progress) { interim(w, p) })
	f.send(w, r, func(ctx context.Context, id sdk.TesseraID) (Packed, error) {
		defer reporter.stop() // before the header of the final response
		return f.backend.Fetch(ctx, id, reporter.report)
	})
}

// interim sends a response before the response.
func interim(w http.ResponseWriter, p Progress) {
	text, err := json.Marshal(p)
	if err != nil {
		return
	}
	w.Header().Set(headerProgress, asciiJSON(text))
	w.WriteHeader(http.StatusProcessing)
	w.Header().Del(headerProgress)
}

func (f *files) send(w http.ResponseWriter, r *http.Request, open func(context.Context, sdk.TesseraID) (Packed, error)) {
	id, err := resolve(r.Context(), f.backend, r.PathValue("id"))
	if err != nil {
		refuse(w, err)
		return
	}
	p, err := open(r.Context(), id)
	if err != nil {
		refuse(w, err)
		return
	}
	h := w.Header()
	h.Set(headerID, id.String())
	h.Set("Content-Type", "application/x-tar")
	h.Set("Trailer", headerStatus)
	h.Set(headerSize, strconv.FormatInt(p.Size, 10))
	if p.Sources != nil {
		if text, err := json.Marshal(p.Sources); err == nil {
			h.Set(headerSources, string(text))
		}
	}
	// The buffer gathers what is written in small pieces; a large piece passes it by.
	buffered := bufio.NewWriterSize(onlyWriter{w}, bodyBuffer)
	if err = p.Write(buffered); err == nil {
		err = buffered.Flush()
	}
	h.Set(headerStatus, statusOf(err))
}

// onlyWriter hides ReadFrom, which would flush after each of its smaller pieces.
type onlyWriter struct{ io.Writer }

// maxErrorText bounds the error in a trailer, in bytes: that of a folder with many bad files may be long.
const maxErrorText = 8 << 10

func statusOf(err error) string {
	if err == nil {
		return statusOK
	}
	text := oneLine(err)
	if len(text) > maxErrorText {
		text = text[:maxErrorText] + " ..."
	}
	return asciiJSON(errorJSON(err, text))
}

// refuse answers with an error instead of what was asked for.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch CodeOf(err) {
	case CodeUsage:
		status = http.StatusBadRequest
	case CodeNotFound:
		status = http.StatusNotFound
	case CodeNoDaemon, CodeCannotRestore, CodeInUse:
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(ErrorJSON(err)) // a client that is gone needs no answer
}

// asciiJSON makes JSON fit for a header: what is not printable ASCII is escaped.
func asciiJSON(text []byte) string {
	var b strings.Builder
	for _, r := range string(text) {
		if r < 0x7f {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}
