package config

import (
	"testing"
	"time"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "4096": 4096, "64MiB": 64 * MiB, "1.5 GiB": GiB + 512*MiB, "20MB": 20_000_000, "1k": 1000, "8EiB": -1,
		"": -1, "-1": -1, "x": -1, "1 GiBB": -1, "99999999999999999999": -1,
	} {
		got, err := ParseSize(text)
		if want < 0 && err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", text, got)
		}
		if want >= 0 && (err != nil || got != want) {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for size, want := range map[Size]string{0: "0", 1000: "1000", KiB: "1KiB", GiB: "1GiB", 3 * TiB: "3TiB", GiB + MiB: "1025MiB"} {
		if got := size.String(); got != want {
			t.Errorf("Size(%d) is written %q, want %q", int64(size), got, want)
		}
		if again, err := ParseSize(size.String()); err != nil || again != size {
			t.Errorf("%s is read as %d, %v", size, again, err)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "30s": 30 * time.Second, "24h": dayLength, "30d": 30 * dayLength, "1d12h": 36 * time.Hour, "1h30m": 90 * time.Minute,
		"": -1, "d": -1, "5": -1, "-5s": -1, "1d-5s": -1, "1.5d": -1, "1h2d": -1, "99999999999d": -1, "2562047h": -1,
	} {
		got, err := ParseDuration(text)
		if want < 0 && err == nil {
			t.Errorf("ParseDuration(%q) = %s, want an error", text, got)
		}
		if want >= 0 && (err != nil || got.Std() != want) {
			t.Errorf("ParseDuration(%q) = %s, %v, want %s", text, got, err, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", 90 * time.Second: "1m30s", 2 * time.Minute: "2m", 24 * time.Hour: "24h",
		90 * time.Minute: "1h30m", 30 * dayLength: "30d", 2*dayLength + time.Hour: "49h",
	} {
		if got := Duration(d).String(); got != want {
			t.Errorf("%s is written %q, want %q", d, got, want)
		}
		if again, err := ParseDuration(Duration(d).String()); err != nil || again.Std() != d {
			t.Errorf("%s is read as %s, %v", d, again, err)
		}
	}
}
