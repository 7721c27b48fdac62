package dumps

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/inmanta/inmanta-docker/sidecar/schedule"
)

// from looks settings up that are written NAME=value, separated by ;.
func from(text string) func(string) string {
	return func(name string) string {
		for _, one := range strings.Split(text, ";") {
			if value, is := strings.CutPrefix(Prefix+one, name+"="); is {
				return value
			}
		}
		return ""
	}
}

func TestSettings(t *testing.T) {
	usual := Policy{Schedule: schedule.Schedule{Every: schedule.Daily}, Keep: 10, Zone: time.UTC}
	brussels, err := time.LoadLocation("Europe/Brussels")
	if err != nil {
		t.Fatal(err)
	}
	for text, change := range map[string]func(*Policy){
		"":                         func(*Policy) {},
		"KEEP= ;MAX_AGE=":          func(*Policy) {},
		"SCHEDULE=hourly;KEEP=-1":  func(p *Policy) { p.Schedule.Every, p.Keep = schedule.Hourly, -1 },
		"SCHEDULE=weekly 1":        func(p *Policy) { p.Schedule.Every, p.Schedule.Weekday = schedule.Weekly, time.Monday },
		"MAX_AGE=30;MAX_TOTAL=10G": func(p *Policy) { p.MaxAge, p.MaxTotal = 30, 10<<30 },
		"TIMEZONE=Europe/Brussels": func(p *Policy) { p.Zone = brussels },
	} {
		want := usual
		change(&want)
		if got, wrong := FromSettings(from(text)); len(wrong) > 0 || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", text, got, wrong, want)
		}
	}
	for text, words := range map[string]string{
		"SCHEDULE=dayly":          `SCHEDULE: "dayly" is not a schedule`,
		"SCHEDULE=size":           "SCHEDULE: a dump is due by the clock",
		"KEEP=0":                  "KEEP: with no dump kept",
		"KEEP=ten":                `KEEP: "ten" is not a number of dumps`,
		"MAX_AGE=1w":              "MAX_AGE: ",
		"MAX_TOTAL=1.5G":          "MAX_TOTAL: ",
		"TIMEZONE=Local":          "TIMEZONE: ",
		"KEEP=ten;SCHEDULE=dayly": "SCHEDULE: ",
	} {
		got, wrong := FromSettings(from(text))
		if len(wrong) != 1+strings.Count(text, ";") || !reflect.DeepEqual(got, Policy{}) {
			t.Errorf("%s: %+v, %v", text, got, wrong)
			continue
		}
		if said := wrong[0].Where + ": " + wrong[0].What; !strings.HasPrefix(said, Prefix+words) || wrong[0].Fix == "" {
			t.Errorf("%s: %s; %s", text, said, wrong[0].Fix)
		}
	}
}

func FuzzSettings(f *testing.F) {
	for _, name := range []string{"SCHEDULE", "KEEP", "MAX_AGE", "MAX_TOTAL", "TIMEZONE"} {
		for _, value := range []string{"", "weekly 1", "10M", "-1", "size", "Europe/Brussels", "0"} {
			f.Add(name, value)
		}
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		p, wrong := FromSettings(func(asked string) string {
			if asked == Prefix+name {
				return value
			}
			return ""
		})
		if len(wrong) > 1 || len(wrong) == 1 && (wrong[0].What == "" || wrong[0].Fix == "" || strings.ContainsFunc(wrong[0].What, unicode.IsControl)) {
			t.Fatalf("%v", wrong)
		}
		if len(wrong) == 0 && (p.Keep == 0 || p.Keep < -1 || p.MaxAge < 0 || p.MaxTotal < 0 || p.Zone == nil || !p.Due(now, now).After(now)) {
			t.Errorf("%+v", p)
		}
	})
}

func TestDue(t *testing.T) {
	daily := Policy{Schedule: schedule.Schedule{Every: schedule.Daily}, Zone: time.UTC}
	midnight := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct{ last, want time.Time }{
		"there is none":            {time.Time{}, now},
		"today's":                  {now.Add(-time.Hour), midnight.AddDate(0, 0, 1)},
		"yesterday's":              {now.AddDate(0, 0, -1), midnight},
		"missed for a week":        {now.AddDate(0, 0, -7), midnight.AddDate(0, 0, -6)},
		"of a clock put right":     {now.Add(time.Hour), midnight.AddDate(0, 0, 1)},
		"begun just before it was": {midnight.Add(-time.Nanosecond), midnight},
	} {
		if got := daily.Due(c.last, now); !got.Equal(c.want) {
			t.Errorf("%s: due at %s, want %s", name, got, c.want)
		}
	}
}

func TestNewest(t *testing.T) {
	ahead := func(of time.Duration) Dump { return Dump{Begun: now.Add(of)} }
	for name, c := range map[string]struct {
		all  []Dump
		want time.Time
	}{
		"none":                  {nil, time.Time{}},
		"the newest":            {[]Dump{ago(3, 1), ago(1, 1), ago(2, 1)}, ago(1, 1).Begun},
		"a little ahead":        {[]Dump{ago(1, 1), ahead(25 * time.Hour)}, now.Add(25 * time.Hour)},
		"of a clock far ahead":  {[]Dump{ago(1, 1), ahead(26 * time.Hour)}, ago(1, 1).Begun},
		"only of one years off": {[]Dump{ahead(9000 * time.Hour)}, time.Time{}},
	} {
		if got := Newest(c.all, now); !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestPause(t *testing.T) {
	before := time.Duration(0)
	for failures := range 100 {
		pause := Pause(failures)
		if pause < before || pause < soonest || pause > latest {
			t.Errorf("after %d failures %s, and %s before", failures, pause, before)
		}
		before = pause
	}
	if before != latest {
		t.Errorf("after many failures %s", before)
	}
}
