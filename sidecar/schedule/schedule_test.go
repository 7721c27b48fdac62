package schedule

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/setting"
)

// at reads "2026-03-29 02:30:00" in a zone, or any time of RFC 3339.
func at(t testing.TB, text string, in *time.Location) time.Time {
	t.Helper()
	if moment, err := time.Parse(time.RFC3339, text); err == nil {
		return moment.In(in)
	}
	moment, err := time.ParseInLocation("2006-01-02 15:04:05", text, in)
	if err != nil {
		t.Fatal(err)
	}
	return moment
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	found, f := setting.Zone(name)
	if f != nil {
		t.Fatal(f.What)
	}
	return found
}

func TestNext(t *testing.T) {
	weekly := func(day time.Weekday) Schedule {
		return Schedule{Every: Weekly, Weekday: day}
	}
	for _, c := range []struct {
		zone       string
		schedule   Schedule
		last, want string
	}{
		{"UTC", Schedule{Every: Daily}, "2026-11-27 06:24:12", "2026-11-28T00:00:00Z"},
		{"UTC", Schedule{Every: Daily}, "2026-11-27 00:00:00", "2026-11-28T00:00:00Z"}, // rotated as the day began
		{"UTC", Schedule{Every: Daily}, "2026-11-27 23:59:59", "2026-11-28T00:00:00Z"},
		{"UTC", Schedule{Every: Daily}, "2026-12-31 12:00:00", "2027-01-01T00:00:00Z"},
		{"UTC", Schedule{Every: Hourly}, "2026-11-27 06:00:00", "2026-11-27T07:00:00Z"},
		{"UTC", Schedule{Every: Hourly}, "2026-11-27 23:59:59", "2026-11-28T00:00:00Z"},
		{"UTC", weekly(time.Sunday), "2026-11-27 06:00:00", "2026-11-29T00:00:00Z"}, // a Friday
		{"UTC", weekly(time.Monday), "2026-11-27 06:00:00", "2026-11-30T00:00:00Z"},
		{"UTC", weekly(time.Friday), "2026-11-27 00:00:00", "2026-12-04T00:00:00Z"},
		{"UTC", weekly(time.Saturday), "2026-11-27 06:00:00", "2026-11-28T00:00:00Z"},
		{"UTC", weekly(time.Saturday), "2026-12-31 06:00:00", "2027-01-02T00:00:00Z"},
		{"UTC", Schedule{Every: Monthly}, "2028-02-29 06:00:00", "2028-03-01T00:00:00Z"},
		{"UTC", Schedule{Every: Monthly, Day: 31}, "2026-01-30 06:00:00", "2026-01-31T00:00:00Z"},
		{"UTC", Schedule{Every: Monthly, Day: 31}, "2026-01-31 06:00:00", "2026-02-28T00:00:00Z"},
		{"UTC", Schedule{Every: Monthly, Day: 31}, "2026-02-28 06:00:00", "2026-03-31T00:00:00Z"},
		{"UTC", Schedule{Every: Monthly, Day: 30}, "2028-02-29 06:00:00", "2028-03-30T00:00:00Z"},
		{"UTC", Schedule{Every: Monthly, Day: 15}, "2026-12-20 06:00:00", "2027-01-15T00:00:00Z"},
		{"UTC", Schedule{Every: Yearly}, "2026-11-27 06:00:00", "2027-01-01T00:00:00Z"},

		// 23 and 25 hours.
		{"Europe/Brussels", Schedule{Every: Daily}, "2026-03-28 23:30:00", "2026-03-28T23:00:00Z"},
		{"Europe/Brussels", Schedule{Every: Daily}, "2026-03-29 00:00:00", "2026-03-29T22:00:00Z"},
		{"Europe/Brussels", Schedule{Every: Daily}, "2026-10-25 00:00:00", "2026-10-25T23:00:00Z"},
		{"Europe/Brussels", Schedule{Every: Hourly}, "2026-03-29 01:59:59", "2026-03-29T01:00:00Z"},  // there is no 02:00
		{"Europe/Brussels", Schedule{Every: Hourly}, "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"}, // 02:30, the first
		{"Europe/Brussels", Schedule{Every: Hourly}, "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"}, // and the second
		{"Europe/Brussels", Schedule{Every: Monthly}, "2026-10-02 00:00:00", "2026-10-31T23:00:00Z"},
		{"America/New_York", Schedule{Every: Daily}, "2026-03-08 00:00:00", "2026-03-09T04:00:00Z"},
		{"America/New_York", Schedule{Every: Daily}, "2026-11-01 00:00:00", "2026-11-02T05:00:00Z"},
		{"America/New_York", weekly(time.Sunday), "2026-11-01 00:00:00", "2026-11-08T05:00:00Z"},
		// Hours that begin at half past.
		{"Asia/Kolkata", Schedule{Every: Hourly}, "2026-11-27T06:24:00Z", "2026-11-27T06:30:00Z"},
		{"Asia/Kolkata", Schedule{Every: Daily}, "2026-11-27T06:24:00Z", "2026-11-27T18:30:00Z"},
		{"Asia/Kathmandu", Schedule{Every: Hourly}, "2026-11-27T06:24:00Z", "2026-11-27T07:15:00Z"},
		// Half an hour back, at 02:00 summer time: the hour begins anew.
		{"Australia/Lord_Howe", Schedule{Every: Hourly}, "2026-04-04T14:30:00Z", "2026-04-04T15:00:00Z"},
		{"Australia/Lord_Howe", Schedule{Every: Hourly}, "2026-04-04T15:00:00Z", "2026-04-04T15:30:00Z"},
		// No midnight: the day begins at 01:00.
		{"America/Sao_Paulo", Schedule{Every: Daily}, "2018-11-03 12:00:00", "2018-11-04T03:00:00Z"},
		{"America/Sao_Paulo", Schedule{Every: Daily}, "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"},
		// Midnight and back to 23:00 of the day before: the day ends once.
		{"America/Sao_Paulo", Schedule{Every: Daily}, "2018-02-17T12:00:00Z", "2018-02-18T03:00:00Z"},
		// One minute past midnight, and back over it.
		{"America/St_Johns", Schedule{Every: Daily}, "2010-11-06 12:00:00", "2010-11-07T02:30:00Z"},
		{"America/St_Johns", Schedule{Every: Daily}, "2010-11-07T02:30:30Z", "2010-11-08T03:30:00Z"},
		// Back from 01:00 to midnight, which is there twice.
		{"Africa/Tunis", Schedule{Every: Daily}, "1990-09-29 12:00:00", "1990-09-29T22:00:00Z"},
		{"Africa/Tunis", Schedule{Every: Daily}, "1990-09-29T22:00:00Z", "1990-09-30T23:00:00Z"},
		{"America/Havana", Schedule{Every: Daily}, "2026-10-31 12:00:00", "2026-11-01T04:00:00Z"},
		{"America/Havana", Schedule{Every: Daily}, "2026-11-01T05:30:00Z", "2026-11-02T05:00:00Z"},
		// A day that was left out.
		{"Pacific/Apia", Schedule{Every: Daily}, "2011-12-29 12:00:00", "2011-12-30T10:00:00Z"},
		{"Pacific/Apia", Schedule{Every: Daily}, "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"},
		{"Pacific/Apia", weekly(time.Friday), "2011-12-29 12:00:00", "2011-12-30T10:00:00Z"}, // the Friday is not there
	} {
		in := zone(t, c.zone)
		last := at(t, c.last, in)
		got := c.schedule.Next(last, last, in)
		if want := at(t, c.want, in); !got.Equal(want) {
			t.Errorf("%s, %s, last %s: next %s, want %s", c.zone, c.schedule, last, got, want)
		}
	}
	if got := (Schedule{Every: BySize}).Next(time.Now(), time.Now(), time.UTC); !got.IsZero() {
		t.Errorf("by size: %s", got)
	}
}

