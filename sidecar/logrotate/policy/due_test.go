package policy

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/schedule"
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

func TestDue(t *testing.T) {
	now := at(t, "2026-11-27 00:00:00", time.UTC)
	yesterday, today := now.Add(-time.Hour), now
	daily := Policy{}
	for name, c := range map[string]struct {
		policy Policy
		file   File
		want   Reason
	}{
		"a day has begun":             {daily, File{1, yesterday}, DueBySchedule},
		"already today":               {daily, File{1, today}, ""},
		"a week off":                  {daily, File{1, now.AddDate(0, 0, -7)}, DueBySchedule},
		"empty":                       {daily, File{0, yesterday}, ""},
		"empty, and that is fine":     {Policy{IfEmpty: true}, File{0, yesterday}, DueBySchedule},
		"unknown":                     {daily, File{1, time.Time{}}, ""},
		"an hour ahead":               {daily, File{1, now.Add(time.Hour)}, ""},
		"a year ahead":                {daily, File{1, now.AddDate(1, 0, 0)}, ""},
		"of 1970":                     {daily, File{1, time.Unix(60, 0)}, DueBySchedule},
		"too small":                   {Policy{MinSize: 10}, File{9, yesterday}, ""},
		"just large enough":           {Policy{MinSize: 10}, File{10, yesterday}, DueBySchedule},
		"large enough, already today": {Policy{MinSize: 10}, File{10, today}, ""},
		"as large as it may be":       {Policy{Size: 10}, File{10, today}, ""},
		"larger":                      {Policy{Size: 10}, File{11, today}, DueBySize},
		"larger, less than least":     {Policy{Size: 10, MinSize: 100}, File{11, today}, DueBySize},
		"both":                        {Policy{Size: 10}, File{11, yesterday}, DueBySize},
		"only size, large":            {Policy{Schedule: schedule.Schedule{Every: schedule.BySize}, Size: 10}, File{11, today}, DueBySize},
		"only size, small":            {Policy{Schedule: schedule.Schedule{Every: schedule.BySize}, Size: 10}, File{10, yesterday}, ""},
	} {
		got, due := Due(c.policy, c.file, now)
		if got != c.want || due != (c.want != "") {
			t.Errorf("%s: %q, %v, want %q", name, got, due, c.want)
		}
	}
}

func TestBaseline(t *testing.T) {
	now := at(t, "2026-11-27 12:00:00", time.UTC)
	for name, c := range map[string]struct {
		policy Policy
		file   File
		want   time.Time
	}{
		"as it is":                {Policy{}, File{1, now.Add(-time.Hour)}, now.Add(-time.Hour)},
		"years ago":               {Policy{}, File{1, time.Unix(0, 0)}, time.Unix(0, 0)},
		"unknown":                 {Policy{}, File{1, time.Time{}}, now},
		"a little ahead":          {Policy{}, File{1, now.Add(25 * time.Hour)}, now.Add(25 * time.Hour)},
		"too far ahead":           {Policy{}, File{1, now.Add(25*time.Hour + 1)}, now},
		"empty":                   {Policy{}, File{0, now.AddDate(0, -1, 0)}, now},
		"empty, a little ahead":   {Policy{}, File{0, now.Add(time.Hour)}, now.Add(time.Hour)},
		"empty, and that is fine": {Policy{IfEmpty: true}, File{0, now.Add(-time.Hour)}, now.Add(-time.Hour)},
	} {
		if got := Baseline(c.policy, c.file, now); !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

var walked = []schedule.Schedule{
	{Every: schedule.Hourly}, {Every: schedule.Daily}, {Every: schedule.Weekly}, {Every: schedule.Weekly, Weekday: time.Monday}, {Every: schedule.Monthly},
	{Every: schedule.Monthly, Day: 31}, {Every: schedule.Yearly},
}

var walkedZones = []string{
	"UTC", "Europe/Brussels", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo",
	"America/St_Johns", "Pacific/Apia", "Pacific/Chatham", "America/Havana", "Africa/Casablanca", "Africa/Tunis", "Antarctica/Casey",
}

// TestRandomWalks lets a daemon look at a log at random moments, with the machine
// off now and then: a rotation comes at the first look in a new period, and once.
func TestRandomWalks(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 3))
		s := walked[random.IntN(len(walked))]
		in := zone(t, walkedZones[random.IntN(len(walkedZones))])
		p := Policy{Schedule: s, Location: in}
		now := time.Unix(1.2e9+random.Int64N(6e8), 0)
		file := File{Size: 1, Last: now}
		rotations := map[int64]int{}
		for range 3000 {
			before := now
			step := time.Duration(random.Int64N(int64(40 * time.Minute)))
			if random.IntN(100) == 0 {
				step = time.Duration(random.Int64N(int64(60 * 24 * time.Hour)))
			}
			now = now.Add(step)
			was, _ := s.Period(before, in)
			is, _ := s.Period(now, in)
			if !Baseline(p, file, now).Equal(file.Last) {
				t.Fatalf("a clock that is right is not believed: %v at %s", file, now)
			}
			reason, due := Due(p, file, now)
			if due != (!was.Equal(is)) || due && reason != DueBySchedule {
				t.Fatalf("seed %d, %s, %s: at %s, after %s: due is %v", seed, s, in, now.In(in), before.In(in), due)
			}
			if next := Next(p, file.Last, now); due == next.After(now) {
				t.Fatalf("seed %d: due is %v, and next %s at %s", seed, due, next, now)
			}
			if due {
				file.Last = now
				if rotations[is.Unix()]++; rotations[is.Unix()] > 1 {
					t.Fatalf("seed %d: twice in the period from %s", seed, is)
				}
			}
		}
	}
}

