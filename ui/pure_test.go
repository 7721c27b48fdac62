package ui

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/inmanta/inmanta-docker/progress"
)

func TestChoose(t *testing.T) {
	term := Environment{OutTerminal: true, ErrTerminal: true, Term: "xterm", Locale: "C.UTF-8"}
	with := func(change func(*Environment)) Environment { e := term; change(&e); return e }
	colour, bare := Style{Terminal: true, Color: true}, Style{Terminal: true}
	for name, c := range map[string]struct {
		e    Environment
		want Look
	}{
		"a terminal":        {term, Look{TTY, colour, colour}},
		"pipes":             {Environment{Term: "xterm", Locale: "de_DE.utf8"}, Look{Mode: Plain}},
		"results in a pipe": {with(func(e *Environment) { e.OutTerminal = false }), Look{TTY, Style{}, colour}},
		"a log of errors":   {with(func(e *Environment) { e.ErrTerminal = false }), Look{Plain, colour, Style{}}},
		"NO_COLOR":          {with(func(e *Environment) { e.NoColor = "1" }), Look{TTY, bare, bare}},
		"TERM=dumb":         {with(func(e *Environment) { e.Term = "dumb" }), Look{Plain, bare, bare}},
		"no TERM":           {with(func(e *Environment) { e.Term = "" }), Look{Plain, bare, bare}},
		"CI":                {with(func(e *Environment) { e.CI = "true" }), Look{Plain, colour, colour}},
		"CI=false":          {with(func(e *Environment) { e.CI = "false" }), Look{TTY, colour, colour}},
		"--json":            {with(func(e *Environment) { e.JSON = true }), Look{JSON, colour, colour}},
		"--ansi never":      {with(func(e *Environment) { e.ANSI = "never" }), Look{Plain, bare, bare}},
		"--ansi always":     {Environment{Locale: "C.UTF-8", Asked: Asked{ANSI: "always"}}, Look{Plain, Style{Color: true}, Style{Color: true}}},
		"NO_COLOR wins":     {Environment{Locale: "C.UTF-8", NoColor: "1", Asked: Asked{ANSI: "always"}}, Look{Mode: Plain}},
		"--progress plain":  {with(func(e *Environment) { e.Progress = "plain" }), Look{Plain, colour, colour}},
		"--progress quiet":  {with(func(e *Environment) { e.Progress = "quiet" }), Look{Quiet, colour, colour}},
		"--progress tty":    {Environment{Locale: "C.UTF-8", Asked: Asked{Progress: "tty"}}, Look{Mode: TTY}},
		"--progress auto":   {with(func(e *Environment) { e.Progress = "auto" }), Look{TTY, colour, colour}},
		"no locale": {with(func(e *Environment) { e.Locale = "" }),
			Look{TTY, Style{true, true, true}, Style{true, true, true}}},
	} {
		if got := Choose(c.e); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain text, ünïcödé 数据库 👩\u200d🚀":         "plain text, ünïcödé 数据库 👩\u200d🚀",
		"\x1b[1;31mred\x1b[0m \x1b[38;5;9mx":       "red x",
		"\x1b[?25l\x1b[2J\x1b[H\x1b[!p\x1b[ qhi":   "hi",
		"\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b": "ab",
		"\x1bPq#0;1\x1b\\a\x1b_x\u009cb":           "ab",
		"\u009b31ma\u009d0;title\x07b\u0085c":      "abc",
		"\x1b]0;never ends\nevidence":              "0;never ends\nevidence",
		"\x1b[31\nnext":                            "\nnext",
		"\x1bc\x1b(B\x1b7a\x1b":                    "a",
		"\x1b\x1b[m[31m":                           "[31m",
		"a\x00b\x08c\x7fd\x0e":                     "abcd",
		"one\r\ntwo\rthree\u2028four":              "one\ntwo\nthree\nfour",
		"\tx":                                      "    x",
		"user\u202etxt.exe\u2066\ufeff\u200f":      "usertxt.exe",
		"\xff\x9b31m":                              "\ufffd31m",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"text\n", "\x1b[31mred\x1b[0m", "\x1b]0;t\x07", "\x1bP\x1b\\", "\u009b1m", "\xc2", "\x1b\x1b[m[31m", "a\rb\tc", "\u202e", "\x1b]\x1b[\x07"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		for _, r := range got {
			if r != '\n' && unicode.IsControl(r) || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
				t.Fatalf("Clean(%q) = %q holds %U", s, got, r)
			}
		}
		if again := Clean(got); again != got {
			t.Fatalf("Clean(%q) = %q, and cleaned again %q", s, got, again)
		}
		if strings.ToValidUTF8(got, "") != got {
			t.Fatalf("Clean(%q) = %q is not UTF-8", s, got)
		}
		if printable := strings.Map(func(r rune) rune {
			if r == '\n' || r >= ' ' && r <= '~' {
				return r
			}
			return -1
		}, s); Clean(printable) != printable {
			t.Fatalf("Clean changed %q", printable)
		}
	})
}

