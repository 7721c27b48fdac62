package logrotate

import (
	"path"
	"slices"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/policy"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/rotation"
)

// isDue says whether a log is to be set aside, and remembers what its schedule
// counts from.
func (k *keeper) isDue(l rotation.Log, w wish, now time.Time) bool {
	p, _ := k.config.Policies.For(l.Name)
	r := k.records[l.Name]
	if r == nil {
		r = &record{Baseline: firstBaseline(l, now)}
		k.records[l.Name] = r
		k.changed = true
	}
	if l.Live == nil {
		return false
	}
	if p.Create != 0 && l.Live.Mode != p.Create {
		if err := k.folder.Chmod(*l.Live, p.Create); err != nil {
			k.fail(l.Name, err, now)
		}
	}
	f := policy.File{Size: content(*l.Live), Last: r.Baseline}
	if baseline := policy.Baseline(p, f, now); !baseline.Equal(r.Baseline) {
		r.Baseline, f.Last, k.changed = baseline, baseline, true
	}
	if !k.folder.Ready(*l.Live, p.IfEmpty) || now.Before(r.Retry) && !w.nowAll && !w.now[l.Name] {
		return false
	}
	if w.nowAll || w.now[l.Name] {
		return true
	}
	if w.save[l.Name] && (l.Live.Writer != rotation.Unknown || truncates(l.Name)) && k.folder.Free(*l.Live) {
		k.changed = true
		return r.maySave(now)
	}
	_, due := policy.Due(p, f, now)
	return due
}

// content is how much of the log a live file holds, in bytes: of one whose
// beginning was given back, what is left.
func content(f rotation.File) int64 {
	if f.Writer == rotation.Unknown {
		return f.Size
	}
	return min(f.Size, f.Allocated)
}

// firstBaseline is what the schedule of a log counts from that nothing is
// remembered of: its newest archive, or the age of its file.
func firstBaseline(l rotation.Log, now time.Time) time.Time {
	if newest := l.Newest(); !newest.IsZero() {
		return newest
	}
	if l.Live != nil && !l.Live.Born.IsZero() {
		return l.Live.Born
	}
	return now
}

// truncating are the files that the orchestrator opens anew as empty ones at
// each start of what writes them (inmanta-core, agentmanager.py and
// policy_engine.py: mode "wb+"). That cannot be found out before it happens.
var truncating = []string{"*.out", "*.err", "policy_engine.log"}

func truncates(log string) bool {
	return slices.ContainsFunc(truncating, func(pattern string) bool {
		is, err := path.Match(pattern, log)
		return err == nil && is
	})
}

// next is when a log is rotated next by its schedule, or tried again; zero where
// nothing says so.
func (k *keeper) next(l rotation.Log, now time.Time) time.Time {
	p, _ := k.config.Policies.For(l.Name)
	r := k.records[l.Name]
	if r == nil {
		return time.Time{}
	}
	if !r.Retry.IsZero() {
		return r.Retry
	}
	if l.Live == nil || !k.folder.Ready(*l.Live, p.IfEmpty) || content(*l.Live) < p.MinSize {
		// Nothing to rotate; should it have something by then, it is due.
		return policy.Next(p, now, now)
	}
	return policy.Next(p, r.Baseline, now)
}
