package config

import (
	"strings"

	"github.com/agnivade/levenshtein"
)

// nearest is the known key that was most likely meant. A right name in the wrong section is near.
func nearest(key string, known []string) string {
	best, least := "", -1
	for _, k := range known {
		if d := distance(key, k); least < 0 || d < least {
			best, least = k, d
		}
	}
	return best
}

func distance(a, b string) int {
	whole := levenshtein.ComputeDistance(a, b)
	return min(whole, levenshtein.ComputeDistance(lastPart(a), lastPart(b))+2)
}

func lastPart(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }
