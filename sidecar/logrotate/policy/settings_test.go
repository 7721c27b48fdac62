package policy

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/schedule"
)

func usual() Policies {
	return Policies{List: []Policy{{
		Patterns: []string{"*.log", "*.out", "*.err"}, Schedule: schedule.Schedule{Every: schedule.Daily}, Keep: 10,
		Compression: Compression{Gzip, 6}, Location: time.UTC,
	}}}
}

func brussels(t *testing.T) *time.Location { return zone(t, "Europe/Brussels") }

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	found, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestSettings(t *testing.T) {
	one := func(change func(*Policy)) func(*Policies) { return func(p *Policies) { change(&p.List[0]) } }
	for _, c := range []struct {
		settings string // NAME=value, separated by ;
		want     func(*Policies)
	}{
		{"", func(*Policies) {}},
		{"KEEP= ;SIZE=;TIMEZONE= ", func(*Policies) {}},
		{"SCHEDULE=hourly", one(func(p *Policy) { p.Schedule.Every = schedule.Hourly })},
		{"SCHEDULE=weekly", one(func(p *Policy) { p.Schedule.Every = schedule.Weekly })},
		{"SCHEDULE=weekly 1", one(func(p *Policy) { p.Schedule = schedule.Schedule{Every: schedule.Weekly, Weekday: time.Monday} })},
		{"SCHEDULE=monthly", one(func(p *Policy) { p.Schedule.Every = schedule.Monthly })},
		{"SCHEDULE=yearly", one(func(p *Policy) { p.Schedule.Every = schedule.Yearly })},
		{"SCHEDULE=size;SIZE=10M", one(func(p *Policy) { p.Schedule.Every, p.Size = schedule.BySize, 10<<20 })},
		{"SIZE=100k", one(func(p *Policy) { p.Size = 100 << 10 })},
		{"SIZE=123", one(func(p *Policy) { p.Size = 123 })},
		{"KEEP=0", one(func(p *Policy) { p.Keep = 0 })},
		{"KEEP=-1", one(func(p *Policy) { p.Keep = -1 })},
		{"MAX_AGE=90", one(func(p *Policy) { p.MaxAge = 90 })},
		{"MAX_TOTAL=2G", func(p *Policies) { p.MaxTotal = 2 << 30 }},
		{"COMPRESSION=zstd", one(func(p *Policy) { p.Compression = Compression{Zstd, 3} })},
		{"COMPRESSION=gzip:9", one(func(p *Policy) { p.Compression = Compression{Gzip, 9} })},
		{"COMPRESSION=none", one(func(p *Policy) { p.Compression = Compression{Format: None} })},
		{"PATTERNS=server.log  [!a]*.log", one(func(p *Policy) { p.Patterns = []string{"server.log", "[^a]*.log"} })},
		{"TIMEZONE=Europe/Brussels", one(func(p *Policy) { p.Location = brussels(t) })},
		{"COPYTRUNCATE=yes", one(func(p *Policy) { p.CopyTruncate = true })},
	} {
		want := usual()
		c.want(&want)
		got, problems := FromSettings(from(c.settings))
		if len(problems) > 0 || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", c.settings, got, problems, want)
		}
	}
}

func from(settings string) func(string) string {
	return func(name string) string {
		for one := range strings.SplitSeq(settings, ";") {
			if value, is := strings.CutPrefix(one, strings.TrimPrefix(name, prefix)+"="); is && strings.HasPrefix(name, prefix) {
				return value
			}
		}
		return ""
	}
}

func TestWrongSettings(t *testing.T) {
	for settings, what := range map[string]string{
		"SCHEDULE=dayly":            `"dayly" is not a schedule`,
		"SCHEDULE=daily 1":          `daily takes nothing`,
		"SIZE=10MB":                 `"10MB" is not a size`,
		"SIZE=-1":                   `"-1" is not a size`,
		"SIZE=0x10":                 `"0x10" is not a size`,
		"SIZE=k":                    `"k" is not a size`,
		"SIZE=9223372036854775808":  "is not a size",
		"SIZE=8589934592G":          "is not a size",
		"KEEP=ten":                  `"ten" is not a number of rotations`,
		"MAX_AGE=30d":               `"30d" is not a number of days`,
		"MAX_TOTAL=all":             `"all" is not a size`,
		"COMPRESSION=xz":            `"xz" is no compression`,
		"COMPRESSION=gzip:10":       "gzip has no level 10",
		"COMPRESSION=gzip:":         `"" is not a level`,
		"COMPRESSION=zstd:0":        `"0" is not a level`,
		"COMPRESSION=none:1":        "none has no level",
		"PATTERNS=*.log sub/*.log":  `"sub/*.log" names a folder`,
		"PATTERNS=[":                `"[" is no pattern`,
		"TIMEZONE=Europe/Brussel":   `there is no time zone "Europe/Brussel"`,
		"TIMEZONE=../../etc/passwd": "there is no time zone",
		"TIMEZONE=Local":            "there is no time zone",
		"COPYTRUNCATE=maybe":        `"maybe" is neither`,
	} {
		got, problems := FromSettings(from(settings))
		name, _, _ := strings.Cut(settings, "=")
		if len(got.List) > 0 || len(problems) != 1 || problems[0].Where != prefix+name || !strings.Contains(problems[0].What, what) || problems[0].Fix == "" {
			t.Errorf("%s: %+v", settings, problems)
		}
	}
	// The size is named although it is the schedule that asks for it.
	if _, problems := FromSettings(from("SCHEDULE=size")); len(problems) != 1 || problems[0].Where != "INMANTA_LOGROTATE_SIZE" {
		t.Errorf("%+v", problems)
	}
	if _, problems := FromSettings(from("SCHEDULE=x;SIZE=x;KEEP=x;MAX_AGE=x;MAX_TOTAL=x;COMPRESSION=x;PATTERNS=/;TIMEZONE=x;COPYTRUNCATE=x")); len(problems) != 9 {
		t.Errorf("not all at once: %v", problems)
	}
	if zone, problems := Location(from("TIMEZONE=Mars/Olympus")); zone != time.UTC || len(problems) != 1 {
		t.Errorf("%v, %v", zone, problems)
	}
}
