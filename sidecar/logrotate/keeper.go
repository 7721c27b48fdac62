package logrotate

import (
	"context"
	"errors"
	"fmt"
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
	// Without room it is tried again with the first rotation. Removing what is not kept
	// any longer may be what makes room.
	if _, err := k.folder.Abilities(); err != nil && !full(err) {
		return err
	}
	if k.records, err = readRecords(d.config.State, d.config.Now()); err != nil {
		k.journal.write(Event{Event: EventProblem, Problem: err.Error(), Fix: "nothing is lost: each log is rotated when its next period begins"})
	}
	if k.watcher, err = newWatcher(d.config.Folder); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	k.saver = newSaver(k.folder, k.config)
	k.saver.begin()
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
	case full(err):
		return "make room in the volume of the logs: remove archives, or keep fewer (INMANTA_LOGROTATE_KEEP, INMANTA_LOGROTATE_MAX_TOTAL); it is tried again by itself"
	case errors.Is(err, unix.EROFS):
		return "find out why the volume of the logs is read-only (on the host: dmesg); it is tried again by itself"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return "give the file and the folder to the user inmanta, and take away the attributes i and a (chattr); it is tried again by itself"
	}
	return "nothing is lost; it is tried again by itself"
}

// full says whether it is for want of room that something could not be done.
func full(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// conclude removes what is not kept any longer, unless a pass that is cut short has
// not said yet what that is, and notes what changed.
func (k *keeper) conclude(ctx context.Context, w wish) error {
	if _, err := k.relist(w); err != nil {
		return err
	}
	if ctx.Err() == nil && k.prune(w) {
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
