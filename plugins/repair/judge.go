package repair

import (
	"cmp"
	"strconv"

	"github.com/tesseras/tesseras/sdk"
)

// class is how urgent a tessera is, the most urgent first.
type class int

const (
	critical class = iota // at most one more loss is survived
	criticalRider
	due
	spread // nothing is missing, but it is on too few peers
	rider  // the owner is in debt: after all others
	waits
	healthy
	hopeless
)

// verdict is what becomes of one tessera.
type verdict struct {
	class    class
	rebuild  uint32 // 0 = all that are missing
	waitMS   uint64
	reason   string
	position uint32
	health   *sdk.TesseraHealth
}

// lifted is how many fragments are rebuilt where only those that are expected back make a margin of two.
const lifted = 3

// judge is what holds for all tesseras of a round.
type judge struct {
	interval  uint64 // ms between two rounds
	allowance uint64
	calm      bool   // few peers are silent
	storm     string // "" or why the silence is not believed
}

func newJudge(request *sdk.RepairRequest) judge {
	return judge{
		interval:  request.GetIntervalMs(),
		allowance: request.GetDeficitAllowance(),
		calm:      calm(request.GetWeather()),
		storm:     stormText(request.GetWeather()),
	}
}

// calm tells that fewer than a fifth of the peers are silent.
func calm(w *sdk.Weather) bool {
	return 5*uint64(w.GetPeersSilent()) < uint64(w.GetPeersAsked())
}

// stormText tells that at least half the peers fell silent together, or nobody answers at all: then
// it is likely this node's own link.
func stormText(w *sdk.Weather) string {
	asked, silent, newly := uint64(w.GetPeersAsked()), uint64(w.GetPeersSilent()), uint64(w.GetPeersNewlySilent())
	switch {
	case asked == 0:
		return ""
	case silent >= asked:
		return "none of " + amount(asked, "peer") + " answers, likely our own link"
	case 2*newly >= asked:
		return strconv.FormatUint(newly, 10) + " of " + amount(asked, "peer") + " fell silent at once, likely our own link"
	}
	return ""
}

func (j judge) judge(h *sdk.TesseraHealth) verdict {
	switch {
	case h.GetMissing() == 0 && h.GetPeersShort() == 0:
		return verdict{class: healthy}
	case h.GetMissing() == 0:
		return j.now(h, spread, 0, "on "+amount(uint64(h.GetPeersShort()), "peer")+" fewer than asked for")
	case !h.GetRecoverable():
		return verdict{class: hopeless, reason: "fewer fragments are held than a rebuild needs"}
	case sdk.Critical(h):
		return j.now(h, critical, 0, "survives "+survivors(h)+": "+rebuilding(h.GetMissing()))
	case h.GetSurvivesPeers() == 0:
		return j.bare(h)
	case h.GetSuspect() == 0:
		return j.now(h, due, 0, "survives "+survivors(h)+": "+rebuilding(h.GetMissing()))
	}
	return j.suspects(h)
}

// bare decides about a tessera that survives no loss until others return, though enough are expected back.
// In a calm network a third of its holders are away together because each of them happens to be: that is
// waited for, but for an interval at most, in which all of them fell silent. Otherwise something else may be
// behind it, or it is so every day: a little is rebuilt, so that the tessera can be had meanwhile.
func (j judge) bare(h *sdk.TesseraHealth) verdict {
	if since := h.GetSuspectSinceMs(); j.calm && since < j.interval {
		return j.wait(h, j.interval-since, silentPeers(h)+" away at once, by chance: few others are")
	}
	return j.now(h, critical, lifted, "survives "+survivors(h)+" until others return: "+rebuilding(min(lifted, h.GetMissing()))+" meanwhile")
}

