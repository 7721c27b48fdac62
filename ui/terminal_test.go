package ui

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"

	"github.com/inmanta/inmanta-docker/progress"
)

// screen is a terminal emulator that demands, after every write, that the
// cursor is visible and lines wrap: what a killed process would leave behind.
type screen struct {
	t      *testing.T
	vt     vt10x.Terminal
	writes int
}

func newScreen(t *testing.T, columns, rows int) *screen {
	return &screen{t: t, vt: vt10x.New(vt10x.WithSize(columns, rows))}
}

func (s *screen) Write(p []byte) (int, error) {
	s.writes++
	// A terminal in its usual mode begins a line at the left; the emulator wants to be told.
	_, _ = s.vt.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n")))
	if !s.vt.CursorVisible() || s.vt.Mode()&vt10x.ModeWrap == 0 {
		s.t.Errorf("a write leaves the terminal in a bad state: %q", p)
	}
	if s.vt.Cursor().X != 0 {
		s.t.Errorf("a write leaves the cursor in column %d: %q", s.vt.Cursor().X, p)
	}
	return len(p), nil
}

// text is what is on the screen.
func (s *screen) text() string { return shown(s.vt) }

func shown(vt vt10x.Terminal) string {
	var b strings.Builder
	for l := range strings.SplitSeq(vt.String(), "\n") {
		b.WriteString(strings.TrimRight(l, " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

var terminal = Choose(Environment{OutTerminal: true, ErrTerminal: true, Term: "xterm", Locale: utf8, NoColor: "1"})

func event(id, text string, s progress.Status) progress.Event {
	return progress.Event{ID: id, Text: text, Status: s}
}

// The block as a reader sees it while it lives, and how often it is drawn.
func TestLiveBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScreen(t, 70, 7)
		u := New(s, s, terminal, func() (int, int) { return 70, 7 })
		// settle lets frames pass, and stops between two of them.
		settle := func(frames int) {
			time.Sleep(time.Duration(frames)*frame + frame/3)
			synctest.Wait()
		}
		u.Note("", "before")
		report, stop := u.Progress()
		for i := range 1000 {
			e := event("image postgres:16", "Pulling", progress.Working)
			e.Current, e.Total = int64(i), 2000
			report(e)
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		if s.writes > 12 {
			t.Errorf("%d writes in a second", s.writes)
		}
		for i := range 4 {
			report(event(fmt.Sprint("step ", i), "Working", progress.Working))
		}
		report(event("step 0", "Done", progress.Done))
		settle(2)
		golden(t, "live-full", s.text())

		report(event("step 4", "Broken", progress.Failed))
		report(event("step 5", "Working", progress.Working))
		u.Note(progress.Warning, "above")
		u.Line("a result")
		_, _ = s.vt.Write([]byte("^C")) // as a terminal shows what is typed
		settle(2)
		golden(t, "live-summary", s.text())

		for i := range 6 {
			report(event(fmt.Sprint("step ", i), "Done", progress.Done))
		}
		report(event("image postgres:16", "Pulled", progress.Done))
		settle(2)
		idle := s.writes
		settle(36000)
		if s.writes != idle {
			t.Errorf("%d writes while nothing is worked on", s.writes-idle)
		}
		s.vt.Resize(70, 20) // room to see it all
		stop()
		stop()
		report(event("late", "Ignored", progress.Failed))
		golden(t, "live-final", s.text())
	})
}

// Work that is done as soon as it is named is not drawn more often either.
func TestFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScreen(t, 70, 10)
		report, stop := New(s, s, terminal, nil).Progress()
		for i := range 300 {
			report(event(fmt.Sprint("step ", i), "Done", progress.Done))
			time.Sleep(time.Millisecond)
		}
		stop()
		if s.writes > 5 {
			t.Errorf("%d writes in 0.3 seconds", s.writes)
		}
	})
}

// A second Progress ends the first, whose events are then nobody's.
func TestSecondProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScreen(t, 70, 10)
		u := New(s, s, terminal, nil)
		first, stopFirst := u.Progress()
		first(event("one", "Working", progress.Working))
		second, stopSecond := u.Progress()
		first(event("one", "Ignored", progress.Done))
		second(event("two", "Done", progress.Done))
		stopFirst()
		stopSecond()
		if want := "· one  Working\n✓ two  Done\n"; strings.ReplaceAll(s.text(), "       ", "") != want {
			t.Errorf("got %q", s.text())
		}
	})
}

// stuck is a terminal that stands still until it is let go.
type stuck struct {
	io.Writer
	entered chan struct{}
	let     chan struct{}
	once    sync.Once
}

func (s *stuck) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.entered) })
	<-s.let
	return s.Writer.Write(p)
}

