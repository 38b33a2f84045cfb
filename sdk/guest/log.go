package guest

// Level says how much a line of the log matters. The numbers are those of the ABI.
type Level int32

// The levels of the log.
const (
	Debug Level = iota
	Info
	Warn
	Error
)

// Log writes a line to the node's log under the policy's name. The host keeps 64 KiB of them for each
// question.
func Log(level Level, text string) { writeLog(level, text) }

// LogEnabled tells whether the host would keep a line of that level: it saves composing one.
func LogEnabled(level Level) bool { return logEnabled(level) }
