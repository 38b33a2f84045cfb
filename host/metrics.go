package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tesseras/tesseras/host/localapi"
)

// listenMetrics opens the endpoint of the metrics; "" is none.
func listenMetrics(address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, unbound("--metrics", fmt.Errorf("metrics.listen: %w", err))
	}
	return l, nil
}

// serveMetrics answers GET /metrics on l until ctx ends.
func serveMetrics(ctx context.Context, n *Node, l net.Listener) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &collector{n})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// The metrics of a node. Their names are a promise.
var (
	descPoolSize      = describe("conn_pool_size", "Connections to peers that are open.")
	descPoolHits      = describe("conn_pool_hits_total", "Requests that found an open connection.")
	descPoolMisses    = describe("conn_pool_misses_total", "Requests that had to dial.")
	descPoolEvictions = describe("conn_pool_evictions_total", "Idle connections closed, to make room for another or because they were idle for long.")
	descHalfOpen      = describe("handshakes_half_open", "Handshakes of strangers under way.")
	descRetried       = describe("handshakes_retried_total", "Strangers that had to prove their address first.")
	descRefused       = describe("refused_total", "What strangers and peers did or said that was not taken, by what it was.", "what")
	descPeers         = describe("peers", "Peers that answer.")
	descTesseras      = describe("tesseras", "The owner's own tesseras.")
	descFragments     = describe("fragments_held", "Fragments kept for others.")
	descFragmentBytes = describe("fragments_held_bytes", "Bytes of fragments kept for others.")
	descFree          = describe("free_bytes", "Bytes free on the disk.")
	descDecisions     = describe("policy_decisions_total", "Questions put to policies.", "role", "policy", "runtime", "outcome")
	descAlarms        = describe("policy_alarms_total", "What went wrong with policies; policy is empty where nobody answered.", "role", "policy", "alarm")
	descUnrecorded    = describe("policy_decisions_lost_total", "Decisions that could not be recorded.")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("tesseras_"+name, help, labels, nil)
}

// collector reads the figures from the rooms when somebody asks.
type collector struct{ node *Node }

var _ prometheus.Collector = (*collector)(nil)

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, out) }

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	pool := c.node.net.Stats()
	gauge(descPoolSize, float64(pool.Size))
	count(descPoolHits, float64(pool.Hits))
	count(descPoolMisses, float64(pool.Misses))
	count(descPoolEvictions, float64(pool.Evictions))
	gate := c.node.net.Gate()
	gauge(descHalfOpen, float64(gate.HalfOpen))
	count(descRetried, float64(gate.Retried))
	for what, times := range c.node.refusals.all() {
		count(descRefused, float64(times), what)
	}
	collectStore(c.node, gauge, count, out)
	for _, d := range c.node.decisions.List() {
		count(descDecisions, float64(d.Calls), string(d.Role), d.Policy, d.Runtime, string(d.Outcome))
	}
	for _, a := range c.node.decisions.Alarms() {
		count(descAlarms, float64(a.Times), string(a.Role), a.Policy, string(a.Alarm))
	}
	count(descUnrecorded, float64(c.node.explained.Lost()))
	status, err := c.node.figures()
	if err != nil {
		out <- prometheus.NewInvalidMetric(descFree, err)
		status = localapi.NodeStatus{}
	}
	gauge(descPeers, float64(status.Peers))
	gauge(descTesseras, float64(status.Tesseras))
	gauge(descFragments, float64(status.FragmentsHeld))
	gauge(descFragmentBytes, float64(status.BytesHeld))
	gauge(descFree, float64(status.FreeBytes))
}
