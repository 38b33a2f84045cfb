package host_test

import (
	"testing"
	"time"

	"github.com/tesseras/tesseras/host/config"
)

// TestPoolMetricsMove: each of the four tells what happened.
func TestPoolMetricsMove(t *testing.T) {
	v, owner := newVillage(t, 3, func(c *config.Config) {
		c.Performance.IdleTimeout = config.Duration(300 * time.Millisecond)
		c.Performance.ReaperInterval = config.Duration(50 * time.Millisecond)
	})
	scrape := func() map[string]float64 {
		t.Helper()
		m, err := owner.Metrics()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	ping := func() {
		t.Helper()
		if err := owner.PingPeer(t.Context(), v.nodes[0].Contact()); err != nil {
			t.Fatal(err)
		}
	}
	v.eventually("idle connections to be closed", func() bool { return owner.PoolStats().Size == 0 })
	before := scrape()
	if before["tesseras_conn_pool_size"] != 0 || before["tesseras_conn_pool_evictions_total"] < 3 {
		t.Errorf("after all were idle: %v", before)
	}
	ping()
	after := scrape()
	if after["tesseras_conn_pool_size"] < 1 || after["tesseras_conn_pool_misses_total"] <= before["tesseras_conn_pool_misses_total"] {
		t.Errorf("after a dial: %v", after)
	}
	before = after
	ping()
	after = scrape()
	if after["tesseras_conn_pool_hits_total"] <= before["tesseras_conn_pool_hits_total"] {
		t.Errorf("after a second request: %v", after)
	}
}

// TestPoolSettingsTakeEffect: performance.max_connections, idle_timeout and reaper_interval.
func TestPoolSettingsTakeEffect(t *testing.T) {
	v, few := newVillage(t, 5, func(c *config.Config) { c.Performance.MaxConnections = 3 })
	for _, m := range v.nodes[:5] {
		if err := few.PingPeer(t.Context(), m.Contact()); err != nil {
			t.Fatal(err)
		}
		if s := few.PoolStats(); s.Size > 3 {
			t.Fatalf("%d connections, 3 allowed", s.Size)
		}
	}
	if s := few.PoolStats(); s.Evictions == 0 {
		t.Errorf("nobody made room: %+v", s)
	}
	quick := v.add(func(c *config.Config) {
		c.Performance.IdleTimeout = config.Duration(100 * time.Millisecond)
		c.Performance.ReaperInterval = config.Duration(20 * time.Millisecond)
	})
	lazy := v.add(func(c *config.Config) {
		c.Performance.IdleTimeout = config.Duration(100 * time.Millisecond)
		c.Performance.ReaperInterval = config.Duration(time.Hour)
	})
	patient := v.add()
	for _, m := range []*member{lazy, patient} {
		if err := m.PingPeer(t.Context(), v.nodes[0].Contact()); err != nil {
			t.Fatal(err)
		}
	}
	v.eventually("idle connections to be closed", func() bool { return quick.PoolStats().Size == 0 })
	for name, m := range map[string]*member{"a reaper that comes once an hour": lazy, "an idle timeout of two minutes": patient} {
		if s := m.PoolStats(); s.Size == 0 || s.Evictions != 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}