// Whatever text and width: what is fitted fits, and what is broken up is all there.
func FuzzWidth(f *testing.F) {
	f.Add("ghcr.io/inmanta/orchestrator:latest", 20)
	f.Add("run `a b c` and 数据库 👩‍🚀 e\u0301", 7)
	f.Add("数", 1)
	f.Fuzz(func(t *testing.T, s string, n int) {
		s, n = line(s), n%200
		for _, st := range []Style{{}, {ASCII: true}} {
			for _, got := range []string{st.cut(s, n), st.squeeze(s, n)} {
				if width(got) > max(0, n) {
					t.Errorf("%q in %d cells is %q: %d", s, n, got, width(got))
				}
			}
		}
		pieces := chop(s, n)
		if got := strings.Join(pieces, ""); got != s {
			t.Errorf("%q chopped at %d is %q", s, n, got)
		}
		for _, piece := range pieces {
			if n > 1 && width(piece) > n {
				t.Errorf("%q chopped at %d has a piece %q", s, n, piece)
			}
		}
		if got := strings.Fields(strings.Join(wrap(s, n), " ")); !slices.Equal(got, strings.Fields(s)) {
			t.Errorf("%q wrapped at %d is %q", s, n, got)
		}
		if n > 20 {
			text := table(Style{Terminal: true}, n, []string{"A", "B"}, []Row{{progress.Done, []string{s, s}}})
			for l := range strings.Lines(text) {
				if width(strings.TrimSuffix(l, "\n")) > n {
					t.Errorf("a row of %d cells in %d: %q", width(l), n, l)
				}
			}
		}
	})
}

func TestNarrow(t *testing.T) {
	for _, c := range []struct {
		widths  []int
		columns int
		want    []int
	}{
		{[]int{5, 5}, 12, []int{5, 5}},
		{[]int{5, 30, 20}, 50, []int{5, 21, 20}},
		{[]int{40, 40}, 42, []int{20, 20}},
		{[]int{40, 4}, 3, []int{narrowest, 4}},
		{nil, 0, nil},
	} {
		got := slices.Clone(c.widths)
		narrow(got, c.columns)
		if !slices.Equal(got, c.want) {
			t.Errorf("narrow(%v, %d) = %v, want %v", c.widths, c.columns, got, c.want)
		}
	}
}

func TestApply(t *testing.T) {
	base := progress.Event{ID: "i", Text: "Pulling", Status: progress.Working, Detail: "1.5 MB of 20 MB", Current: 100, Total: 1000}
	for name, c := range map[string]struct {
		change      func(*progress.Event)
		news, moved bool
	}{
		"nothing":            {func(*progress.Event) {}, false, false},
		"a count":            {func(e *progress.Event) { e.Current = 101 }, false, false},
		"a percent":          {func(e *progress.Event) { e.Current = 110 }, false, true},
		"numbers in words":   {func(e *progress.Event) { e.Detail = "17 MB of 20 MB" }, false, false},
		"other words":        {func(e *progress.Event) { e.Detail = "unpacking" }, true, false},
		"another step":       {func(e *progress.Event) { e.Text = "Unpacking" }, true, false},
		"an end":             {func(e *progress.Event) { e.Status = progress.Done }, true, false},
		"a total disappears": {func(e *progress.Event) { e.Total = 0 }, false, true},
	} {
		var b board
		if _, _, news, _ := b.apply(base, time.Time{}); !news {
			t.Error("a new item is news")
		}
		e := base
		c.change(&e)
		if _, _, news, moved := b.apply(e, time.Time{}); news != c.news || moved != c.moved {
			t.Errorf("%s: news %v, moved %v", name, news, moved)
		}
	}
}

