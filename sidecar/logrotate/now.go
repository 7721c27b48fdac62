package logrotate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/rotation"
)

// waiter is somebody who asked for a rotation now.
type waiter struct {
	rotations map[string]*Rotation
	deadline  time.Time
	said      chan []Rotation
}

// nowPatience is how long whoever asks for a rotation waits for writers to let
// go of what was set aside.
const nowPatience = 3 * time.Second

// now rotates logs now, all where none is named, and answers when no more is to
// be had soon.
func (k *keeper) now(ctx context.Context, logs []string, said chan []Rotation) error {
	w := wish{now: map[string]bool{}, nowAll: len(logs) == 0}
	one := &waiter{rotations: map[string]*Rotation{}, deadline: k.config.Now().Add(nowPatience), said: said}
	for _, log := range logs {
		w.now[log] = true
		one.rotations[log] = &Rotation{Log: log, Nothing: true}
	}
	if w.nowAll {
		for log := range k.logs {
			one.rotations[log] = &Rotation{Log: log, Nothing: true}
		}
	}
	k.waiters = append(k.waiters, one)
	err := k.pass(ctx, w)
	for log, r := range one.rotations {
		if _, is := k.logs[log]; is || !r.Nothing {
			continue
		}
		if w.nowAll {
			delete(one.rotations, log) // gone since it was last seen
		} else {
			r.Error = "there is no such log" + k.suggest(log)
		}
	}
	return err
}

// suggest says why a name is no log's.
func (k *keeper) suggest(log string) string {
	if name, is := archive.Parse(log); is {
		return fmt.Sprintf(": that is an archive of %s", name.Log)
	}
	for _, r := range k.refused {
		if r.Base == log {
			return " that can be rotated: " + r.Why
		}
	}
	if _, ours := k.config.Policies.For(log); !ours {
		return ", and no pattern has it"
	}
	return ""
}

// tell takes down what became of a log for those who wait.
func (k *keeper) tell(o rotation.Outcome) {
	for _, w := range k.waiters {
		r := w.rotations[o.Segment.Name.Log]
		if r == nil {
			r = &Rotation{Log: o.Segment.Name.Log}
			w.rotations[r.Log] = r
		}
		r.Nothing, r.Waiting = false, ""
		r.Archives = append(r.Archives, o.Archives...)
		if o.Err != nil {
			r.Error = o.Err.Error()
		}
		if o.Result == rotation.Waiting {
			r.Waiting = o.Why
		}
	}
}

func (k *keeper) tellFailure(log string, err error) {
	for _, w := range k.waiters {
		if r := w.rotations[log]; r != nil {
			r.Nothing, r.Error = false, err.Error()
		}
	}
}

// reply answers those for whom there is no more to wait for, or no more time.
func (k *keeper) reply() {
	now := k.config.Now()
	k.waiters = slices.DeleteFunc(k.waiters, func(w *waiter) bool {
		for _, o := range k.waiting {
			r := w.rotations[o.Segment.Name.Log]
			if r != nil && !r.Nothing && r.Error == "" && now.Before(w.deadline) && (o.Grows || !o.Again.IsZero()) {
				return false
			}
		}
		w.said <- w.all()
		return true
	})
}

func (w *waiter) all() []Rotation {
	all := make([]Rotation, 0, len(w.rotations))
	for _, r := range w.rotations {
		all = append(all, *r)
	}
	slices.SortFunc(all, func(a, b Rotation) int { return strings.Compare(a.Log, b.Log) })
	return all
}

// dismiss tells those who wait that there will be no more.
func (k *keeper) dismiss(err error) {
	why := "it is stopping"
	if err != nil {
		why = err.Error()
	}
	for _, w := range k.waiters {
		for _, r := range w.rotations {
			if r.Error == "" && len(r.Archives) == 0 {
				r.Nothing, r.Error = false, why
			}
		}
		w.said <- w.all()
	}
}
