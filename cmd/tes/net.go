package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/localapi"
)

func (a *app) netVerb() *cobra.Command {
	verb := &cobra.Command{
		Use:   "net",
		Short: "How the network sees this node",
		Args:  cobra.NoArgs,
	}
	verb.AddCommand(a.does(&cobra.Command{
		Use:   "check",
		Short: "Say whether others can reach this node, what they see, and what to do about it",
		Args:  cobra.NoArgs,
	}, a.netCheck))
	return verb
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
	row(w, fmt.Sprintf("%s answer. %s", count(c.Peers, "peer"), addressWords(c)))
	for _, v := range c.Views {
		row(w, fmt.Sprintf("  seen at %s by %s", v.Addr, count(v.Voices, "voice")))
	}
	reached := 0
	for _, b := range c.DialledBack {
		if b.Reached {
			reached++
		}
	}
	switch c.Reachable {
	case localapi.ReachableYes:
		row(w, fmt.Sprintf("Others can reach it: %d of %s that tried got through.", reached, count(len(c.DialledBack), "peer")))
	case localapi.ReachableNo:
		row(w, fmt.Sprintf("Others cannot reach it: %s tried in vain.", count(len(c.DialledBack), "peer")))
	default:
		row(w, "Whether others can reach it is not known: no peer could be asked to try.")
	}
	if c.UDP != nil {
		row(w, fmt.Sprintf("UDP buffers: %s to receive, %s to send; %s wanted of each.",
			size(int64(c.UDP.Receive)), size(int64(c.UDP.Send)), size(int64(c.UDP.Wanted))))
	}
	if len(c.Advice) == 0 {
		row(w, "All is well.")
	}
	for _, x := range c.Advice {
		row(w, "-> "+x)
	}
}

func addressWords(c localapi.NetCheck) string {
	switch {
	case c.Addr == "":
		return "Nobody can be told where to dial this node."
	case c.Agreed:
		return "This node is at " + c.Addr + ", and peers agree."
	case len(c.Views) == 0:
		return "This node says it is at " + c.Addr + "; no peer said where it sees it."
	}
	return "This node says it is at " + c.Addr + "; peers do not agree, or too few were asked."
}
