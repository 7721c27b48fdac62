package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares what was shown with testdata/NAME.golden; escapes are written
// out, so that the files can be read and diffed.
func golden(t *testing.T, name, got string) {
	t.Helper()
	got = strings.ReplaceAll(got, "\x1b", "␛")
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update, then look at the diff)\n got:\n%s\nwant:\n%s", path, got, want)
	}
	if strings.Contains(got, " \n") {
		t.Errorf("%s: a line ends in spaces", name)
	}
}

const utf8 = "en_US.UTF-8"

// looks are all the ways the same story is told.
var looks = []struct {
	name    string
	env     Environment
	columns int
}{
	{"plain", Environment{Locale: utf8}, 80},
	{"plain-ascii", Environment{Locale: "C"}, 80},
	{"json", Environment{Asked: Asked{JSON: true}, OutTerminal: true, ErrTerminal: true, Term: "xterm", Locale: utf8}, 80},
	{"tty", Environment{OutTerminal: true, ErrTerminal: true, Term: "xterm", Locale: utf8}, 80},
	{"tty-narrow-nocolor", Environment{OutTerminal: true, ErrTerminal: true, Term: "xterm", Locale: utf8, NoColor: "1"}, 46},
	{"tty-ascii", Environment{OutTerminal: true, ErrTerminal: true, Term: "xterm", Locale: "POSIX", NoColor: "1"}, 80},
	{"ci", Environment{OutTerminal: true, ErrTerminal: true, Term: "xterm", Locale: utf8, CI: "true"}, 80},
}

// story shows everything there is to show, with hostile text in it.
func story(u *UI) {
	u.Note("", "Deployment /srv/inmanta")
	report, stop := u.Progress()
	report(progress.Event{ID: "volume inmanta-db-data", Text: "Exists", Status: progress.Done})
	report(progress.Event{ID: "container inmanta-db", Text: "Starting", Status: progress.Working})
	for i := range int64(201) {
		report(progress.Event{ID: "image ghcr.io/inmanta/orchestrator:latest", Text: "Pulling", Status: progress.Working, Detail: "layer", Current: i, Total: 2000})
	}
	time.Sleep(1500 * time.Millisecond)
	report(progress.Event{ID: "container inmanta-db", Text: "Healthy", Status: progress.Done})
	report(progress.Event{ID: "container inmanta-db", Text: "Healthy", Status: progress.Done})
	u.Note(progress.Warning, "The registry is slow; set `INMANTA_ORCHESTRATOR_IMAGE` to an image that is here.")
	report(progress.Event{ID: "image ghcr.io/inmanta/orchestrator:latest", Text: "Failed", Status: progress.Failed, Detail: "no\x1b[2J space\nleft"})
	report(progress.Event{ID: "container inmanta-orchestrator", Text: "Waiting", Status: "unheard-of", Detail: "数据库"})
	time.Sleep(75 * time.Second)
	stop()
	report(progress.Event{ID: "late", Text: "Ignored", Status: progress.Done})

	u.Report([]Section{
		{Status: progress.Failed, Title: "The orchestrator does not serve", Text: "It exited\u202e while its database was healthy; nothing else is wrong with it.",
			Facts: []Fact{{"State", "exited (5)"}, {"Waiting for it", "inmanta-ssh\ninmanta-logrotate"}, {"Health", ""}}},
		{Title: "Last log lines", Log: "INFO  starting\r\n\x1b]0;owned\x07ERROR \x1b[31mpassword authentication failed\x1b[0m for user \"inmanta\" on host db\n\n\tat line 3\n"},
		{Title: "What to do next", Commands: []string{"inmanta-docker logs server"}},
	})
	u.Problems(problem.List{
		{ID: "port-taken", Where: ".env:3", What: "port 8888 on 127.0.0.1 is taken by nginx", Fix: "stop it, or set `INMANTA_ORCHESTRATOR_PORT = 8889` there"},
		{ID: "no-engine", What: "No engine answers:\ndial \x1b[5munix"},
	})
	if u.JSON() {
		return
	}
	u.Heading("Containers")
	u.Table([]string{"SERVICE", "IMAGE", "STATE", "WHERE"}, []Row{
		{progress.Done, []string{"db", "postgres:16", "healthy since 3 hours", ""}},
		{progress.Failed, []string{"server", "ghcr.io/inmanta/orchestrator:latest", "exited (5)", "http://127.0.0.1:8888"}},
		{"", []string{"数据库\x1b[1m"}},
	})
	u.KeyValues([]Fact{{"Product", "Inmanta"}, {"URL", "http://127.0.0.1:8888/console/with/a/path/that/is/never/cut/short"}})
	u.Line("a line of its own")
}