// Whoever reports to a terminal that stands still is not held up, and nothing
// that was said is lost.
func TestStuckTerminal(t *testing.T) {
	for _, look := range []Look{terminal, {Mode: Plain}, {Mode: JSON}} {
		var out bytes.Buffer
		s := &stuck{Writer: &out, entered: make(chan struct{}), let: make(chan struct{})}
		u := New(io.Discard, s, look, nil)
		report, stop := u.Progress()
		report(event("first", "Working", progress.Working))
		<-s.entered
		for i := range 1000 {
			report(event(fmt.Sprint("item ", i%7), fmt.Sprint("Step ", i), progress.Working))
		}
		report(event("last", "Done", progress.Done))
		close(s.let)
		stop()
		if !strings.Contains(out.String(), "last") || !strings.Contains(out.String(), "Step 999") {
			t.Errorf("%v: the last words are missing", look.Mode)
		}
	}
}

// For the race detector: everything at once, from everywhere.
func TestConcurrentUse(t *testing.T) {
	for _, look := range []Look{terminal, {Mode: Plain}, {Mode: JSON}} {
		u := New(io.Discard, io.Discard, look, nil)
		report, stop := u.Progress()
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for j := range 100 {
					report(event(fmt.Sprint("item ", i, j%5), fmt.Sprint(j), progress.Working))
					switch j % 25 {
					case 0:
						u.Note(progress.Done, "note")
					case 1:
						u.Table([]string{"A"}, nil)
					}
				}
				if i%2 == 0 {
					stop()
				}
			})
		}
		all.Wait()
		stop()
	}
}

// emulate shows on an emulator what arrives at the master side of a
// pseudo-terminal, and tells over seen each time the screen has changed.
func emulate(master io.Reader, vt vt10x.Terminal) (seen <-chan string) {
	screens := make(chan string)
	go func() {
		defer close(screens)
		buf, rest := make([]byte, 4096), []byte(nil)
		for {
			n, err := master.Read(buf)
			rest = append(rest, buf[:n]...)
			n, _ = vt.Write(rest)
			rest = rest[n:] // half a character
			if err != nil {
				return // EIO: nobody has the terminal open any more
			}
			screens <- shown(vt)
		}
	}()
	return screens
}

const childVariable = "UI_TEST_CHILD"

// TestMain is also the child that TestPseudoTerminal and TestKilled start.
func TestMain(m *testing.M) {
	switch os.Getenv(childVariable) {
	case "":
		os.Exit(m.Run())
	case "finishes":
		u := Open(os.Stdout, os.Stderr, os.Getenv, Asked{})
		report, stop := u.Progress()
		report(event("container a", "Starting", progress.Working))
		time.Sleep(3 * frame) // a block or two to draw over
		report(event("container a", "Healthy", progress.Done))
		stop()
		u.Table([]string{"NAME", "STATE"}, []Row{{progress.Done, []string{"a", "healthy"}}})
	case "hangs":
		u := Open(os.Stdout, os.Stderr, os.Getenv, Asked{})
		report, _ := u.Progress()
		report(event("container a", "Starting", progress.Working))
		select {}
	}
}

// child runs this test binary on a pseudo-terminal.
func child(t *testing.T, what string) (*exec.Cmd, vt10x.Terminal, <-chan string) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = []string{childVariable + "=" + what, "TERM=xterm", "LANG=C.UTF-8", "GOCOVERDIR=" + t.TempDir()}
	master, err := pty.StartWithSize(c, &pty.Winsize{Rows: 10, Cols: 60})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		_ = master.Close()
	})
	vt := vt10x.New(vt10x.WithSize(60, 10))
	return c, vt, emulate(master, vt)
}

func TestPseudoTerminal(t *testing.T) {
	t.Parallel()
	_, vt, seen := child(t, "finishes")
	for range seen {
	}
	got := shown(vt)
	lines := strings.Split(got, "\n")
	lines[0] = strings.Join(strings.Fields(lines[0])[:4], " ") // without the time it took
	want := "✓ container a Healthy\n\n  NAME  STATE\n✓ a     healthy\n"
	if strings.Join(lines, "\n") != want || !vt.CursorVisible() {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A killed process leaves a terminal that works.
func TestKilled(t *testing.T) {
	t.Parallel()
	c, vt, seen := child(t, "hangs")
	for s := range seen {
		if strings.Contains(s, "container a  Starting") {
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	for range seen {
	}
	if !strings.Contains(shown(vt), "container a  Starting") {
		t.Errorf("it never said what it does:\n%s", shown(vt))
	}
	if !vt.CursorVisible() || vt.Mode()&vt10x.ModeWrap == 0 || vt.Cursor().X != 0 {
		t.Error("the cursor is hidden, lines do not wrap, or the prompt would not begin a line")
	}
}
