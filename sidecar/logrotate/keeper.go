package logrotate

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/policy"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/rotation"
)

// keeper rotates the logs of one folder. All of it runs in one goroutine.
type keeper struct {
	config  Config
	folder  *rotation.Folder
	watcher *watcher
	saver   *saver
	journal *journal
	records map[string]*record
	changed bool // the records have
	// waiting are the segments that stay aside, with why.
	waiting map[string]rotation.Outcome
	refused []rotation.Refusal
	// due is when the next log is, by its schedule or because it failed.
	due time.Time
	// saved are logs of which something was set aside that nobody tells of.
	saved map[string]bool
	// unremoved are archives that should be gone and cannot be removed, with why.
	unremoved map[string]string
	waiters   []*waiter
	logs      map[string]rotation.Log // as they were when they were last looked at
}

// tick is how often the clock on the wall is looked at, which may be put
// forward, and the size of logs where that makes them due.
const tick = 30 * time.Second

// keep rotates until the context is done, or the folder cannot be used any more.
func (d *daemon) keep(ctx context.Context) (err error) {
	k := &keeper{config: d.config, journal: d.journal, waiting: map[string]rotation.Outcome{}, logs: map[string]rotation.Log{}, saved: map[string]bool{}, unremoved: map[string]string{}}
	defer func() { k.dismiss(err) }()
	k.folder, err = rotation.Open(rotation.Options{
		Path: d.config.Folder, State: d.config.State, Now: d.config.Now,
		Step: func(name string) {
			d.pulse.Beat()
			if d.config.Step != nil {
				d.config.Step(name)
			}
		},
	})
	if err != nil {
		return err
	}
	defer k.folder.Close()
	for _, problem := range k.folder.Problems {
		k.journal.write(Event{Event: EventProblem, Problem: problem.Error(), Fix: "nothing is lost: it is found out again"})
	}
	if _, err := k.folder.Abilities(); err != nil {
		return err
	}
	if k.records, err = readRecords(d.config.State); err != nil {
		k.journal.write(Event{Event: EventProblem, Problem: err.Error(), Fix: "nothing is lost: each log is rotated when its next period begins"})
	}
	if k.watcher, err = newWatcher(d.config.Folder); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	k.saver = newSaver(k.folder, k.config)
	seen, changes, failed := make(chan []change), make(chan []change), make(chan error, 1)
	go func() { failed <- k.watcher.read(ctx, seen) }()
	go k.saver.forward(ctx, seen, changes)

	d.unable.Store(false)
	k.journal.write(Event{Event: EventStarted})
	everything := wish{all: true, first: true}
	if _, err := k.relist(everything); err != nil {
		return err
	}
	d.publish(k)
	// Whatever was left aside is looked at, too.
	d.busy.Store(true)
	err = k.pass(ctx, everything)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if err != nil {
			return err
		}
		d.publish(k)
		k.reply()
		timer.Reset(k.wait())
		d.busy.Store(false)
		select {
		case <-ctx.Done():
			return nil
		case err = <-failed:
		case seen := <-changes:
			d.busy.Store(true)
			err = k.follow(ctx, seen)
		case <-timer.C:
			d.busy.Store(true)
			err = k.look(ctx)
		case do := <-d.requests:
			d.busy.Store(true)
			err = do(ctx, k)
		}
		d.pulse.Beat()
	}
}

// wait is how long nothing has to be done unless something happens.
func (k *keeper) wait() time.Duration {
	now, wait := k.config.Now(), tick
	until := func(t time.Time) {
		if !t.IsZero() {
			wait = min(wait, max(t.Sub(now), 0))
		}
	}
	until(k.due)
	if len(k.saved) > 0 {
		wait = 0
	}
	for _, o := range k.waiting {
		until(o.Again)
	}
	for _, w := range k.waiters {
		until(w.deadline)
	}
	// Not in a circle, should a clock stand still.
	return max(wait, 10*time.Millisecond)
}

// look does what time makes due.
func (k *keeper) look(ctx context.Context) error {
	if err := k.present(); err != nil {
		return err
	}
	now := k.config.Now()
	if k.bySize() || (!k.due.IsZero() && !now.Before(k.due)) {
		return k.pass(ctx, wish{all: true})
	}
	again := k.saved
	k.saved = map[string]bool{}
	for _, o := range k.waiting {
		if !o.Again.IsZero() && !now.Before(o.Again) {
			again[o.Segment.Name.Log] = true
		}
	}
	if len(again) == 0 {
		return nil
	}
	return k.pass(ctx, wish{logs: again})
}

func (k *keeper) bySize() bool {
	return slices.ContainsFunc(k.config.Policies.List, func(p policy.Policy) bool { return p.Size > 0 })
}

// present says whether the folder is still the one that has the path.
func (k *keeper) present() error {
	now, err := os.Stat(k.config.Folder)
	if err != nil {
		return fmt.Errorf("looking at the folder of the logs: %w", err)
	}
	if !k.folder.Is(now) {
		return fmt.Errorf("%s is another folder now", k.config.Folder)
	}
	return nil
}

