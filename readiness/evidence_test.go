package readiness

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestTail(t *testing.T) {
	t.Parallel()
	short := &tail{limit: 100}
	fmt.Fprint(short, "one\ntwo\r\nthree")
	if got := short.lines(); !slices.Equal(got, []string{"one", "two", "three"}) {
		t.Errorf("%q", got)
	}
	long := &tail{limit: 30}
	for i := range 1000 {
		fmt.Fprintf(long, "line %d\n", i)
	}
	if got := long.lines(); !slices.Equal(got, []string{"line 997", "line 998", "line 999"}) {
		t.Errorf("%q", got)
	}
	if cap(long.kept) > 200 {
		t.Errorf("it keeps %d bytes", cap(long.kept))
	}
	many := &tail{limit: 1 << 20}
	fmt.Fprint(many, strings.Repeat("x\n", 3*scanLines))
	if got := len(many.lines()); got != scanLines {
		t.Errorf("%d lines", got)
	}
}

func TestLastStart(t *testing.T) {
	t.Parallel()
	old := logged(t, "server-wrong-password-file")
	healthy := logged(t, "server-healthy-file")
	got := lastStart(slices.Concat(old, healthy))
	if len(got) == 0 || len(got) > len(healthy) || got[len(got)-1] != healthy[len(healthy)-1] {
		t.Errorf("%d of %d lines", len(got), len(healthy))
	}
	if strings.Contains(strings.Join(got, "\n"), "InvalidPasswordError") {
		t.Error("what it said before is still there")
	}
	if got := lastStart(old); !slices.Equal(got, old) {
		t.Errorf("no start to be seen: %d of %d lines", len(got), len(old))
	}
}

func TestStamped(t *testing.T) {
	t.Parallel()
	at, text := stamped("2026-11-22T18:15:38.869393489Z LOG:  a b")
	if text != "LOG:  a b" || at.Year() != 2026 {
		t.Errorf("%v %q", at, text)
	}
	if at, text := stamped("no stamp here"); text != "no stamp here" || !at.IsZero() {
		t.Errorf("%v %q", at, text)
	}
}

func FuzzLog(f *testing.F) {
	f.Add("2026-11-22T18:15:38.869393489Z a\r\nb", 3)
	f.Add(strings.Repeat("é", maxLine), 1)
	f.Add("\xff\n\n", 2)
	f.Fuzz(func(t *testing.T, text string, size int) {
		size = max(1, size%4096)
		kept := &tail{limit: size}
		var heard []string
		listen := &listener{line: func(line string) { heard = append(heard, line) }}
		for rest := text; rest != ""; {
			piece := rest[:min(size, len(rest))]
			rest = rest[len(piece):]
			_, _ = kept.Write([]byte(piece))
			if _, err := listen.Write([]byte(piece)); err != nil && len(text) < maxLogTail {
				t.Fatal(err)
			}
		}
		for _, line := range append(kept.lines(), heard...) {
			if !utf8.ValidString(line) || len(line) > maxLine+len("…") || strings.ContainsAny(line, "\n") {
				t.Errorf("%q", line)
			}
			_, _ = stamped(line)
		}
		if want := strings.Count(text, "\n"); len(heard) != want {
			t.Errorf("heard %d lines, want %d", len(heard), want)
		}
	})
}

func TestALineWithoutEnd(t *testing.T) {
	t.Parallel()
	listen := &listener{line: func(string) { t.Error("that was no line") }}
	var err error
	for range 10 {
		if _, err = listen.Write([]byte(strings.Repeat("x", maxLogTail/5))); err != nil {
			break
		}
	}
	if err == nil {
		t.Error("it listens for ever")
	}
}

func TestReportHidesSecrets(t *testing.T) {
	t.Parallel()
	const secret = `p"a's/s %w`
	mess := strings.Join([]string{secret, `p\"a's/s %w`, "p%22a%27s%2Fs+%25w", "p%22a%27s%2Fs%20%25w", `p"a\'s/s %w`, `p"a''s/s %w`, "second line"}, " | ")
	st := standing{Container: Container{ID: "1", Name: "x", Error: mess, Probes: []Probe{{At: time.Now(), Output: mess}}}, why: mess}
	r := compile(state{}, verdict{standings: []standing{st, {Container: Container{ID: "2"}, why: mess}}}, &st,
		Evidence{Container: st.Container, Engine: mess + " port is already allocated"}, []Log{{Source: "x", Lines: []string{mess}}}, false)
	r.Cause.Line = mess
	r.redact([]string{secret, "ab", "first line\nsecond line\n", ""})
	all := fmt.Sprintf("%+v %+v", *r, *r.Culprit)
	for _, form := range strings.Split(mess, " | ") {
		if strings.Contains(all, form) {
			t.Errorf("%q is still in %s", form, all)
		}
	}
	if st.Probes[0].Output != mess {
		t.Error("the container itself was changed")
	}
	if got := hider([]string{"ab", ""})("about"); got != "about" {
		t.Errorf("%q", got)
	}
}