// TestClocksThatJump lets the clock be wrong by up to years in both directions:
// that may cost one rotation a jump, but makes no storm, and once the clock goes
// on, the next one is at the next period at the latest.
func TestClocksThatJump(t *testing.T) {
	for _, jump := range []time.Duration{-365 * 24 * time.Hour, -24 * time.Hour, -26 * time.Hour, -time.Hour, time.Hour, 24 * time.Hour, 365 * 24 * time.Hour, -56 * 365 * 24 * time.Hour} {
		for _, s := range walked {
			t.Run(fmt.Sprint(s, jump), func(t *testing.T) {
				p := Policy{Schedule: s}
				now := at(t, "2026-11-27 12:00:00", time.UTC)
				file := File{Size: 1, Last: now.Add(-time.Minute)}
				rotations := 0
				look := func() {
					file.Last = Baseline(p, file, now)
					if _, due := Due(p, file, now); due {
						rotations++
						file.Last = now
					}
				}
				now = now.Add(jump)
				for range 100 {
					now = now.Add(time.Second)
					look()
				}
				if rotations > 1 {
					t.Fatalf("%d rotations in 100 s after the jump", rotations)
				}
				// From here to the end of the second period from now (that of the jump
				// may be covered, at most 25 hours ahead) it has to be due.
				_, end := s.Period(now.Add(25*time.Hour), time.UTC)
				rotations = 0
				now = end
				look()
				if rotations != 1 {
					t.Fatalf("not due at %s: last %s", now, file.Last)
				}
				now = now.Add(-jump) // put right again
				for range 100 {
					now = now.Add(time.Second)
					look()
				}
				if rotations > 2 {
					t.Fatalf("%d rotations in 100 s after the clock was put right", rotations-1)
				}
			})
		}
	}
}

// TestAnotherZone moves a log that was rotated just now to other calendars: it is
// due at most once more.
func TestAnotherZone(t *testing.T) {
	now := at(t, "2026-11-27 23:30:00", time.UTC)
	file := File{Size: 1, Last: now.Add(-30 * time.Minute)}
	rotations := 0
	for _, name := range []string{"UTC", "Europe/Brussels", "Asia/Kolkata", "America/New_York", "UTC", "Europe/Brussels"} {
		if _, due := Due(Policy{Location: zone(t, name)}, file, now); due {
			rotations++
			file.Last = now
		}
		now = now.Add(time.Second)
	}
	if rotations != 0 { // it was after midnight in Brussels already, and before in New York
		t.Errorf("%d rotations", rotations)
	}
}

// TestTheFirstLineAfterSilence is why an empty log moves its baseline.
func TestTheFirstLineAfterSilence(t *testing.T) {
	p, file := Policy{}, File{Last: at(t, "2026-10-01 00:00:00", time.UTC)}
	now := at(t, "2026-11-27 09:59:00", time.UTC)
	file.Last = Baseline(p, file, now)
	file.Size, now = 80, now.Add(time.Minute)
	if _, due := Due(p, file, now); due {
		t.Error("the first line for weeks is rotated away at once")
	}
	if next := Next(p, file.Last, now); !next.Equal(at(t, "2026-11-28 00:00:00", time.UTC)) {
		t.Errorf("next is %s", next)
	}
}
