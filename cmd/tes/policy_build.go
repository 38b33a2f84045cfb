package main

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/cmd/internal/policybuild"
	"github.com/tesseras/tesseras/host/localapi"
)

func (a *app) policyBuildVerb() *cobra.Command {
	var o policybuild.Options
	cmd := a.does(&cobra.Command{
		Use:   "build [DIR]",
		Short: "Build a policy from its Go source: a WASM module, or a program with --process",
		Args:  cobra.MaximumNArgs(1),
	}, func(ctx context.Context, args []string) error {
		o.Dir, o.Env = ".", a.env
		if len(args) > 0 {
			o.Dir = args[0]
		}
		return a.policyBuild(ctx, o)
	})
	cmd.Flags().BoolVar(&o.Process, "process", false, "a program for this machine instead of a module")
	cmd.Flags().StringVarP(&o.Out, "out", "o", "", "`FILE` to write (default: named after the folder, in it)")
	return cmd
}

func (a *app) policyBuild(ctx context.Context, o policybuild.Options) error {
	built, err := policybuild.Build(ctx, o)
	switch {
	case errors.Is(err, policybuild.ErrNoGo):
		return localapi.Fail(localapi.CodeFailed, "install Go from https://go.dev/dl; a policy in another language is built with its own tools, after sdk/ABI.md", err)
	case errors.Is(err, policybuild.ErrNoPackage):
		return localapi.Fail(localapi.CodeUsage, "name the folder of a main package that calls guest.Register; examples/README.md begins with one", err)
	case errors.Is(err, fs.ErrNotExist):
		return localapi.Fail(localapi.CodeUsage, "name the folder of the policy's main package", err)
	case err != nil:
		return err
	}
	source := built.File
	runtime := "wasm"
	if o.Process {
		source, runtime = "exec:"+built.File, "process"
	}
	r := struct {
		File    string `json:"file"`
		Source  string `json:"source"`
		Runtime string `json:"runtime"`
		Bytes   int64  `json:"size_bytes"`
		SHA256  string `json:"sha256"`
		Package string `json:"package"`
	}{built.File, source, runtime, built.Bytes, built.SHA256, built.Package}
	err = a.print(r, func(w io.Writer) {
		row(w, "built", built.File+", "+size(built.Bytes))
		row(w, "sha256", built.SHA256)
	})
	if err == nil {
		a.note("try it: tes policy test %s", shellWord(source))
	}
	return err
}
