package policy

import (
	"cmp"
	"slices"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/schedule"
)

// Archive is what retention has to know of a file that a rotation left.
type Archive struct {
	// Time is when it was set aside, Part which piece of that it is. Together
	// they order the archives of a log.
	Time time.Time
	Part int
	Size int64 // bytes
	// Held is whether its writer still has it, or it is not wholly archived.
	Held bool
}

// Expired are those archives of one log that are to be removed, by their index,
// oldest first: those of periods beyond the newest Keep that have any, and those
// older than MaxAge. What was rotated at the moment a period begins is of the one
// that ends. Without a schedule, each rotation counts for itself. What is held is
// never among them, and counts.
func Expired(p Policy, archives []Archive, now time.Time) []int {
	order := oldestFirst(archives)
	var tooOld time.Time
	if p.MaxAge > 0 {
		tooOld = now.In(p.location()).AddDate(0, 0, -p.MaxAge)
	}
	var expired []int
	var period time.Time
	periods := 0
	for _, i := range slices.Backward(order) {
		one := archives[i]
		if of := p.belongs(one.Time); periods == 0 || !of.Equal(period) {
			period = of
			periods++
		}
		if one.Held {
			continue
		}
		if p.Keep >= 0 && periods > p.Keep || one.Time.Before(tooOld) {
			expired = append(expired, i)
		}
	}
	slices.Reverse(expired)
	return expired
}

// belongs identifies what archives of one time count as.
func (p Policy) belongs(t time.Time) time.Time {
	if p.Schedule.Every == schedule.BySize {
		return t
	}
	start, _ := p.Schedule.Period(t.Add(-1), p.location())
	return start
}

// OverTotal are those of all archives of a folder that are to be removed for the
// rest to take no more than limit bytes, by their index, oldest first. 0 is no
// limit.
//
// Age alone decides, across logs: to spare the newest of each log would keep
// those of deleted environments, which nothing newer follows, at the cost of the
// living. The newest archive of the folder stays, however large, so that a
// limit too small never removes what was just made; nor is what is held removed.
// Both may leave more than the limit.
func OverTotal(all []Archive, limit int64) []int {
	if limit <= 0 {
		return nil
	}
	order := oldestFirst(all)
	var total int64
	for _, one := range all {
		total += one.Size
	}
	var expired []int
	for at, i := range order {
		if total <= limit || at == len(order)-1 {
			break
		}
		if all[i].Held {
			continue
		}
		expired = append(expired, i)
		total -= all[i].Size
	}
	return expired
}

// oldestFirst are the indexes of archives in order; equal ones stay as they were.
func oldestFirst(archives []Archive) []int {
	order := make([]int, len(archives))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(archives[a].Time.Compare(archives[b].Time), cmp.Compare(archives[a].Part, archives[b].Part))
	})
	return order
}
