package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/tesseras/tesseras/sdk"
)

const (
	memoryBytes  = 1024 * mib // the largest tessera there is
	ownerLimit   = 150        // MiB
	holderLimit  = 100
	memoryHope   = 64
	memoryPieces = 4 // files
)

func memoryStep(l *lab) step { return step{"memory", l.memoryRows} }

// memoryRows looks at the peaks of processes that handle 1 GiB.
func (l *lab) memoryRows(ctx context.Context) ([]row, error) {
	owner, err := l.startMember(ctx, "owner-of-much")
	if err != nil {
		return nil, err
	}
	folder, err := l.fresh("much", memoryPieces, memoryBytes/memoryPieces)
	if err != nil {
		return nil, err
	}
	made, err := keep(ctx, owner.client, folder)
	if err = errors.Join(err, os.RemoveAll(folder)); err != nil {
		return nil, err
	}
	creating, err := owner.peak("memory of the owner, create", ownerLimit)
	if err != nil {
		return nil, err
	}
	if err := byAPI(owner)(ctx, made.ID); err != nil {
		return nil, err
	}
	publishing, err := owner.peak("memory of the owner, publish", ownerLimit)
	if err != nil {
		return nil, err
	}
	l.stop(owner.child)
	restoring, err := l.restoringMemory(ctx, made.ID)
	if err != nil {
		return nil, err
	}
	receiving, err := l.largestHolder()
	return []row{creating, publishing, restoring, receiving}, err
}

func (l *lab) restoringMemory(ctx context.Context, id sdk.TesseraID) (row, error) {
	heir, err := l.startMember(ctx, "heir-of-much")
	if err != nil {
		return row{}, err
	}
	defer l.stop(heir.child)
	dest := l.path("much-restored")
	defer os.RemoveAll(dest)
	if err := restore(ctx, heir, id, dest); err != nil {
		return row{}, err
	}
	return heir.peak("memory of a restoring node", ownerLimit)
}

// largestHolder is the peak of the receiver that used most.
func (l *lab) largestHolder() (worst row, err error) {
	for _, h := range l.holders {
		r, err := h.peak("memory of a receiver", holderLimit)
		if err != nil {
			return r, err
		}
		if r.Value >= worst.Value {
			worst = r
		}
	}
	return worst, nil
}

// peak tells the most memory a node has had resident.
func (n *node) peak(name string, limit float64) (row, error) {
	bytes, err := peakMemory(n.cmd.Process.Pid)
	if err != nil {
		return row{Step: name}.noted("left out: %v", err), nil
	}
	r := row{Step: name, Bytes: memoryBytes, Value: float64(bytes) / mib, Unit: "MiB"}
	r.Goal = fmt.Sprintf("<= %.0f MiB", limit)
	return r.judged(r.Value <= limit).noted("hope %d", memoryHope), nil
}
