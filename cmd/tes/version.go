package main

import (
	"context"
	"io"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/cmd/internal/daemon"
)

func (a *app) versionVerb() *cobra.Command {
	return a.does(&cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
	}, a.version)
}

func (a *app) version(context.Context, []string) error {
	v := struct {
		Version string `json:"version"`
		Go      string `json:"go"`
		System  string `json:"system"`
	}{daemon.Version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	return a.print(v, func(w io.Writer) { row(w, "tes "+v.Version+" ("+v.Go+", "+v.System+")") })
}