// follow does what changes of files make possible.
func (k *keeper) follow(ctx context.Context, seen []change) error {
	w := wish{logs: map[string]bool{}}
	var closed []string
	for _, c := range seen {
		if c == (change{}) {
			return k.pass(ctx, wish{all: true})
		}
		base := c.base
		if base == "" {
			base = k.watcher.grown(c.number)
		}
		name, archived := archive.Parse(base)
		if !archived {
			name.Log = base
		}
		p, ours := k.config.Policies.For(name.Log)
		if !ours {
			continue
		}
		switch _, waits := k.waiting[base]; {
		case archived && waits, c.saved:
			w.logs[name.Log] = true
			if c.mask&unix.IN_CLOSE_WRITE != 0 {
				closed = append(closed, base)
			}
		case archived, c.mask&unix.IN_CLOSE_WRITE != 0:
		case k.waits(base):
			// Its writer has made it anew: the old one will be closed.
			w.logs[name.Log] = true
		case k.records[base] == nil, p.Create != 0:
			w.logs[name.Log] = true // it is new
		}
	}
	if len(w.logs) == 0 {
		return nil
	}
	err := k.pass(ctx, w)
	// A close is told a moment before the file is free: no more will be told of it.
	for _, base := range closed {
		if o, waits := k.waiting[base]; waits && o.Again.IsZero() {
			o.Again = k.config.Now().Add(time.Second)
			k.waiting[base] = o
		}
	}
	return err
}

// waits says whether something of a log is waited for.
func (k *keeper) waits(log string) bool {
	for _, o := range k.waiting {
		if o.Segment.Name.Log == log {
			return true
		}
	}
	return false
}

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
		k.rotate(ctx, some, w, now)
		if err := k.folder.Unfinished(); err != nil {
			return err
		}
	}
	return k.conclude(w)
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
					Renewed: live || segment.Name.Time.Before(newest),
					Take:    first || taken[l.Name] || !live && !segment.Name.Time.Before(newest), Empty: p.IfEmpty, CopyTruncate: p.CopyTruncate,
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
		if waited && !r.Reopens {
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

// record is what is remembered of a log.
func (k *keeper) record(log string) *record {
	r := k.records[log]
	if r == nil {
		r = &record{Baseline: k.config.Now()}
		k.records[log], k.changed = r, true
	}
	return r
}

// fail notes what could not be done with a file of a log.
func (k *keeper) fail(log, base string, err error, now time.Time) {
	if k.record(log).fail(base, err, now) {
		k.journal.write(Event{Event: EventProblem, Log: log, Problem: err.Error(), Fix: fix(err)})
	}
	k.changed = true
	k.tellFailure(log, err)
}

// cure notes that nothing is wrong with a file any more.
func (k *keeper) cure(r *record, base string) {
	if _, failed := r.Failed[base]; failed {
		delete(r.Failed, base)
		k.changed = true
	}
}

// fix says what to do about an error.
func fix(err error) string {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return "make room in the volume of the logs: remove archives, or keep fewer (INMANTA_LOGROTATE_KEEP, INMANTA_LOGROTATE_MAX_TOTAL); it is tried again by itself"
	case errors.Is(err, unix.EROFS):
		return "find out why the volume of the logs is read-only (on the host: dmesg); it is tried again by itself"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return "give the file and the folder to the user inmanta, and take away the attributes i and a (chattr); it is tried again by itself"
	}
	return "nothing is lost; it is tried again by itself"
}

// conclude removes what is not kept any longer, and notes what changed.
func (k *keeper) conclude(w wish) error {
	if _, err := k.relist(w); err != nil {
		return err
	}
	if k.prune(w) {
		if _, err := k.relist(w); err != nil {
			return err
		}
	}
	k.settleDue(w)
	if !k.changed {
		return nil
	}
	k.changed = false
	return writeRecords(k.config.State, k.records)
}

// relist looks at logs as they are now, which it hands back by name.
func (k *keeper) relist(w wish) ([]rotation.Log, error) {
	// First: of thousands, the old list takes as much room as the new one.
	maps.DeleteFunc(k.logs, func(log string, _ rotation.Log) bool { return w.looksAt(log) })
	logs, refused, err := k.folder.List(k.match(w))
	if err != nil {
		return nil, err
	}
	k.refused = slices.DeleteFunc(k.refused, func(r rotation.Refusal) bool { return w.looksAt(r.Log) })
	k.refused = append(k.refused, refused...)
	for _, l := range logs {
		k.logs[l.Name] = l
	}
	return logs, nil
}

// match says which logs a pass looks at.
func (k *keeper) match(w wish) func(log string) bool {
	return func(log string) bool {
		_, ours := k.config.Policies.For(log)
		return ours && w.looksAt(log)
	}
}

// settleDue finds when the next log is due, and forgets logs that are gone.
func (k *keeper) settleDue(w wish) {
	now, before := k.config.Now(), k.due
	k.due = time.Time{}
	segments := map[string]bool{}
	for _, l := range k.logs {
		for _, segment := range l.Segments {
			segments[segment.Base] = true
		}
		if next := k.next(l, now); !next.IsZero() && (k.due.IsZero() || next.Before(k.due)) {
			k.due = next
		}
	}
	if !w.all && !w.nowAll && !before.IsZero() && !now.Before(before) {
		// What made it due may be a log that was not looked at now.
		k.due = before
	}
	maps.DeleteFunc(k.records, func(log string, r *record) bool {
		l, there := k.logs[log]
		k.changed = k.changed || !there
		maps.DeleteFunc(r.Failed, func(base string, _ failure) bool {
			return !segments[base] && (base != log || l.Live == nil)
		})
		return !there
	})
	kept := map[string]bool{}
	for _, l := range k.logs {
		if l.Live != nil && l.Live.Writer != rotation.Unknown {
			kept[l.Name] = true
		}
	}
	k.saver.keeps(kept)
	maps.DeleteFunc(k.waiting, func(base string, _ rotation.Outcome) bool { return !segments[base] })
}
