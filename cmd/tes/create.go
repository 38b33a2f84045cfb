package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tesseras/tesseras/host/localapi"
	"github.com/tesseras/tesseras/host/tessera"
)

func (a *app) createVerb() *cobra.Command {
	var o createOptions
	cmd := a.does(&cobra.Command{
		Use:   "create DIR",
		Short: "Keep a folder as a tessera, and print its id",
		Long: "Keep a folder as a tessera: scan, hash, sign, store. Prints the id.\n\n" +
			"Symbolic links, devices, sockets and pipes are refused, all of them named. With --skip-special they\n" +
			"are left out and listed, and the exit code is 3.",
		Args: cobra.ExactArgs(1),
	}, func(ctx context.Context, args []string) error { return a.create(ctx, args[0], o) })
	cmd.Flags().StringVar(&o.title, "title", "", "title `T` (default: the folder's name)")
	cmd.Flags().BoolVar(&o.skipSpecial, "skip-special", false, "leave out what is neither file nor folder")
	return cmd
}

type createOptions struct {
	title       string
	skipSpecial bool
}

// created is the result of create.
type created struct {
	localapi.Created
	Skipped []skipped `json:"skipped"`
}

type skipped struct {
	Path localapi.Name `json:"path"`
	Kind tessera.Kind  `json:"kind"`
}

func (a *app) create(ctx context.Context, dir string, o createOptions) error {
	if err := named(dir); err != nil {
		return err
	}
	if err := a.keepApart(dir); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return unopened(dir, err)
	}
	defer root.Close()
	if o.title == "" {
		o.title = nameOf(dir)
	}
	found, err := tessera.Scan(ctx, root, tessera.ScanOptions{SkipSpecial: o.skipSpecial})
	if err != nil {
		return err
	}
	client, err := a.either(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	kept, err := a.upload(ctx, client, root, o.title, found.Entries)
	if err != nil {
		return err
	}
	return a.tellCreated(kept, found.Skipped)
}

func (a *app) upload(ctx context.Context, client *localapi.Client, root *os.Root, title string, entries tessera.FileList) (localapi.Created, error) {
	_, _, total := entries.Totals()
	meter := a.meter()
	defer meter.close()
	count := meter.counter("keeping", total)
	return client.Create(ctx, func(ctx context.Context, w io.Writer) error {
		return tessera.WriteFolder(ctx, count.writer(w), root, title, entries)
	})
}

func (a *app) tellCreated(kept localapi.Created, left []tessera.Problem) error {
	r := created{Created: kept, Skipped: []skipped{}}
	for _, p := range left {
		r.Skipped = append(r.Skipped, skipped{localapi.Name(p.Path), p.Kind})
		a.note("left out: %s: %s", localapi.Name(p.Path).Printable(), p.Kind)
	}
	a.note("%s, %s, %s of it new here", count(kept.Files, "file"), size(kept.SizeBytes), size(kept.NewBytes))
	if err := a.print(r, func(w io.Writer) { row(w, kept.ID.String()) }); err != nil {
		return err
	}
	if len(left) > 0 {
		return localapi.Fail(localapi.CodePartly, "what was left out is listed; everything else is kept", fmt.Errorf("%s left out, because neither file nor folder", count(len(left), "thing")))
	}
	return nil
}

// named refuses the empty name, which the system takes for the working directory.
func named(dir string) error {
	if dir != "" {
		return nil
	}
	return localapi.Fail(localapi.CodeUsage, "name a folder; the one you are in is called .", errors.New("the name of the folder is empty"))
}

// keepApart refuses a folder that the data directory is in: what is kept would change what is read.
func (a *app) keepApart(dir string) error {
	data, err := a.dataDir()
	if err != nil {
		return err
	}
	inside, outside := resolved(data), resolved(dir)
	if inside == outside || strings.HasPrefix(inside, strings.TrimSuffix(outside, "/")+"/") {
		return localapi.Fail(localapi.CodeFailed, "choose a folder within it, or another data directory with --data-dir",
			fmt.Errorf("%s holds the data directory %s itself", dir, data))
	}
	return nil
}

// resolved is the real path of something that may not be there yet.
func resolved(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil || abs == filepath.Dir(abs) {
		return real
	}
	return filepath.Join(resolved(filepath.Dir(abs)), filepath.Base(abs))
}

// nameOf is what a folder is called, however it was named.
func nameOf(dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return filepath.Base(dir)
	}
	return filepath.Base(abs)
}

func unopened(dir string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, fs.ErrNotExist):
		hint = "check the spelling of the path"
	case errors.Is(err, fs.ErrPermission):
		hint = "a folder can only be kept by someone who may read it"
	case isFile(dir):
		hint = "a tessera is a folder: name the one the file is in"
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return localapi.Fail(localapi.CodeFailed, hint, fmt.Errorf("%s: %w", dir, err))
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}
