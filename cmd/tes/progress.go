package main

import (
	"io"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/tesseras/tesseras/host/localapi"
)

// meter shows the progress of a long operation, on a terminal only.
type meter struct {
	shown *mpb.Progress // nil shows nothing

	mu    sync.Mutex // guards below
	bar   *mpb.Bar
	stage string
	total int64
}

// meter starts one. Close it before anything else is printed.
func (a *app) meter() *meter {
	if !a.stderrTerminal || a.quiet || a.json {
		return &meter{}
	}
	return &meter{shown: mpb.New(mpb.WithOutput(a.stderr), mpb.WithWidth(40))}
}

// report is a localapi.ProgressFunc.
func (m *meter) report(p localapi.Progress) {
	if m.shown == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bar == nil || p.Stage != m.stage {
		m.dropLocked()
		m.bar, m.stage, m.total = m.shown.New(p.Total, mpb.BarStyle(), m.decorators(p)...), p.Stage, p.Total
	}
	if p.Total != m.total {
		m.total = p.Total
		m.bar.SetTotal(p.Total, false)
	}
	m.bar.SetCurrent(p.Done)
}

func (m *meter) decorators(p localapi.Progress) []mpb.BarOption {
	name := mpb.PrependDecorators(decor.Name(p.Stage, decor.WC{C: decor.DindentRight | decor.DextraSpace}))
	eta := decor.OnComplete(decor.AverageETA(decor.ET_STYLE_GO), "")
	if p.Unit == localapi.Bytes {
		return []mpb.BarOption{mpb.BarRemoveOnComplete(), name, mpb.AppendDecorators(
			decor.CountersKibiByte("% .1f / % .1f"), decor.AverageSpeed(decor.SizeB1024(0), "  % .1f  "), eta)}
	}
	return []mpb.BarOption{mpb.BarRemoveOnComplete(), name, mpb.AppendDecorators(
		decor.CountersNoUnit("%d / %d "+p.Unit), decor.Name("  "), eta)}
}

// dropLocked takes the bar of a stage that is over off the screen.
func (m *meter) dropLocked() {
	if m.bar != nil {
		m.bar.Abort(true)
		m.bar = nil
	}
}

// close takes the bar off the screen.
func (m *meter) close() {
	if m.shown == nil {
		return
	}
	m.mu.Lock()
	m.dropLocked()
	m.mu.Unlock()
	m.shown.Wait()
}

// counter reports the bytes that pass.
type counter struct {
	meter    *meter
	progress localapi.Progress
}

func (m *meter) counter(stage string, total int64) *counter {
	return &counter{m, localapi.Progress{Stage: stage, Total: total, Unit: localapi.Bytes}}
}

func (c *counter) add(n int) {
	c.progress.Done += int64(n)
	c.meter.report(c.progress)
}

// writer counts what is written to w.
func (c *counter) writer(w io.Writer) io.Writer { return countingWriter{w, c} }

type countingWriter struct {
	io.Writer
	counter *counter
}

func (w countingWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.counter.add(n)
	return n, err
}

// reader counts what is read from r.
func (c *counter) reader(r io.Reader) io.Reader { return countingReader{r, c} }

type countingReader struct {
	io.Reader
	counter *counter
}

func (r countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.counter.add(n)
	return n, err
}
