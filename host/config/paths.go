package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// DataDirVariable names the environment variable that says where the data directory is.
const DataDirVariable = "TESSERAS_DATA_DIR"

var errNoHome = errors.New("neither HOME nor an XDG directory is set: name one with --data-dir")

// DataDir is the absolute path of the data directory: what the flag says, else TESSERAS_DATA_DIR, else
// $XDG_DATA_HOME/tesseras, else ~/.local/share/tesseras. env is in the form of os.Environ.
func DataDir(flag string, env []string) (string, error) {
	for _, dir := range []string{flag, variable(env, DataDirVariable)} {
		if dir != "" {
			return filepath.Abs(dir)
		}
	}
	if dir := userDir(env, "XDG_DATA_HOME", ".local/share"); dir != "" {
		return filepath.Join(dir, "tesseras"), nil
	}
	return "", errNoHome
}

// SearchPaths lists where a configuration file is looked for when none is named, first match first.
func SearchPaths(env []string) []string {
	var paths []string
	if dir := userDir(env, "XDG_CONFIG_HOME", ".config"); dir != "" {
		paths = append(paths, filepath.Join(dir, "tesseras", "config.toml"))
	}
	return append(paths, "/etc/tesseras/config.toml")
}

// findFile is the file to read: the one named, which has to exist, else the first of the search path
// that does, else "".
func findFile(named string, search []string) (string, error) {
	if named != "" {
		if _, err := os.Stat(named); err != nil {
			return "", fmt.Errorf("configuration file: %w", err)
		}
		return named, nil
	}
	for _, path := range search {
		switch _, err := os.Stat(path); {
		case err == nil:
			return path, nil
		case !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("configuration file: %w", err)
		}
	}
	return "", nil
}

// userDir is an XDG directory. The XDG rules say to ignore one that is not absolute.
func userDir(env []string, xdg, below string) string {
	if dir := variable(env, xdg); filepath.IsAbs(dir) {
		return dir
	}
	if home := variable(env, "HOME"); home != "" {
		return filepath.Join(home, below)
	}
	return ""
}

// variable looks a name up; as in the shell, the last one given counts.
func variable(env []string, name string) (value string) {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			value = v
		}
	}
	return value
}
