package sweep

import (
	"errors"
	"io/fs"
	"time"
)

// The folders of the data directory for what was moved aside: each has a folder for each day, named
// like 2031-05-06 in UTC, which goes when Keep is over.
const (
	Trash      = "trash"      // orphans while the index was in doubt
	Quarantine = "quarantine" // objects that held other bytes than their names say
)

// emptyTrash removes what was moved aside long enough ago.
func (r *round) emptyTrash() error {
	if !r.removes() {
		return nil
	}
	for _, dir := range []string{Trash, Quarantine} {
		if err := r.empty(dir); err != nil {
			return err
		}
	}
	return nil
}

func (r *round) empty(dir string) error {
	days, err := r.s.FS.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, d := range days {
		day, err := time.Parse(time.DateOnly, d.Name())
		if err != nil || !d.IsDir() || r.now.Before(day.Add(Keep+24*time.Hour)) {
			continue // the day is over at the latest 24 h after it began
		}
		if err := r.removeFolder(dir + "/" + d.Name()); err != nil {
			return err
		}
	}
	return nil
}

func (r *round) removeFolder(dir string) error {
	files, err := r.s.FS.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		info, err := f.Info()
		if err == nil {
			err = r.s.FS.Remove(dir + "/" + f.Name())
		}
		if err != nil {
			return err
		}
		r.BytesFreed += info.Size()
	}
	return r.s.FS.Remove(dir)
}
