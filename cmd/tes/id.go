package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"
)

func (a *app) idVerb() *cobra.Command {
	return a.does(&cobra.Command{
		Use:   "id",
		Short: "Print the id and the address of this node, as --bootstrap takes them",
		Args:  cobra.NoArgs,
	}, a.id)
}

func (a *app) id(ctx context.Context, _ []string) error {
	client, err := a.existing(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	who, err := client.Identity(ctx)
	if err != nil {
		return err
	}
	return a.print(who, func(w io.Writer) {
		if who.Addr == "" {
			row(w, who.Node.String())
			return
		}
		row(w, who.Node.String()+"@"+who.Addr)
	})
}