var walked = []Schedule{
	{Every: Hourly}, {Every: Daily}, {Every: Weekly}, {Every: Weekly, Weekday: time.Monday}, {Every: Monthly},
	{Every: Monthly, Day: 31}, {Every: Yearly},
}

var walkedZones = []string{
	"UTC", "Europe/Brussels", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo",
	"America/St_Johns", "Pacific/Apia", "Pacific/Chatham", "America/Havana", "Africa/Casablanca", "Africa/Tunis", "Antarctica/Casey",
}

// TestPeriodsFollowEachOther takes moments at random, and those around every change
// of clocks, and looks whether the period of each holds it and is the one of all
// moments in it.
func TestPeriodsFollowEachOther(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, name := range walkedZones {
		in := zone(t, name)
		var moments []time.Time
		for change := time.Date(1900, 1, 1, 0, 0, 0, 0, in); change.Year() < 2030; {
			_, end := change.ZoneBounds()
			if end.IsZero() {
				break
			}
			change = end
			for _, off := range []time.Duration{-25 * time.Hour, -time.Hour, -time.Minute, -1, 0, 1, time.Minute, time.Hour, 25 * time.Hour} {
				moments = append(moments, change.Add(off))
			}
		}
		for range 300 {
			moments = append(moments, time.Unix(random.Int64N(3e9)-5e8, random.Int64N(1e9)))
		}
		for _, s := range walked {
			for _, moment := range moments {
				start, end := s.Period(moment, in)
				if start.After(moment) || !end.After(moment) {
					t.Fatalf("%s, %s: %s is not in %s to %s", name, s, moment.In(in), start, end)
				}
				within := start.Add(time.Duration(random.Int64N(int64(end.Sub(start)))))
				for _, other := range []time.Time{start, end.Add(-1), within} {
					if a, b := s.Period(other, in); !a.Equal(start) || !b.Equal(end) {
						t.Fatalf("%s, %s: %s is in %s to %s, and %s in %s to %s", name, s, moment.In(in), start, end, other, a, b)
					}
				}
				if after, _ := s.Period(end, in); !after.Equal(end) {
					t.Fatalf("%s, %s: %s follows %s to %s", name, s, after, start, end)
				}
			}
		}
	}
}

// What is read is what is written, in the words of settings.
func TestParse(t *testing.T) {
	for text, want := range map[string]Schedule{
		"daily": {Every: Daily}, "hourly": {Every: Hourly}, "weekly": {Every: Weekly}, "weekly 6": {Every: Weekly, Weekday: time.Saturday},
		"monthly": {Every: Monthly}, "monthly 31": {Every: Monthly, Day: 31}, "yearly": {Every: Yearly}, "size": {Every: BySize},
	} {
		if got, f := Parse(Words("  " + text + " ")); f != nil || got != want || got.String() != text {
			t.Errorf("%s: %s, %v", text, got, f)
		}
	}
	for _, text := range []string{"", "dayly", "Daily", "daily 1", "weekly 7", "weekly 8", "weekly x", "monthly 32", "monthly -1", "hourly 0"} {
		if got, f := Parse(Words(text)); f == nil || f.What == "" || f.Fix == "" {
			t.Errorf("%q: %s, %v", text, got, f)
		}
	}
}
