package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// completeID offers the ids of my tesseras with their titles, where a verb takes one first.
func (a *app) completeID(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault // a folder
	}
	client, err := a.existing(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer client.Close()
	all, err := client.List(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var ids []string
	for _, t := range all {
		if strings.HasPrefix(t.ID.String(), typed) {
			ids = append(ids, short(t.ID)+"\t"+title(t.Title))
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