func TestElapsed(t *testing.T) {
	start := time.Unix(1000, 0)
	for d, want := range map[time.Duration]string{
		0: "", 99 * time.Millisecond: "", 1240 * time.Millisecond: "1.2s", 59 * time.Second: "59.0s",
		65 * time.Second: "1m5s", 2*time.Hour + time.Second: "2h0m1s",
	} {
		it := item{began: start}
		if got := it.elapsed(start.Add(d)); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	var b board
	at := func(s progress.Status, seconds int64) *item {
		it, _, _, _ := b.apply(progress.Event{ID: "i", Status: s}, start.Add(time.Duration(seconds)*time.Second))
		return it
	}
	at(progress.Working, 0)
	at(progress.Done, 3)
	if got := at(progress.Done, 9).elapsed(time.Time{}); got != "3.0s" {
		t.Errorf("settled: %s", got)
	}
	at(progress.Working, 20)
	if got := at(progress.Failed, 21).elapsed(time.Time{}); got != "1.0s" {
		t.Errorf("taken up again: %s", got)
	}
}

func TestPercent(t *testing.T) {
	for e, want := range map[progress.Event]int{
		{}: -1, {Current: 5}: -1, {Total: 3}: 0, {Current: 1, Total: 3}: 33, {Current: 9, Total: 3}: 100,
		{Current: -1, Total: 3}: 0, {Current: 1 << 62, Total: 1<<63 - 1}: 50, {Current: 1, Total: -1}: -1,
	} {
		if got := percent(e); got != want {
			t.Errorf("%+v: %d, want %d", e, got, want)
		}
	}
}

func TestChooseItems(t *testing.T) {
	var b board
	for i, s := range []progress.Status{progress.Done, progress.Done, progress.Failed, progress.Working, progress.Warning, progress.Done} {
		b.apply(progress.Event{ID: string(rune('a' + i)), Status: s}, time.Unix(int64(i), 0))
	}
	for room, want := range map[int]string{0: "", 1: "c", 2: "cd", 3: "cde", 4: "cdef", 5: "bcdef"} {
		shown, hidden := choose(b.items, room)
		got := ""
		for _, it := range shown {
			got += it.ID
		}
		if got != want || len(shown)+len(hidden) != 6 {
			t.Errorf("room for %d: %s and %d hidden, want %s", room, got, len(hidden), want)
		}
	}
	if got := tally(b.items); got != "  and 6 more: 1 failed, 1 working, 1 warning, 3 done" {
		t.Error(got)
	}
	for rows := 1; rows < 9; rows++ {
		for columns := 1; columns < 90; columns += 8 {
			lines := b.block(Style{}, columns, rows, time.Unix(99, 0), false)
			if len(lines) > rows {
				t.Errorf("%d lines on %d rows", len(lines), rows)
			}
			for _, l := range lines {
				if l.used != width(l.text) || l.used >= columns {
					t.Errorf("%d columns: %q takes %d, and is said to take %d", columns, l.text, width(l.text), l.used)
				}
			}
		}
	}
}

// A terminal made narrower wraps the lines that are there.
func TestTop(t *testing.T) {
	block := []cellLine{{used: 40}, {used: 0}, {used: 41}}
	for columns, want := range map[int]string{80: "\r\x1b[3A", 40: "\r\x1b[4A", 20: "\r\x1b[6A"} {
		if got := top(block, columns); got != want {
			t.Errorf("%d columns: %q", columns, got)
		}
	}
	if got := top(nil, 80); got != "\r" {
		t.Errorf("%q", got)
	}
}

func TestALogHasFewLinesOfOneStep(t *testing.T) {
	var b board
	lines := 0
	at := func(seconds int, e progress.Event) {
		now := time.Unix(int64(seconds), 0)
		if it, before, news, _ := b.apply(e, now); news && it.due(before, now) {
			lines++
		}
	}
	working := progress.Event{ID: "image", Text: "Building", Status: progress.Working}
	for seconds, detail := range []string{"a", "b", "c", "d"} {
		working.Detail = detail
		at(seconds, working)
	}
	if lines != 1 {
		t.Errorf("%d lines for one step's details within 4 s, want 1", lines)
	}
	working.Detail = "e"
	at(20, working)
	at(21, progress.Event{ID: "image", Text: "Built", Status: progress.Done})
	if lines != 3 {
		t.Errorf("%d lines after a while and the end, want 3", lines)
	}
}