// suspects decides whether to wait for silent holders. Another loss is survived here while they are waited
// for, two where every other one of those expected back is counted on. What is surely lost is rebuilt
// meanwhile.
func (j judge) suspects(h *sdk.TesseraHealth) verdict {
	grace := j.grace(h.GetFlaps())
	if j.storm != "" {
		return j.wait(h, max(1, j.grace(0)), j.storm)
	}
	silence := silentPeers(h) + " just fell silent"
	if ms := h.GetSuspectSinceMs(); ms > 0 {
		silence = silentPeers(h) + " silent for " + sdk.DurationText(ms)
	}
	silence += ", grace is " + sdk.DurationText(grace)
	if h.GetSuspectSinceMs() >= grace {
		n := givenUp(h)
		return j.now(h, due, n, silence+": "+rebuilding(cmp.Or(n, h.GetMissing())))
	}
	return j.wait(h, grace-h.GetSuspectSinceMs(), silence)
}

// grace is how long a silent peer is waited for, in ms: half an interval, a day at most, so that one that
// is silent in one round and back in the next costs nothing, and one that is silent in two is given up.
// Who came back before is likely to come back again: it is waited for six times as long, and who did so
// more than once as long as anybody.
func (j judge) grace(flaps uint32) uint64 {
	shortest := sdk.ShortestGraceMs(j.interval)
	switch flaps {
	case 0:
		return shortest
	case 1:
		return 6 * shortest
	}
	return sdk.LongestGraceMs(j.interval)
}

// givenUp is how many fragments are rebuilt where the grace for a silent peer is over, 0 for all that are missing:
// none for the peers that are expected back, of which each has one at least, and which have been silent for the
// shortest.
func givenUp(h *sdk.TesseraHealth) uint32 {
	if h.GetExpectedPeers() == 0 {
		return 0
	}
	return max(1, h.GetMissing()-min(h.GetMissing(), h.GetExpectedPeers()))
}

func silentPeers(h *sdk.TesseraHealth) string {
	if n := h.GetSuspectPeers(); n > 0 {
		return amount(uint64(n), "peer")
	}
	return "holders of " + amount(uint64(h.GetSuspect()), "fragment")
}

// now orders a repair at once; an owner in debt comes after all others of the same urgency.
func (j judge) now(h *sdk.TesseraHealth, c class, rebuild uint32, reason string) verdict {
	if debt := j.debt(h); debt > 0 {
		reason += "; after others, its owner owes us " + sdk.SizeText(debt)
		if c == critical {
			c = criticalRider
		} else {
			c = rider
		}
	}
	return verdict{class: c, rebuild: rebuild, reason: reason}
}

// wait puts the suspects off, and orders only what is missing beside them.
func (j judge) wait(h *sdk.TesseraHealth, ms uint64, why string) verdict {
	if h.GetMissing() > h.GetSuspect() {
		lost := h.GetMissing() - h.GetSuspect()
		return j.now(h, due, lost, rebuilding(lost)+"; "+amount(uint64(h.GetSuspect()), "fragment")+" on silent peers can wait: "+why)
	}
	return verdict{class: waits, waitMS: ms, reason: "waits: " + why}
}

// debt is what the owner owes beyond doubt, 0 within the allowance. Our own and institutions' tesseras
// are nobody's debt.
func (j judge) debt(h *sdk.TesseraHealth) uint64 {
	if h.GetOwn() || h.GetInstitutional() || h.GetOwnerBalanceBytes() >= 0 {
		return 0
	}
	if owed := -uint64(h.GetOwnerBalanceBytes()); owed > j.allowance {
		return owed
	}
	return 0
}

func survivors(h *sdk.TesseraHealth) string {
	if h.GetSurvivesPeers() == 0 {
		return "no loss"
	}
	return "any " + amount(uint64(h.GetSurvivesPeers()), "peer")
}

func rebuilding(n uint32) string { return amount(uint64(n), "fragment") + " to rebuild" }

// amount writes a number with its noun.
func amount(n uint64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.FormatUint(n, 10) + " " + noun
}
