// Package schedule is the calendar of what sidecars do once an hour, day, week,
// month or year: when the period of a moment begins and ends, whatever clocks do.
package schedule

import (
	"fmt"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/setting"
)

// Every is the kind of a period.
type Every int

// The kinds there are. BySize has no periods.
const (
	Daily Every = iota
	Hourly
	Weekly
	Monthly
	Yearly
	BySize
)

var everyNames = map[Every]string{Daily: "daily", Hourly: "hourly", Weekly: "weekly", Monthly: "monthly", Yearly: "yearly", BySize: "size"}

// String is the word that settings and configurations have for it.
func (e Every) String() string { return everyNames[e] }

// Schedule is how often something is done.
type Schedule struct {
	Every Every
	// Weekday is the day that a week begins with.
	Weekday time.Weekday
	// Day is the day of the month that a Monthly one begins with, the last day
	// in months that have no such; 0 is the first.
	Day int
}

// String is as logrotate has it: "daily", "weekly 1".
func (s Schedule) String() string {
	switch {
	case s.Every == Weekly && s.Weekday != time.Sunday:
		return fmt.Sprintf("weekly %d", s.Weekday)
	case s.Every == Monthly && s.Day != 0:
		return fmt.Sprintf("monthly %d", s.Day)
	}
	return s.Every.String()
}

// Parse reads a word and what follows it: the day a week or a month
// begins with.
func Parse(word, argument string) (Schedule, *setting.Fault) {
	var schedule Schedule
	known := false
	for every, name := range everyNames {
		if name == word {
			schedule.Every, known = every, true
		}
	}
	if !known {
		return Schedule{}, setting.Wrong("write hourly, daily, weekly, monthly, yearly or size", "%s is not a schedule", setting.Shown(word))
	}
	if argument == "" {
		return schedule, nil
	}
	value, is := setting.Number(argument)
	switch {
	case schedule.Every == Weekly && is && value == 7:
		return Schedule{}, setting.Wrong("write the day that a week is to begin with: 0, or nothing, for Sunday, 1 for Monday, up to 6 for Saturday", "a week that begins on any day (7) has no beginning to keep to")
	case schedule.Every == Weekly && is && value < 7:
		schedule.Weekday = time.Weekday(value)
	case schedule.Every == Weekly:
		return Schedule{}, setting.Wrong("write 0, or nothing, for Sunday, 1 for Monday, up to 6 for Saturday", "%s is not a day of the week%s", setting.Shown(argument), setting.Remark(argument))
	case schedule.Every == Monthly && is && value <= 31:
		schedule.Day = int(value)
	case schedule.Every == Monthly:
		return Schedule{}, setting.Wrong("write 1 to 31, or nothing for the first", "%s is not a day of the month%s", setting.Shown(argument), setting.Remark(argument))
	default:
		return Schedule{}, setting.Wrong("write the word alone", "%s takes nothing behind it, and there is %s", word, setting.Shown(argument))
	}
	return schedule, nil
}

// Period is the one that holds the moment t: from start to just before end.
// Periods follow each other without a gap.
func (s Schedule) Period(t time.Time, zone *time.Location) (start, end time.Time) {
	t = t.In(zone)
	if s.Every == Hourly {
		return hour(t)
	}
	first := s.opens(date(t))
	start = midnight(first, zone)
	next := s.following(first)
	end = midnight(next, zone)
	for !end.After(t) { // a clock was turned back over midnight, or a zone left out a day
		next = s.following(next)
		start, end = end, midnight(next, zone)
	}
	return start, end
}

// date is the day of t as its clock on the wall has it, written in UTC, in which
// all days have 24 hours and can be calculated with.
func date(t time.Time) time.Time {
	year, month, day := t.Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// opens is the first day of the period that a day belongs to.
func (s Schedule) opens(day time.Time) time.Time {
	year, month, _ := day.Date()
	switch s.Every {
	case Weekly:
		return day.AddDate(0, 0, -int((day.Weekday()-s.Weekday+7)%7))
	case Monthly:
		if first := s.inMonth(year, month); !first.After(day) {
			return first
		}
		return s.inMonth(year, month-1)
	case Yearly:
		return time.Date(year, time.January, 1, 0, 0, 0, 0, time.UTC)
	}
	return day
}

// following is the first day of the period after the one that begins with first.
func (s Schedule) following(first time.Time) time.Time {
	switch s.Every {
	case Weekly:
		return first.AddDate(0, 0, 7)
	case Monthly:
		return s.inMonth(first.Year(), first.Month()+1)
	case Yearly:
		return first.AddDate(1, 0, 0)
	}
	return first.AddDate(0, 0, 1)
}

// inMonth is the day of a month that a period begins with.
func (s Schedule) inMonth(year int, month time.Month) time.Time {
	last := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
	return time.Date(year, month, max(1, min(s.Day, last)), 0, 0, 0, 0, time.UTC)
}

// midnight is the first moment of a day in a zone. That is not always the 00:00 that
// Go finds: some zones turn their clocks at midnight, so that it does not exist, and
// Go says a moment close to it, or exists twice; and one has left out a whole day.
func midnight(day time.Time, zone *time.Location) time.Time {
	year, month, number := day.Date()
	t := time.Date(year, month, number, 0, 0, 0, 0, zone)
	change, end := t.ZoneBounds()
	if date(t).Before(day) {
		return end
	}
	if !change.IsZero() {
		_, offset := change.Add(-1).Zone()
		if earlier := day.Add(-time.Duration(offset) * time.Second); earlier.Before(change) {
			return earlier.In(zone)
		}
	}
	return t
}

// hour is the full hour that holds t by the clock on its wall. The hour that
// comes twice in a day of 25 hours is two; where clocks are turned by less than an
// hour, a new one begins there.
func hour(t time.Time) (start, end time.Time) {
	since := time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second + time.Duration(t.Nanosecond())
	start = t.Add(-since)
	end = start.Add(time.Hour)
	from, until := t.ZoneBounds()
	if !from.IsZero() && start.Before(from) {
		start = from
	}
	if !until.IsZero() && until.Before(end) {
		end = until
	}
	return start, end
}

// Words splits a schedule as settings have it: "weekly 1".
func Words(text string) (word, rest string) {
	word, rest, _ = strings.Cut(strings.TrimSpace(text), " ")
	return word, strings.TrimSpace(rest)
}

// farAhead is how much later than now a last time may be and count. Less than that
// is a clock put right, or moved to another time zone.
const farAhead = 25 * time.Hour

// Next is when what was last done at last is due: at the beginning of the period
// after that. It is not after now when it is overdue, and zero where there are no
// periods.
func (s Schedule) Next(last, now time.Time, zone *time.Location) time.Time {
	if s.Every == BySize {
		return time.Time{}
	}
	_, end := s.Period(Credible(last, now), zone)
	return end
}

// Credible is what counts as the last time: last, but now where that is unknown
// (zero) or more than 25 hours ahead, as after a boot in 1970 or a year too late.
func Credible(last, now time.Time) time.Time {
	if last.IsZero() || last.After(now.Add(farAhead)) {
		return now
	}
	return last
}
