package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/localapi"
)

func (a *app) ledgerVerb() *cobra.Command {
	return a.does(&cobra.Command{
		Use:   "ledger",
		Short: "Say what this node and others owe each other",
		Args:  cobra.NoArgs,
	}, a.ledger)
}

func (a *app) ledger(ctx context.Context, _ []string) error {
	client, err := a.existing(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	accounts, err := client.Ledger(ctx)
	if err != nil {
		return err
	}
	if len(accounts) == 0 {
		a.note("nobody stores anything for anybody here yet")
	}
	r := struct {
		Peers []localapi.Account `json:"peers"`
	}{list(accounts)}
	return a.print(r, func(w io.Writer) {
		if len(accounts) > 0 {
			row(w, "OWNER", "HERE FOR THEM", "THERE FOR US", "BALANCE")
		}
		for _, x := range accounts {
			row(w, short(x.Owner), size(x.BytesStoredForThem), size(x.BytesTheyStoreForUs), signedSize(x.Balance))
		}
	})
}
