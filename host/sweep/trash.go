package sweep

import (
	"errors"
	"io/fs"
	"maps"
	"time"

	"github.com/tesseras/tesseras/host/cas"
)

// The folders of the data directory for what was moved aside: each has a folder for each day, named
// like 2031-05-06 in UTC, which goes when Keep is over by both clocks: the time of day alone may have leapt.
const (
	Trash      = cas.Trash    // orphans, and what was released, while the index was in doubt
	Quarantine = "quarantine" // objects that held other bytes than their names say
)

// emptyTrash removes what was moved aside long enough ago, and remembers what is there still.
func (r *round) emptyTrash() error {
	if !r.removes() {
		return nil
	}
	now, _, err := r.s.watch.read()
	if err != nil {
		return err
	}
	seen := map[string]time.Duration{}
	for _, dir := range []string{Trash, Quarantine} {
		if err := r.empty(dir, now, seen); err != nil {
			return err
		}
	}
	if maps.Equal(seen, now.Aside) {
		return nil
	}
	return r.s.watch.change(func(now *reading) { now.Aside = seen })
}

// empty removes folders of days that are over, and adds to seen since when the others were seen.
func (r *round) empty(dir string, now reading, seen map[string]time.Duration) error {
	days, err := r.s.FS.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, d := range days {
		day, err := time.Parse(time.DateOnly, d.Name())
		if err != nil || !d.IsDir() {
			continue
		}
		name := dir + "/" + d.Name()
		since, known := now.Aside[name]
		if !known {
			since = now.Lived
		}
		// the day is over at the latest 24 h after it began
		if r.now.Before(day.Add(Keep+24*time.Hour)) || now.Lived-since < Keep {
			seen[name] = since
			continue
		}
		if err := r.removeFolder(name); err != nil {
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
