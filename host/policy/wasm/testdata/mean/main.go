// Command mean is a policy in Go that harms as its setting says.
package main

import (
	"os"
	"time"

	"github.com/tesseras/tesseras/sdk"
	"github.com/tesseras/tesseras/sdk/guest"
)

type mean struct{ how string }

func (m *mean) Describe() *sdk.Description {
	return &sdk.Description{Name: "mean", Version: "1", Decider: true, Config: []*sdk.ConfigKey{{Key: "how", Kind: "text", DefaultValue: "talk"}}}
}

func (m *mean) Configure(r *sdk.ConfigureRequest) *sdk.ConfigureResponse {
	m.how = r.Settings[0].Values[0]
	if m.how == "nothing" {
		return &sdk.ConfigureResponse{Status: sdk.Status_INVALID, Key: "how", Reason: "it has to be something"}
	}
	return &sdk.ConfigureResponse{Status: sdk.Status_OK}
}

func (m *mean) Admit(*sdk.AdmitRequest) *sdk.AdmitResponse {
	pass := &sdk.AdmitResponse{Status: sdk.Status_PASS, Reason: m.how}
	switch m.how {
	case "talk":
		if guest.LogEnabled(guest.Debug) {
			guest.Log(guest.Debug, "this is not kept")
		}
		guest.Log(guest.Warn, "careful")
	case "panic":
		panic("a bug")
	case "exit":
		os.Exit(3)
	case "loop":
		for {
		}
	case "recurse":
		pass.RetryAfterMs = uint64(recurse(1))
	case "grow":
		for kept := [][]byte{}; ; {
			kept = append(kept, make([]byte, 1<<20))
		}
	case "sleep":
		time.Sleep(time.Hour)
	case "wait":
		select {}
	case "goroutines":
		for range 10 {
			go func() {
				for {
				}
			}()
		}
		time.Sleep(time.Millisecond)
	case "read":
		if _, err := os.ReadFile("/etc/passwd"); err != nil {
			pass.Reason = err.Error()
		}
	}
	return pass
}

func recurse(n int) int { return recurse(n+1) + recurse(n+2) }

func init() { guest.Register(&mean{}) }

func main() {}
