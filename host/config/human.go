package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// Size is a number of bytes, written as people do: "1GiB", "1.5MiB", "20MB", "4096".
type Size int64

// Sizes to count in.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
	TiB Size = 1 << 40
)

var (
	errSize     = errors.New(`want a size such as "64MiB" or "1GiB"`)
	errDuration = errors.New(`want a duration such as "30s", "24h" or "30d"`)
)

// ParseSize reads a size. KiB and MiB count in 1024, kB and MB in 1000.
func ParseSize(s string) (Size, error) {
	n, err := humanize.ParseBytes(s)
	if err != nil || n > math.MaxInt64 {
		return 0, errSize
	}
	return Size(n), nil
}

// String writes the size exactly, in the largest unit that does.
func (s Size) String() string {
	for _, u := range []struct {
		size Size
		name string
	}{{TiB, "TiB"}, {GiB, "GiB"}, {MiB, "MiB"}, {KiB, "KiB"}} {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText gives what String does.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Duration is a length of time, written as people do: "30s", "24h", "30d", "1d12h".
type Duration time.Duration

// Std is the duration as the standard library has it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

const dayLength = 24 * time.Hour

// ParseDuration reads a duration. A day is 24 hours; days come first.
func ParseDuration(s string) (Duration, error) {
	var days int64
	rest := s
	if number, after, found := strings.Cut(s, "d"); found {
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil || n > uint64(math.MaxInt64/dayLength)/2 {
			return 0, errDuration
		}
		days, rest = int64(n), after
	}
	var d time.Duration
	if rest != "" || s == "" {
		var err error
		if d, err = time.ParseDuration(rest); err != nil || d < 0 || d > math.MaxInt64/2 {
			return 0, errDuration
		}
	}
	return Duration(time.Duration(days)*dayLength + d), nil
}

// String writes whole days from two on as days, and leaves out minutes and seconds that are zero.
func (d Duration) String() string {
	t := time.Duration(d)
	if t >= 2*dayLength && t%dayLength == 0 {
		return fmt.Sprintf("%dd", t/dayLength)
	}
	s := t.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText gives what String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }
