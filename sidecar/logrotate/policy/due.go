package policy

import (
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/schedule"
)

// File is what Due has to know of a log.
type File struct {
	Size int64 // bytes
	// Last is when it was last rotated, or first seen, as Baseline has it.
	Last time.Time
}

// Reason is why a log is due.
type Reason string

// The reasons there are.
const (
	DueBySchedule Reason = "schedule"
	DueBySize     Reason = "size"
)

// Due says whether a log is to be rotated now.
func Due(p Policy, f File, now time.Time) (Reason, bool) {
	if f.Size == 0 && !p.IfEmpty {
		return "", false
	}
	if p.Size > 0 && f.Size > p.Size {
		return DueBySize, true
	}
	if p.Schedule.Every == schedule.BySize || f.Size < p.MinSize || Next(p, f.Last, now).After(now) {
		return "", false
	}
	return DueBySchedule, true
}

// Next is when a log that was last rotated at last is due by the schedule: at the
// beginning of the period after that. It is not after now when the log is overdue,
// and zero where there is no schedule but size.
func Next(p Policy, last, now time.Time) time.Time {
	return p.Schedule.Next(last, now, p.location())
}

// Baseline is what counts as the last rotation of a log, and is to be remembered
// as its File.Last each time one looks at it: otherwise a time in the future would
// count as now again and again, and the log would never be due. It is Last, but
// now where that is unknown (zero) or more than 25 hours ahead, as after a boot in
// 1970 or a year too late, and now where the log is empty and left alone for that:
// its period begins with its first line, so that a line written after a month of
// silence is not rotated away the moment it is written.
func Baseline(p Policy, f File, now time.Time) time.Time {
	last := schedule.Credible(f.Last, now)
	if f.Size == 0 && !p.IfEmpty && now.After(last) {
		return now
	}
	return last
}
