package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/config"
)

func (a *app) configVerb() *cobra.Command {
	origin := false
	show := a.does(&cobra.Command{
		Use:   "show",
		Short: "Print the configuration in force, as a file that gives the same",
		Args:  cobra.NoArgs,
	}, func(context.Context, []string) error { return a.configShow(origin) })
	show.Flags().BoolVar(&origin, "origin", false, "say where each value was set")
	return family(&cobra.Command{Use: "config", Short: "Look at the configuration"}, show)
}

func (a *app) configShow(origin bool) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	if !a.json {
		return cfg.WriteTOML(a.stdout, origin)
	}
	return a.printJSON(nested(cfg.Settings(), origin))
}

// originOf is a value and where it was set.
type originOf struct {
	Value  any    `json:"value"`
	Origin string `json:"origin"`
}

// nested puts settings into their sections.
func nested(settings []config.Setting, origin bool) map[string]map[string]any {
	sections := map[string]map[string]any{}
	for _, s := range settings {
		section, key, _ := strings.Cut(s.Key, ".")
		if sections[section] == nil {
			sections[section] = map[string]any{}
		}
		sections[section][key] = s.Value
		if origin {
			sections[section][key] = originOf{s.Value, s.Origin}
		}
	}
	return sections
}
