package sdk

import "strconv"

// SizeText writes a number of bytes for people, in binary units with at most one decimal, rounded
// up: "300 MiB", "256.1 MiB". It brings no fmt into a guest.
func SizeText(n uint64) string {
	const units = "KMGTPE"
	if n == 1 {
		return "1 byte"
	}
	if n < 1024 {
		return strconv.FormatUint(n, 10) + " bytes"
	}
	unit, shift := 0, uint(10)
	for unit < len(units)-1 && n>>shift >= 1024 {
		unit, shift = unit+1, shift+10
	}
	whole, rest := n>>shift, n&(1<<shift-1)
	// A unit is cut to 2^10 parts before it is counted in tenths, so that nothing overflows.
	parts := rest >> (shift - 10)
	if rest&(1<<(shift-10)-1) != 0 {
		parts++
	}
	tenths := (parts*10 + 1023) / 1024
	if tenths == 10 {
		whole, tenths = whole+1, 0
	}
	if whole == 1024 {
		whole, unit = 1, unit+1
	}
	text := strconv.FormatUint(whole, 10)
	if tenths > 0 {
		text += "." + strconv.FormatUint(tenths, 10)
	}
	return text + " " + units[unit:unit+1] + "iB"
}

// DurationText writes a number of milliseconds for people, in its largest whole unit: "12 h", "90 s".
func DurationText(ms uint64) string {
	const second, minute, hour, day = 1000, 60_000, 3_600_000, 86_400_000
	switch {
	case ms >= 2*day:
		return strconv.FormatUint(ms/day, 10) + " days"
	case ms >= 2*hour:
		return strconv.FormatUint(ms/hour, 10) + " h"
	case ms >= 2*minute:
		return strconv.FormatUint(ms/minute, 10) + " min"
	case ms >= 2*second:
		return strconv.FormatUint(ms/second, 10) + " s"
	}
	return strconv.FormatUint(ms, 10) + " ms"
}

// ShortID is the first eight digits of an id or a key as it stands in a request, for reasons.
func ShortID(id []byte) string { return encodeHex(id[:min(4, len(id))]) }

// SubnetText writes a subnet as it stands in a request: "10.1.2.0/24", "2001:db8:7::/48".
func SubnetText(subnet []byte) string {
	switch len(subnet) {
	case 3:
		text := ""
		for _, b := range subnet {
			text += strconv.Itoa(int(b)) + "."
		}
		return text + "0/24"
	case 6:
		text := ""
		for i := 0; i < 6; i += 2 {
			text += strconv.FormatUint(uint64(subnet[i])<<8|uint64(subnet[i+1]), 16) + ":"
		}
		return text + ":/48"
	}
	return "an unknown network"
}
