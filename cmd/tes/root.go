package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/cmd/internal/daemon"
)

// verbs are all there are.
var verbs = []struct {
	group string
	build func(*app) *cobra.Command
}{
	{"mine", (*app).initVerb},
	{"mine", (*app).createVerb},
	{"mine", (*app).listVerb},
	{"mine", (*app).showVerb},
	{"mine", (*app).verifyVerb},
	{"mine", (*app).exportVerb},
	{"mine", (*app).deleteVerb},
	{"mine", (*app).salvageVerb},
	{"network", (*app).publishVerb},
	{"network", (*app).fetchVerb},
	{"network", (*app).statusVerb},
	{"network", (*app).peersVerb},
	{"network", (*app).ledgerVerb},
	{"network", (*app).netVerb},
	{"network", (*app).repairVerb},
	{"node", (*app).scrubVerb},
	{"node", (*app).gcVerb},
	{"node", (*app).idVerb},
	{"node", (*app).pathsVerb},
	{"node", (*app).configVerb},
	{"node", (*app).versionVerb},
	{"node", (*app).policyVerb},
	{"node", (*app).demoVerb},
	{"", (*app).nodeVerb},
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "tes",
		Short:         "Keep memories alive, together",
		Long:          "tes keeps folders of memories as signed bundles (tesseras), gives fragments of them to peers,\nand brings them back, even from the network alone.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       daemon.Version(),
	}
	f := root.PersistentFlags()
	f.StringVar(&a.dataDirFlag, "data-dir", "", "data `DIR` (default $TESSERAS_DATA_DIR, else $XDG_DATA_HOME/tesseras)")
	f.StringVar(&a.configFlag, "config", "", "configuration `FILE`")
	f.BoolVar(&a.json, "json", false, "print JSON, errors too")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "nothing but the result")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "say more about the work")
	f.BoolVar(&a.yes, "yes", false, "answer every question with yes")
	root.AddGroup(
		&cobra.Group{ID: "mine", Title: "My memories:"},
		&cobra.Group{ID: "network", Title: "In the network:"},
		&cobra.Group{ID: "node", Title: "This node:"},
	)
	root.SetHelpCommandGroupID("node")
	root.SetCompletionCommandGroupID("node")
	for _, v := range verbs {
		cmd := v.build(a)
		cmd.GroupID = v.group
		root.AddCommand(cmd)
	}
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.Run, cmd.RunE = nil, help
		case "completion":
			cmd.Args = nil
			family(cmd)
		}
	}
	return root
}

// help prints the help of a verb. That of no verb is asked for in vain, and that is an error.
func help(cmd *cobra.Command, args []string) error {
	of, rest, err := cmd.Root().Find(args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fmt.Errorf("%s: unknown verb %q", verbOf(of), rest[0])
	}
	of.InitDefaultHelpFlag() // which its help is to name
	return of.Help()
}

// does makes a command do something, and remembers that its command line was understood. Arguments that do
// not fit are answered with those that would.
func (a *app) does(cmd *cobra.Command, act func(ctx context.Context, args []string) error) *cobra.Command {
	if fits := cmd.Args; fits != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if fits(cmd, args) == nil {
				return nil
			}
			return fmt.Errorf("%s: %s given, where it takes: %s", verbOf(cmd), count(len(args), "argument"), cmd.UseLine())
		}
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a.begun, a.verb = true, verbOf(cmd)
		return act(cmd.Context(), args)
	}
	return cmd
}

// verbOf is what a person typed after the program's name.
func verbOf(cmd *cobra.Command) string {
	if cmd.HasParent() && cmd.Parent().HasParent() {
		return verbOf(cmd.Parent()) + " " + cmd.Name()
	}
	return cmd.Name()
}

// family is a command that is nothing without one of its own verbs.
func family(cmd *cobra.Command, members ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(members...)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("%s: unknown verb %q", verbOf(cmd), args[0])
		}
		return fmt.Errorf("%s: which of its verbs is missing", verbOf(cmd))
	}
	return cmd
}
