package main

import "github.com/spf13/cobra"

func (a *app) policyVerb() *cobra.Command {
	return family(&cobra.Command{Use: "policy", Short: "Build, try and explain the policies of a node"},
		a.policyBuildVerb(), a.policyTestVerb(),
		a.policyExplainVerb(), a.policyReplayVerb(), a.policyDiffVerb())
}
