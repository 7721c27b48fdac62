package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// How often they are compared, and on what.
const (
	compressPairs  = 3
	compressSize   = 2 << 30
	smallLogPairs  = 5
	smallLogs      = 4000
	smallLogLength = 4 << 10
)

// turn is one rotator's part in a comparison.
type turn struct {
	rotator *rotator
	samples []sample
	bytes   int64 // of its archives, the last time
	// peak is what its container's first process had in memory at most, in bytes.
	peak float64
}

// turns lets each rotate what fill makes, in turn, the first one changing.
func (d *rotationDuel) turns(ctx context.Context, times, archives int, fill func(r *rotator) error, rotators ...*rotator) ([]turn, error) {
	all := make([]turn, len(rotators))
	for i := range times {
		for j := range all {
			t := &all[(i+j)%len(all)]
			t.rotator = rotators[(i+j)%len(all)]
			if err := errors.Join(t.rotator.empty(), fill(t.rotator), t.rotator.settled(ctx)); err != nil {
				return nil, err
			}
			s, err := d.rotate(ctx, t.rotator)
			if err != nil {
				return nil, err
			}
			count, bytes, err := t.rotator.archives()
			if err == nil && count != archives {
				err = fmt.Errorf("%s has made %d archives of %d logs", t.rotator.name, count, archives)
			}
			if err != nil {
				return nil, err
			}
			peak, err := t.rotator.peak()
			if err != nil {
				return nil, err
			}
			t.samples, t.bytes, t.peak = append(t.samples, s), bytes, max(t.peak, peak)
			if err := t.rotator.empty(); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// compressRows are about one large log.
func (d *rotationDuel) compressRows(ctx context.Context) error {
	if err := d.makeText(compressSize); err != nil {
		return err
	}
	defer d.removeText()
	fill := func(r *rotator) error { return d.copyOf(r, "server.log") }
	all, err := d.turns(ctx, compressPairs, 1, fill, &d.ours, &d.zstd, &d.theirs)
	if err != nil {
		return err
	}
	theirs := all[2]
	rotationHeader()
	for _, one := range []struct {
		format, core, ratio string
		turn
	}{{"gzip", "≥ 2.5", "≥ 1", all[0]}, {"zstd", "> 2.5", "", all[1]}} {
		what := fmt.Sprintf("rotation and compression of 2 GiB, %s", one.format)
		row(fmt.Sprintf("%s (%d pairs)", what, compressPairs), "", rates(one.samples, compressSize), rates(theirs.samples, compressSize), "MiB/s", 0)
		row(what+": for each second of one core", one.core, coreRates(one.samples, compressSize), coreRates(theirs.samples, compressSize), "MiB/s", 0)
		row(what+": how many times smaller", one.ratio, []float64{compressSize / float64(one.bytes)}, []float64{compressSize / float64(theirs.bytes)}, "×", 2)
	}
	peakRow("2 GiB in one file", all[0], all[1])
	return nil
}

// makeText writes what copyOf copies.
func (d *rotationDuel) makeText(size int64) error {
	text, err := os.Create(d.text)
	if err != nil {
		return err
	}
	return errors.Join(newLogText().writeTo(text, size), text.Close())
}

func (d *rotationDuel) removeText() { _ = os.Remove(d.text) }

// copyOf puts a copy of the text into a folder, as a log.
func (d *rotationDuel) copyOf(r *rotator, name string) error {
	text, err := os.Open(d.text)
	if err != nil {
		return err
	}
	defer text.Close()
	log, err := os.Create(filepath.Join(r.logs, name))
	if err != nil {
		return err
	}
	_, err = io.Copy(log, text)
	return errors.Join(err, log.Chown(d.uid, d.gid), log.Close())
}

// smallFileRows are about many small logs.
func (d *rotationDuel) smallFileRows(ctx context.Context) error {
	fill := func(r *rotator) error {
		text := newLogText()
		for i := range smallLogs {
			log, err := os.Create(filepath.Join(r.logs, fmt.Sprintf("agent-%08d-0000-4000-8000-000000000000.log", i)))
			if err != nil {
				return err
			}
			to := bufio.NewWriter(log)
			if err := errors.Join(text.writeTo(to, smallLogLength), to.Flush(), log.Chown(d.uid, d.gid), log.Close()); err != nil {
				return err
			}
		}
		return nil
	}
	all, err := d.onGround(ctx, smallLogPairs, smallLogs, fill, &d.ours, &d.zstd, &d.theirs)
	if err != nil {
		return err
	}
	theirs := all[2]
	rotationHeader()
	for _, one := range []struct {
		format, target string
		turn
	}{{"gzip", "≤ 0.10", all[0]}, {"zstd", "", all[1]}} {
		what := "rotation and compression of 4,000 logs of 4 KiB, " + one.format
		row(fmt.Sprintf("%s (%d pairs)", what, smallLogPairs), one.target, seconds(one.samples), seconds(theirs.samples), "s", 2)
		row(what+": CPU", "", serverSeconds(one.samples, 1), serverSeconds(theirs.samples, 1), "s", 2)
	}
	peakRow("4,000 logs", all[0], all[1])
	return nil
}

// peakRow says what the daemons had in memory at most.
func peakRow(after string, ours, zstd turn) {
	measuredHeader()
	fmt.Printf("| peak resident memory of the sidecar after %s | %.1f MiB (with zstd: %.1f MiB) | ≤ 15 MiB |\n", after, mebi(ours.peak), mebi(zstd.peak))
}

func rotationHeader() {
	fmt.Print("\n| what | ours, median (10%–90%) | logrotate and gzip, median (10%–90%) | ratio of medians | target |\n| --- | --- | --- | --- | --- |\n")
}
