package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/localapi"
)

func (a *app) ledgerVerb() *cobra.Command {
	verb := a.does(&cobra.Command{
		Use:   "ledger",
		Short: "Say what this node and others owe each other",
		Args:  cobra.NoArgs,
	}, a.ledger)
	verb.AddCommand(a.does(&cobra.Command{
		Use:   "verify",
		Short: "Recompute the ledger, check every receipt, and compare with what peers have written down",
		Args:  cobra.NoArgs,
	}, a.auditLedger))
	return verb
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

// errBooks tells that the ledger is not what it should be.
var errBooks = errors.New("the books do not agree")

func (a *app) auditLedger(ctx context.Context, _ []string) error {
	client, err := a.existing(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	audit, err := client.AuditLedger(ctx)
	if err != nil {
		return err
	}
	audit.Wrong, audit.Peers, audit.Unvouched = list(audit.Wrong), list(audit.Peers), list(audit.Unvouched)
	if err := a.print(audit, func(w io.Writer) { printAudit(w, audit, client.Daemon) }); err != nil || audit.Agree {
		return err
	}
	return localapi.Fail(localapi.CodeFailed, "the next round of maintenance asks the holders again; tes repair run does it now", errBooks)
}

// printAudit writes an audit in words; asked tells whether there was a node to ask others.
func printAudit(w io.Writer, audit localapi.Audit, asked bool) {
	for _, x := range audit.Wrong {
		row(w, fmt.Sprintf("The account of %s says %s here for them and %s there for us; the fragments say %s and %s.",
			short(x.Owner), size(x.HereWritten), size(x.ThereWritten), size(x.HereFacts), size(x.ThereFacts)))
	}
	for _, x := range audit.Unvouched {
		row(w, unvouchedWords(x))
	}
	if len(audit.Peers) > 0 {
		row(w, "NODE", "OWNER", "WE KEEP", "THEY SAY", "THEY KEEP", "WE SAY", "VERDICT")
	}
	for _, p := range audit.Peers {
		if p.Verdict == localapi.AuditUnreached {
			row(w, short(p.Node), short(p.Owner), size(p.WeKeep), "-", "-", size(p.WeSayTheyDo), "not reached: "+p.WhyUnreached)
			continue
		}
		row(w, short(p.Node), short(p.Owner), size(p.WeKeep), size(p.TheySayWe), size(p.TheyKeep), size(p.WeSayTheyDo), auditWords(p))
	}
	row(w, fmt.Sprintf("%d receipts given and %d taken were checked, %d are bad.", audit.Receipts.Given, audit.Receipts.Taken, audit.Receipts.Bad))
	switch {
	case !audit.Agree:
	case len(audit.Peers) == 0 && asked:
		row(w, "The books follow from the fragments that are kept. No peer that is there has an account with this node.")
	case len(audit.Peers) == 0:
		row(w, "The books follow from the fragments that are kept. No peer was asked: the node is not running.")
	default:
		row(w, fmt.Sprintf("The books agree with those of %s; %d could not be asked.",
			count(len(audit.Peers)-audit.Unreached, "peer"), audit.Unreached))
	}
}

// unvouchedWords says what receipts and books disagree on.
func unvouchedWords(x localapi.Unvouched) string {
	if x.Problem == localapi.UnvouchedKept {
		return fmt.Sprintf("This node gave a receipt for fragment %d of %s and does not keep it.", x.Index, short(x.Tessera))
	}
	return fmt.Sprintf("%s has credit for fragment %d of %s without a receipt or a proof.", short(x.Holder), x.Index, short(x.Tessera))
}

// auditWords says what a difference means.
func auditWords(p localapi.AuditedPeer) string {
	switch p.Verdict {
	case localapi.AuditLess:
		if p.TheyKeep < p.WeSayTheyDo {
			return "they keep less than we count on"
		}
		return "we keep less than they count on"
	case localapi.AuditMore:
		return "more is kept than the other side knows of"
	}
	return p.Verdict
}
