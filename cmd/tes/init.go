package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/sdk"
)

func (a *app) initVerb() *cobra.Command {
	return a.does(&cobra.Command{
		Use:   "init",
		Short: "Make the data directory and the identity of this node",
		Long:  "Make the data directory and the identity of this node. Where both are there, say so.",
		Args:  cobra.NoArgs,
	}, a.init)
}

// initialised is the result of init.
type initialised struct {
	Node    sdk.NodeID   `json:"node"`
	Owner   sdk.OwnerKey `json:"owner"`
	DataDir string       `json:"data_dir"`
	Config  string       `json:"config"` // file in force; "" is none
	Next    string       `json:"next"`
}

func (a *app) init(ctx context.Context, _ []string) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	client, err := a.either(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	who, err := client.Identity(ctx)
	if err != nil {
		return err
	}
	dir, err := a.dataDir()
	if err != nil {
		return err
	}
	r := initialised{who.Node, who.Owner, dir, cfg.File, a.command("tes create") + " DIR"}
	return a.print(r, func(w io.Writer) {
		row(w, "node", r.Node.String())
		row(w, "owner", r.Owner.String())
		row(w, "data", r.DataDir)
		row(w, "config", orDash(r.Config))
		row(w, "next", r.Next)
	})
}
