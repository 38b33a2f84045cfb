package tessera

import (
	"errors"
	"fmt"
	"strings"
)

// CheckPath tells whether p can name a file or folder of a tessera: a relative path with forward
// slashes, of which no element is empty, "." or "..", without NUL, not longer than MaxPath, no element
// longer than MaxName. Any other byte is fine, whatever encoding the name is in.
func CheckPath(p string) error {
	if p == "" {
		return errors.New("the path is empty")
	}
	if len(p) > MaxPath {
		return fmt.Errorf("the path has %d bytes, more than %d", len(p), MaxPath)
	}
	for rest, more := p, true; more; {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		if err := checkName(name); err != nil {
			return err
		}
	}
	return nil
}

func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("the path has an empty element")
	case name == "." || name == "..":
		return fmt.Errorf("the path has the element %q", name)
	case len(name) > MaxName:
		return fmt.Errorf("a name has %d bytes, more than %d", len(name), MaxName)
	case strings.IndexByte(name, 0) >= 0:
		return errors.New("a name has a NUL byte")
	}
	return nil
}

// CheckTitle tells whether a title fits into a head; else it is a *LimitError.
func CheckTitle(title string) error {
	return atMost(titleBytes, int64(len(title)), MaxTitle)
}

// splitPath gives the folder a path is in, "" at the top, and its name there.
func splitPath(p string) (dir, name string) {
	i := strings.LastIndexByte(p, '/')
	if i < 0 {
		return "", p
	}
	return p[:i], p[i+1:]
}

func joinPath(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

const upperHex = "0123456789ABCDEF"

// literal tells whether a byte of a title or path stands for itself.
func literal(c byte) bool { return 0x21 <= c && c <= 0x7e && c != '%' }

// appendEscaped writes a title or path as it stands in documents.
func appendEscaped(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; literal(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return b
}

// unescape reads what appendEscaped wrote and refuses every other spelling.
func unescape(text []byte) (string, error) {
	plain := true
	for _, c := range text {
		plain = plain && literal(c)
	}
	if plain {
		return string(text), nil
	}
	var out strings.Builder
	out.Grow(len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		if literal(c) {
			out.WriteByte(c)
			continue
		}
		if c != '%' || len(text)-i < 3 {
			return "", fmt.Errorf("%w: byte 0x%02x", errSpelling, c)
		}
		hi, lo := strings.IndexByte(upperHex, text[i+1]), strings.IndexByte(upperHex, text[i+2])
		if hi < 0 || lo < 0 || literal(byte(hi<<4|lo)) {
			return "", fmt.Errorf("%w: %q", errSpelling, text[i:i+3])
		}
		out.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	return out.String(), nil
}
