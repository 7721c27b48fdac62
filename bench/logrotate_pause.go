package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// How often and how far apart a writer is disturbed to see for how long.
const (
	pauseRotations = 100
	pauseEvery     = 500 * time.Millisecond
	// once with little in the log, and so often with much.
	bigPauses    = 5
	bigPauseSize = 1 << 30
)

// pauseRows measure for how long a writer that keeps its file has to wait.
func (d *rotationDuel) pauseRows(ctx context.Context) error {
	if err := d.makeText(bigPauseSize); err != nil {
		return err
	}
	defer d.removeText()
	var small, big [2][]float64
	var quiet []float64
	for i, r := range []*rotator{&d.ours, d.copytruncate()} {
		all, spans, err := d.underLoad(ctx, r, appends, pauseRotations, pauseEvery)
		if err := errors.Join(err, r.empty()); err != nil {
			return err
		}
		var between []float64
		small[i], between = pauses(all.Strokes, spans)
		quiet = append(quiet, between...)
		for range bigPauses {
			if err := d.copyOf(r, loadedLog); err != nil {
				return err
			}
			all, spans, err := d.underLoad(ctx, r, appends, 1, pauseEvery)
			if err := errors.Join(err, r.empty()); err != nil {
				return err
			}
			during, _ := pauses(all.Strokes, spans)
			big[i] = append(big[i], during...)
		}
	}
	measuredHeader()
	fmt.Printf("| longest write of a writer that keeps its file and appends %d lines a second, in each of %d rotations: median, 99%%, most | %s (`copytruncate`: %s; between rotations: %s) | < 15 ms at 99%% |\n",
		lineRate, pauseRotations, milliseconds(small[0]), milliseconds(small[1]), milliseconds(quiet))
	fmt.Printf("| the same where the log has 1 GiB, in each of %d rotations | %s (`copytruncate`: %s) | |\n", bigPauses, milliseconds(big[0]), milliseconds(big[1]))
	return nil
}

func milliseconds(values []float64) string {
	return fmt.Sprintf("%.1f, %.1f, %.1f ms", quantile(values, 0.5), quantile(values, 0.99), quantile(values, 1))
}

// pauses are the longest writes, in milliseconds, during each rotation and in
// each time between two.
func pauses(strokes []stroke, spans []span) (during, between []float64) {
	longest := func(s span) float64 {
		// Also one that was on its way when it began.
		at, _ := slices.BinarySearchFunc(strokes, s.from, func(one stroke, from int64) int {
			return cmp.Compare(one.At+int64(one.Longest), from)
		})
		var most time.Duration
		for ; at < len(strokes) && strokes[at].At < s.to; at++ {
			most = max(most, strokes[at].Longest)
		}
		return most.Seconds() * 1000
	}
	for i, s := range spans {
		during = append(during, longest(s))
		if i > 0 {
			between = append(between, longest(span{spans[i-1].to, s.from}))
		}
	}
	return during, between
}
