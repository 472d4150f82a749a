package main

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime/debug"
	"strings"
)

// held is what is taken at one moment, in bytes.
type held struct {
	memory, rows, temporal, visibility, nats int64
}

// measureParked is what one parked click takes in memory and on disk.
func measureParked(ctx context.Context, w *world, r *report) error {
	before, err := w.holds(ctx)
	if err != nil {
		return err
	}
	// In portions, so that the stream never holds them all: a parked click has left it.
	const portion = 10_000
	for left := w.parked; left > 0; left -= portion {
		if _, err := w.parkedClicks(ctx, min(left, portion), w.link); err != nil {
			return err
		}
	}
	after, err := w.holds(ctx)
	if err != nil {
		return err
	}
	each := func(before, after int64) string { return fmt.Sprintf("%d B", (after-before)/int64(w.parked)) }
	r.section(fmt.Sprintf("What a parked click takes, at %d of them", w.parked),
		"The growth divided by their number, indexes included; memory is the resident set of the process (API, worker, Temporal, NATS), after garbage collection.",
		"memory", "rows (offerflow)", "Temporal", "Temporal visibility", "NATS", "disk in all")
	r.row(each(before.memory, after.memory), each(before.rows, after.rows), each(before.temporal, after.temporal),
		each(before.visibility, after.visibility), each(before.nats, after.nats), each(before.disk(), after.disk()))
	return nil
}

func (h held) disk() int64 { return h.rows + h.temporal + h.visibility + h.nats }

func (w *world) holds(ctx context.Context) (h held, err error) {
	err = w.rows.QueryRow(ctx, `SELECT pg_database_size('offerflow'), pg_database_size('temporal'), pg_database_size('temporal_visibility')`).
		Scan(&h.rows, &h.temporal, &h.visibility)
	if err != nil {
		return h, err
	}
	debug.FreeOSMemory()
	for line := range strings.Lines(readFile("/proc/self/status")) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			h.memory = kib << 10
		}
	}
	err = filepath.WalkDir(filepath.Join(w.standalone.Engine.DataDir, "nats"), func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil // files come and go below a running server
		}
		if info, err := entry.Info(); err == nil {
			h.nats += info.Size()
		}
		return nil
	})
	return h, err
}
