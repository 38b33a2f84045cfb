package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/localapi"
)

func (a *app) peersVerb() *cobra.Command {
	return a.does(&cobra.Command{
		Use:   "peers",
		Short: "List the nodes this one knows",
		Args:  cobra.NoArgs,
	}, a.peers)
}

func (a *app) peers(ctx context.Context, _ []string) error {
	client, err := a.running(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	peers, err := client.Peers(ctx)
	if err != nil {
		return err
	}
	if len(peers) == 0 {
		a.note("no peers yet: tell the node whom to ask first, with tesd --bootstrap")
	}
	r := struct {
		Peers []localapi.Peer `json:"peers"`
	}{list(peers)}
	return a.print(r, func(w io.Writer) {
		if len(peers) > 0 {
			row(w, "NODE", "ADDRESS", "NETWORK", "SEEN", "KIND")
		}
		for _, p := range peers {
			kind := "-"
			if p.Institutional {
				kind = "institution"
			}
			row(w, short(p.Node), p.Addr, p.Subnet, ago(p.LastSeen), kind)
		}
	})
}
