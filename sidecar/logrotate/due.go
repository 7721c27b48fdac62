package logrotate

import (
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
		r = k.record(l.Name)
		r.Baseline = firstBaseline(l, now)
	}
	if l.Live == nil {
		return false
	}
	if p.Create != 0 && l.Live.Mode != p.Create {
		if err := k.folder.Chmod(*l.Live, p.Create); err != nil {
			k.fail(l.Name, l.Name, err, now)
		}
	}
	f := policy.File{Size: content(*l.Live), Last: r.Baseline}
	if baseline := policy.Baseline(p, f, now); !baseline.Equal(r.Baseline) {
		r.Baseline, f.Last, k.changed = baseline, baseline, true
	}
	asked := w.nowAll || w.now[l.Name]
	if failed, is := r.Failed[l.Name]; is && now.Before(failed.Retry) && !asked {
		return false
	}
	_, due := policy.Due(p, f, now)
	if due = (due || asked) && k.folder.Ready(*l.Live, p.IfEmpty); !due {
		k.cure(r, l.Name)
	}
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

// next is when a log is rotated next by its schedule, or tried again; zero where
// nothing says so.
func (k *keeper) next(l rotation.Log, now time.Time) time.Time {
	p, _ := k.config.Policies.For(l.Name)
	r := k.records[l.Name]
	if r == nil {
		return time.Time{}
	}
	if retry := r.retry(); !retry.IsZero() {
		return retry
	}
	if l.Live == nil || !k.folder.Ready(*l.Live, p.IfEmpty) || content(*l.Live) < p.MinSize {
		// Nothing to rotate; should it have something by then, it is due.
		return policy.Next(p, now, now)
	}
	return policy.Next(p, r.Baseline, now)
}
