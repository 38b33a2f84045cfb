package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/localapi"
)

func (a *app) netVerb() *cobra.Command {
	return family(&cobra.Command{Use: "net", Short: "How the network sees this node"},
		a.does(&cobra.Command{
			Use:   "check",
			Short: "Say whether others can reach this node, what they see, and what to do about it",
			Args:  cobra.NoArgs,
		}, a.netCheck))
}

func (a *app) netCheck(ctx context.Context, _ []string) error {
	client, err := a.running(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	c, err := client.NetCheck(ctx)
	if err != nil {
		return err
	}
	c.Views, c.DialledBack, c.Advice = list(c.Views), list(c.DialledBack), list(c.Advice)
	return a.print(c, func(w io.Writer) { printNetCheck(w, c) })
}

func printNetCheck(w io.Writer, c localapi.NetCheck) {
	row(w, peersWords(c.Peers)+" "+addressWords(c))
	for _, v := range c.Views {
		row(w, fmt.Sprintf("  seen at %s by %s", v.Addr, count(v.Voices, "voice")))
	}
	row(w, reachWords(c))
	if c.UDP != nil {
		row(w, fmt.Sprintf("UDP buffers: %s to receive, %s to send; %s wanted of each.",
			size(int64(c.UDP.Receive)), size(int64(c.UDP.Send)), size(int64(c.UDP.Wanted))))
	}
	if len(c.Advice) == 0 && c.Agreed && c.Reachable == localapi.ReachableYes {
		row(w, "All is well.")
	}
	for _, x := range c.Advice {
		row(w, "-> "+x)
	}
}

func peersWords(n int) string {
	if n == 1 {
		return "1 peer answers."
	}
	return fmt.Sprintf("%d peers answer.", n)
}

func addressWords(c localapi.NetCheck) string {
	switch {
	case c.Agreed:
		return "This node is at " + c.Addr + ", and peers agree."
	case c.Addr == "":
		return "Nobody can be told where to dial this node: " + doubtWords(c)
	}
	return "This node says it is at " + c.Addr + "; " + doubtWords(c)
}

// doubtWords says why it is not sure where a node is.
func doubtWords(c localapi.NetCheck) string {
	switch c.Voices() {
	case 0:
		return "no peer said where it sees it."
	case 1:
		return "too few were asked to be sure."
	}
	return "peers disagree."
}

func reachWords(c localapi.NetCheck) string {
	tried := count(len(c.DialledBack), "peer")
	switch {
	case c.Reachable == localapi.ReachableYes:
		return fmt.Sprintf("Others can reach it: %d of %s that tried got through.", c.Reached(), tried)
	case c.Reachable == localapi.ReachableNo && c.Reached() == 0:
		return fmt.Sprintf("Others cannot reach it: %s tried in vain.", tried)
	case c.Reachable == localapi.ReachableNo:
		return fmt.Sprintf("Others cannot reach it: only %d of %s that tried got through.", c.Reached(), tried)
	case len(c.DialledBack) > 0:
		return fmt.Sprintf("Whether others can reach it is not sure: %d of %s that tried got through.", c.Reached(), tried)
	}
	return "Whether others can reach it is not known: no peer could be asked to try."
}
