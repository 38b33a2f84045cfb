package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/localapi"
)

func (a *app) policyVerb() *cobra.Command {
	return family(&cobra.Command{Use: "policy", Short: "See, change, build, try and explain the policies of a node"},
		a.does(&cobra.Command{
			Use:   "list",
			Short: "List the policies in the order they are asked, and how they do",
			Args:  cobra.NoArgs,
		}, func(ctx context.Context, _ []string) error {
			return a.policies(ctx, "", (*localapi.Client).PolicyList)
		}),
		a.does(&cobra.Command{
			Use:   "reload",
			Short: "Have the node read its policies again, without a restart",
			Long: "Have the node read its configuration again and put the policies listed there in force.\n" +
				"Each is loaded and tried first; where one cannot be used, nothing changes.",
			Args: cobra.NoArgs,
		}, func(ctx context.Context, _ []string) error {
			return a.policies(ctx, "in force now; tes policy rollback goes back", (*localapi.Client).PolicyReload)
		}),
		a.does(&cobra.Command{
			Use:   "rollback",
			Short: "Go back to the policies from before the last reload",
			Args:  cobra.NoArgs,
		}, func(ctx context.Context, _ []string) error {
			return a.policies(ctx, "in force again, until the node is started or told to reload", (*localapi.Client).PolicyRollback)
		}),
		a.policyBuildVerb(), a.policyTestVerb(),
		a.policyExplainVerb(), a.policyReplayVerb(), a.policyDiffVerb(), a.policySimVerb(),
	)
}

// policies prints the policies in force after a request.
func (a *app) policies(ctx context.Context, done string, ask func(*localapi.Client, context.Context) (localapi.PolicyList, error)) error {
	client, err := a.running(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	l, err := ask(client, ctx)
	if err != nil {
		return err
	}
	if done != "" {
		a.note("%s", done)
	}
	l.Policies, l.Alarms = list(l.Policies), list(l.Alarms)
	return a.print(l, func(w io.Writer) { printPolicies(w, l) })
}

func printPolicies(w io.Writer, l localapi.PolicyList) {
	row(w, "ROLE", "PART", "NAME", "KIND", "VERSION", "DIGEST", "STATE", "CALLS", "ERRORS", "P50", "P99")
	for _, p := range l.Policies {
		row(w, p.Role, placeOf(p), p.Name, p.Kind, orDash(p.Version), orDash(p.Digest[:min(len(p.Digest), shortID)]), p.State,
			fmt.Sprint(p.Calls), fmt.Sprint(p.Errors), took(p.P50), took(p.P99))
	}
	for _, p := range l.Policies {
		if p.LastError != "" {
			row(w, fmt.Sprintf("%s (%s, %s): %s%s", p.Name, p.Role, p.Kind, p.LastError, when(p.LastErrorAt)))
		}
	}
	for _, x := range l.Alarms {
		row(w, fmt.Sprintf("alarm: %s: %s %s", x.Role, alarmText(x), count(int(x.Times), "time")))
	}
}

func placeOf(p localapi.Policy) string {
	if p.Closed {
		return p.Part + ", closed"
	}
	return p.Part
}

func took(d localapi.Milliseconds) string {
	if d == 0 {
		return "-"
	}
	return time.Duration(d).Round(10 * time.Microsecond).String()
}

func when(m localapi.Moment) string {
	if m.IsZero() {
		return ""
	}
	return ", " + ago(m)
}

func alarmText(x localapi.PolicyAlarm) string {
	if x.Policy == "" {
		return x.Alarm
	}
	return x.Policy + " " + x.Alarm
}
