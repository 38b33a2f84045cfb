package guest

import "unsafe"

//go:wasmimport tesseras log
func hostLog(level int32, text unsafe.Pointer, size uint32)

//go:wasmimport tesseras log_enabled
func hostLogEnabled(level int32) int32

func writeLog(level Level, text string) {
	hostLog(int32(level), unsafe.Pointer(unsafe.StringData(text)), uint32(len(text)))
}

func logEnabled(level Level) bool { return hostLogEnabled(int32(level)) != 0 }
