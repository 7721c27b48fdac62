package policy

import (
	"path"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/inmanta/inmanta-docker/sidecar/schedule"
)

func FuzzParseFile(f *testing.F) {
	f.Add(upstream)
	for _, c := range sections {
		if len(c.text) < 1000 {
			f.Add(c.text)
		}
	}
	for _, c := range uses {
		f.Add("/logs/*.log {\ndaily\nrotate 3\n" + c.lines + "\n}\n")
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, problems := ParseFile("conf", text, "/logs", time.UTC)
		again, same := ParseFile("conf", text, "/logs", time.UTC)
		if !reflect.DeepEqual(got, again) || !reflect.DeepEqual(problems, same) {
			t.Fatalf("twice the same is not: %v, %v", problems, same)
		}
		if (len(problems) == 0) == (len(got.List) == 0) || len(problems) > mostProblems {
			t.Fatalf("%d policies and %d problems", len(got.List), len(problems))
		}
		lines := strings.Count(text, "\n") + 1
		for _, p := range problems {
			number, is := strings.CutPrefix(p.Where, "conf:")
			line, err := strconv.Atoi(number)
			said := p.What + p.Fix
			if !is || err != nil || line < 1 || line > lines || p.What == "" || p.Fix == "" {
				t.Errorf("of %d lines: %+v", lines, p)
			}
			if len(said) > 800 || !utf8.ValidString(said) || strings.ContainsFunc(said, unicode.IsControl) {
				t.Errorf("%q", said)
			}
		}
		for _, p := range got.List {
			sane(t, p)
		}
	})
}

// sane looks at what holds of every policy that was not refused.
func sane(t *testing.T, p Policy) {
	t.Helper()
	if len(p.Patterns) == 0 || p.Size < 0 || p.MinSize < 0 || p.Keep < -1 || p.MaxAge < 0 || p.Location == nil || p.Create&^0o777 != 0 {
		t.Errorf("%+v", p)
	}
	if p.Schedule.Every == schedule.BySize && p.Size == 0 {
		t.Errorf("nothing makes it due: %+v", p)
	}
	if _, f := compression(p.Compression.Format, p.Compression.Level); f != nil {
		t.Errorf("%+v: %s", p, f.What)
	}
	now := time.Date(2026, 11, 27, 6, 24, 12, 0, time.UTC)
	if next := Next(p, now, now); p.Schedule.Every != schedule.BySize && (!next.After(now) || next.After(now.AddDate(1, 0, 0))) {
		t.Errorf("%+v: next %s", p, next)
	}
	if _, is := (Policies{List: []Policy{p}}).For(".hidden"); is {
		t.Errorf("%q matches a hidden file", p.Patterns)
	}
}

func FuzzSettings(f *testing.F) {
	for _, name := range []string{"SCHEDULE", "SIZE", "KEEP", "MAX_AGE", "MAX_TOTAL", "COMPRESSION", "PATTERNS", "TIMEZONE", "COPYTRUNCATE"} {
		for _, value := range []string{"", "weekly 1", "10M", "9223372036854775807k", "-1", "gzip:6", "*.log [!a]x", "Europe/Brussels", "yes"} {
			f.Add(name, value)
		}
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		got, problems := FromSettings(func(asked string) string {
			if asked == prefix+name {
				return value
			}
			return ""
		})
		if (len(problems) == 0) == (len(got.List) == 0) || len(problems) > 1 {
			t.Fatalf("%d policies and %d problems", len(got.List), len(problems))
		}
		for _, p := range problems {
			if p.Where != prefix+name && name != "SCHEDULE" || p.What == "" || p.Fix == "" || len(p.What) > 400 || !utf8.ValidString(p.What) || strings.ContainsFunc(p.What, unicode.IsControl) {
				t.Errorf("%+v", p)
			}
		}
		for _, p := range got.List {
			sane(t, p)
		}
	})
}

// FuzzMatch holds the short way against the long one.
func FuzzMatch(f *testing.F) {
	for _, pattern := range []string{"*.log", "*", "**", "*a*", "*.l[o]g", `*\.log`, "*.l?g", "server.log", "", "["} {
		f.Add(pattern, "server.log")
		f.Add(pattern, ".log")
		f.Add(pattern, "")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if strings.Contains(name, "/") {
			return // no name of a file has one
		}
		is, err := path.Match(pattern, name)
		if want := is && err == nil; match(pattern, name) != want {
			t.Errorf("match(%q, %q) is %t", pattern, name, !want)
		}
	})
}
