package logrotate

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/policy"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/rotation"
)

// wish is what a pass is to look at.
type wish struct {
	// all logs, or these; first is all of them at the start.
	all, first bool
	logs       map[string]bool
	// now are logs to be rotated whether they are due or not; nowAll is every one.
	now    map[string]bool
	nowAll bool
}

func (w wish) looksAt(log string) bool {
	return w.all || w.nowAll || w.logs[log] || w.now[log]
}

// pass looks at logs, sets those aside that are to be rotated, and does with
// what is aside whatever can be done. What fails is recorded with its log; an
// error is one of the folder.
func (k *keeper) pass(ctx context.Context, w wish) error {
	now := k.config.Now()
	logs, err := k.relist(w)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(logs, together) {
		if ctx.Err() != nil {
			break // what is not set aside yet stays where it is
		}
		k.rotate(ctx, some, w, now)
		if err := k.folder.Unfinished(); err != nil {
			return err
		}
	}
	return k.conclude(ctx, w)
}

// together is how many logs are rotated at a time: what is known of each while it
// is takes room in memory.
const together = 1024

// rotate sets aside which of the logs are due, and does with what is aside
// whatever can be done.
func (k *keeper) rotate(ctx context.Context, logs []rotation.Log, w wish, now time.Time) {
	var due []rotation.Log
	taken := map[string]bool{}
	for _, l := range logs {
		if k.isDue(l, w, now) {
			due = append(due, l)
			taken[l.Name] = true
		}
	}
	began := time.Now()
	aside, failed := k.folder.SetAside(due)
	for name, err := range failed {
		k.fail(name, name, err, now)
	}
	fresh := map[string]bool{}
	for _, segment := range aside {
		// That is what counts: what is written from then on is of the next period.
		r := k.record(segment.Name.Log)
		r.Rotated, r.Baseline = now, now
		delete(r.Failed, segment.Name.Log)
		fresh[segment.Base], k.changed = true, true
	}
	k.journal.gather(func() {
		k.folder.Settle(ctx, k.tasks(logs, aside, taken, w.first), func(o rotation.Outcome) {
			k.note(o, now, time.Since(began), fresh[o.Segment.Base])
		})
	})
}

// tasks are the segments of the logs, those just set aside included.
func (k *keeper) tasks(logs []rotation.Log, aside []rotation.File, taken map[string]bool, first bool) iter.Seq[rotation.Task] {
	return func(yield func(rotation.Task) bool) {
		// Both are in the order of the logs.
		for _, l := range logs {
			p, _ := k.config.Policies.For(l.Name)
			live, newest := l.Live != nil, l.Newest()
			segments := l.Segments
			if len(aside) > 0 && aside[0].Name.Log == l.Name {
				segments = append(slices.Clone(segments), aside[0])
				live, newest = false, aside[0].Name.Time
				aside = aside[1:]
			}
			for _, segment := range segments {
				goesOn := yield(rotation.Task{
					Segment: segment, Format: formats[p.Compression.Format], Level: p.Compression.Level,
					// What came after it must stay after it.
					Renewed: live || segment.Name.Time.Before(newest), Pieces: l.Pieces(segment),
					Take: first || taken[l.Name] || !live && !segment.Name.Time.Before(newest), Empty: p.IfEmpty, CopyTruncate: p.CopyTruncate,
				})
				if !goesOn {
					return
				}
			}
		}
	}
}

var formats = map[policy.Format]archive.Format{policy.None: archive.Plain, policy.Gzip: archive.Gzip, policy.Zstd: archive.Zstd}

// note remembers what became of a segment.
func (k *keeper) note(o rotation.Outcome, now time.Time, took time.Duration, fresh bool) {
	log := o.Segment.Name.Log
	r := k.record(log)
	before, waited := k.waiting[o.Segment.Base]
	delete(k.waiting, o.Segment.Base)
	if o.Result != rotation.Failed {
		k.cure(r, o.Segment.Base)
	}
	switch o.Result {
	case rotation.Failed:
		k.fail(log, o.Segment.Base, o.Err, now)
		k.waiting[o.Segment.Base] = rotation.Outcome{Segment: o.Segment, Why: o.Err.Error(), Again: r.Failed[o.Segment.Base].Retry}
	case rotation.Waiting:
		k.waiting[o.Segment.Base] = o
		if o.Grows {
			switch watched := k.watcher.growth(o.Segment.Base); {
			case k.folder.Size(o.Segment.Base) != o.Segment.Size:
				o.Again = now // before it was watched
			case !watched:
				o.Again = now.Add(tick)
			}
			k.waiting[o.Segment.Base] = o
		}
		if o.Again.IsZero() && (!waited || before.Why != o.Why) {
			k.journal.write(Event{Event: EventWaiting, Log: log, Segment: o.Segment.Base, Why: o.Why})
		}
	case rotation.Archived:
		if waited && !r.Reopens && !truncates(log) {
			r.Reopens, k.changed = true, true
		}
	case rotation.Kept:
		if fresh {
			o.Archives, o.Bytes = []string{o.Segment.Base}, o.Segment.Size
		}
	case rotation.Returned:
		// Its writer may have closed it when it had another name.
		if k.saver.keep(log) {
			k.saved[log] = true
		}
	}
	if len(o.Archives) > 0 {
		k.journal.write(Event{
			Event: EventRotated, Log: log, Segment: o.Segment.Base, Archives: o.Archives, Bytes: o.Bytes, Seconds: took.Seconds(),
		})
	}
	if o.Result != rotation.Kept || fresh {
		k.tell(o)
	}
}
