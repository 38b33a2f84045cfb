package sdk

// Margin is how many more peers of a tessera may go, where of the silent holders that are expected back
// every other one is counted on: of many that come and go, some do come.
func Margin(h *TesseraHealth) uint32 { return h.GetSurvivesPeers() + h.GetExpectedPeers()/2 }

// Critical tells that one more loss, or two, would be the end, and that something can be done. What is
// critical is never put off.
func Critical(h *TesseraHealth) bool {
	return Margin(h) <= 1 && h.GetMissing() > 0 && h.GetRecoverable()
}
