package main

import (
	"context"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/config"
	"github.com/tesseras/tesseras/host/localapi"
)

func (a *app) pathsVerb() *cobra.Command {
	return a.does(&cobra.Command{
		Use:   "paths",
		Short: "Say where everything is",
		Args:  cobra.NoArgs,
	}, a.paths)
}

// places is the result of paths.
type places struct {
	DataDir  string   `json:"data_dir"`
	Identity string   `json:"identity"` // the keys: back these up
	Socket   string   `json:"socket"`
	Config   string   `json:"config"` // file in force; "" is none
	Searched []string `json:"config_searched"`
}

func (a *app) paths(context.Context, []string) error {
	dir, err := a.dataDir()
	if err != nil {
		return err
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	p := places{
		DataDir: dir, Identity: filepath.Join(dir, "identity"), Socket: filepath.Join(dir, localapi.SocketName),
		Config: cfg.File, Searched: config.SearchPaths(a.env),
	}
	return a.print(p, func(w io.Writer) {
		row(w, "data", p.DataDir)
		row(w, "identity", p.Identity)
		row(w, "socket", p.Socket)
		row(w, "config", orDash(p.Config))
		for _, s := range p.Searched {
			row(w, "searched", s)
		}
	})
}