func TestStory(t *testing.T) {
	for _, l := range looks {
		t.Run(l.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var screen bytes.Buffer // both streams, as a terminal shows them
				out := io.Writer(&screen)
				look := Choose(l.env)
				tape := screen.String
				if look.Mode == TTY {
					vt := newScreen(t, l.columns, 60)
					out, tape = vt, vt.text
				}
				u := New(out, out, look, func() (int, int) { return l.columns, 60 })
				story(u)
				if err := u.Err(); err != nil {
					t.Error(err)
				}
				golden(t, l.name, tape())
			})
		})
	}
}

// The tables of the screens above lose their colours in the emulator.
func TestColours(t *testing.T) {
	var out, err bytes.Buffer
	u := New(&out, &err, Choose(Environment{OutTerminal: true, ErrTerminal: true, Term: "xterm", Locale: utf8, CI: "1"}), nil)
	u.Table([]string{"A", "B"}, []Row{{progress.Done, []string{"a", "b"}}})
	u.Problems(problem.List{{What: "w", Fix: "f"}})
	if !strings.Contains(out.String(), "\x1b[32m✓\x1b[0m") || !strings.Contains(err.String(), "\x1b[31m✗\x1b[0m") {
		t.Errorf("no colours: %q %q", &out, &err)
	}
}

// With --json, standard output is one JSON value and standard error one a line.
func TestJSONStreams(t *testing.T) {
	var out, errs bytes.Buffer
	synctest.Test(t, func(*testing.T) {
		story(New(&out, &errs, Choose(Environment{Asked: Asked{JSON: true}}), nil))
	})
	var result struct{ Problems []problem.Problem }
	if err := json.Unmarshal(out.Bytes(), &result); err != nil || len(result.Problems) != 2 {
		t.Errorf("standard output: %v, %d problems:\n%s", err, len(result.Problems), &out)
	}
	counts := 0
	for l := range strings.Lines(errs.String()) {
		var e struct {
			Time    time.Time
			Type    string
			Current int
		}
		if err := json.Unmarshal([]byte(l), &e); err != nil || e.Time.IsZero() || e.Type == "" {
			t.Errorf("%v: %s", err, l)
		}
		if e.Current > 0 {
			counts++
		}
	}
	if counts != 10 {
		t.Errorf("%d lines for 10 percents", counts)
	}
}

func TestProblemsOfNothing(t *testing.T) {
	var out, err bytes.Buffer
	New(&out, &err, Look{}, nil).Problems(nil)
	if out.String()+err.String() != "" {
		t.Errorf("%q %q", &out, &err)
	}
	New(&out, &err, Look{Mode: JSON}, nil).Problems(nil)
	if out.String() != "{\n  \"problems\": []\n}\n" {
		t.Errorf("%q", &out)
	}
}

type full struct{}

var errFull = errors.New("no space left on device")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestErr(t *testing.T) {
	u := New(full{}, full{}, Look{}, nil)
	u.Note(progress.Done, "nobody hears")
	if err := u.Err(); err != nil {
		t.Errorf("a note is no result: %v", err)
	}
	u.Line("lost")
	if err := u.Err(); !errors.Is(err, errFull) {
		t.Errorf("got %v", err)
	}
	u = New(io.Discard, io.Discard, Look{}, nil)
	u.Value(func() {})
	if u.Err() == nil {
		t.Error("a function went into JSON")
	}
}

func TestValueCannotActOnATerminal(t *testing.T) {
	var out bytes.Buffer
	u := New(&out, io.Discard, Choose(Environment{Asked: Asked{JSON: true}}), nil)
	want := "\x1b[2J <&> \u009b5m \x7f ü \u2028"
	u.Value(want)
	if strings.ContainsAny(out.String(), "\x1b\x7f\u009b") {
		t.Errorf("%q", &out)
	}
	var got string
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got != want {
		t.Errorf("%v: %q came back as %q", err, want, got)
	}
}

func TestLine(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		var out bytes.Buffer
		New(&out, io.Discard, Look{Out: Style{Terminal: terminal}}, nil).Line("a\x1b[31mb\n")
		if want := map[bool]string{true: "ab\n", false: "a\x1b[31mb\n"}[terminal]; out.String() != want {
			t.Errorf("terminal %v: %q", terminal, &out)
		}
	}
}
