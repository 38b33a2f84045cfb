//go:build !wasip1

package guest

import (
	"os"
	"strings"
)

// prefix opens a line of a program's log; the host reads its standard error by it.
func prefix(level Level) string {
	switch level {
	case Debug:
		return "[DEBUG] "
	case Warn:
		return "[WARN] "
	case Error:
		return "[ERROR] "
	}
	return "[INFO] "
}

func writeLog(level Level, text string) {
	line := prefix(level) + strings.ReplaceAll(text, "\n", " ") + "\n"
	_, _ = os.Stderr.WriteString(line) // a log that cannot be written is no reason to fail
}

func logEnabled(Level) bool { return true }
