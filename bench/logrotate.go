package main

import (
	"context"
	"fmt"
)

// logRotation are the rows that compare the log rotation sidecar with Debian's
// logrotate and its gzip, configured as upstream does: each in a container of
// the orchestrator's image with a volume of its own on the same file system,
// told to rotate now by a command in its container.
func logRotation(ctx context.Context, w *workshop, chosen choice) error {
	up, idle := "from `up` to serving", "idle"
	if chosen.has("logrotate: " + up) {
		if err := rotationUpRow(ctx, w, up); err != nil {
			return fmt.Errorf("logrotate: %s: %w", up, err)
		}
	}
	if chosen.has("logrotate: " + idle) {
		if err := rotationIdleRows(ctx, w); err != nil {
			return fmt.Errorf("logrotate: %s: %w", idle, err)
		}
	}
	var rows []rotationRow
	for _, r := range rotationRows {
		if chosen.has("logrotate: " + r.what) {
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	d, err := newRotationDuel(ctx, w)
	if err != nil {
		return err
	}
	defer d.close()
	fmt.Printf("\nThe logrotate sidecar beside %s with %s.\n", d.version, d.gzipVersion)
	for _, r := range rows {
		if err := r.measure(d, ctx); err != nil {
			return fmt.Errorf("logrotate: %s: %w", r.what, err)
		}
	}
	return nil
}

// rotationRow is one table, or a part of one.
type rotationRow struct {
	what    string
	measure func(d *rotationDuel, ctx context.Context) error
}

var rotationRows = []rotationRow{
	{"compress, memory", (*rotationDuel).compressRows},
	{"small files, memory", (*rotationDuel).smallFileRows},
	{"lost lines", (*rotationDuel).lossRows},
	{"pauses of a writer", (*rotationDuel).pauseRows},
}
