package sdk

import (
	"math"
	"testing"
)

func TestSizeText(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 bytes", 1: "1 byte", 1023: "1023 bytes", 1024: "1 KiB", 1025: "1.1 KiB", 1536: "1.5 KiB",
		256 << 20: "256 MiB", 256<<20 + 1: "256.1 MiB", 300 << 20: "300 MiB", 1<<30 - 1: "1 GiB",
		1 << 30: "1 GiB", math.MaxUint64: "16 EiB",
	} {
		if got := SizeText(n); got != want {
			t.Errorf("SizeText(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestDurationText(t *testing.T) {
	for ms, want := range map[uint64]string{
		0: "0 ms", 1999: "1999 ms", 2000: "2 s", 119_999: "119 s", 120_000: "2 min", 43_200_000: "12 h", 172_800_000: "2 days",
	} {
		if got := DurationText(ms); got != want {
			t.Errorf("DurationText(%d) = %q, want %q", ms, got, want)
		}
	}
}

func TestSubnetAndIDText(t *testing.T) {
	for _, tt := range []struct {
		subnet []byte
		want   string
	}{
		{[]byte{10, 1, 2}, "10.1.2.0/24"},
		{[]byte{0x20, 0x01, 0x0d, 0xb8, 0, 7}, "2001:db8:7::/48"},
		{nil, "an unknown network"},
	} {
		if got := SubnetText(tt.subnet); got != tt.want {
			t.Errorf("SubnetText(%x) = %q, want %q", tt.subnet, got, tt.want)
		}
	}
	if got := ShortID([]byte{0xab, 0x12}); got != "ab12" {
		t.Errorf("ShortID = %q", got)
	}
}
