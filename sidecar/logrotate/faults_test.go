package logrotate

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What a writer truncates when it starts again is saved also while something
// large is being compressed.
func TestSavedWhileBusy(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, nil)
	busy, release := make(chan struct{}), make(chan struct{})
	var stalled atomic.Bool
	s.config.Step = func(name string) {
		if name == "fill archive" && stalled.CompareAndSwap(false, true) {
			close(busy)
			<-release
		}
	}
	s.start()
	s.eventually("it is healthy", func() bool { return s.state().Healthy })
	s.write("server.log", "large\n")
	file, err := os.Create(s.path("agent.err"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(file, "why it ended\n"); err != nil {
		t.Fatal(err)
	}
	rotated := make(chan []Rotation)
	go func() { rotated <- s.now("server.log") }()
	<-busy
	file.Close()
	s.eventually("it is set aside", func() bool {
		_, err := os.Stat(s.path("agent.err"))
		return errors.Is(err, os.ErrNotExist)
	})
	s.write("agent.err", "it starts again\n")
	close(release)
	<-rotated
	if got := s.stream("agent.err"); got != "why it ended\nit starts again\n" {
		t.Errorf("%q", got)
	}
}

// One failure is told, tried again when it is time, and forgotten once there is
// nothing left that could fail; in between nothing turns in a circle.
func TestFailureIsNotForEver(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, nil)
	var looks atomic.Int64
	var ahead atomic.Int64
	s.config.Now = func() time.Time {
		looks.Add(1)
		return time.Now().Add(time.Duration(ahead.Load()))
	}
	if err := os.WriteFile(s.path("server.log"), []byte("one\n"), 0o444); err != nil {
		t.Fatal(err)
	}
	// Two names: it is refused, and told by its file.
	if err := os.Link(s.path("server.log"), s.path("other")); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.eventually("it is said which and why", func() bool {
		state := s.state()
		return !state.Healthy && len(state.Reasons) == 1 && strings.Contains(state.Reasons[0], "server.log") && strings.Contains(state.Reasons[0], "2 names")
	})
	if got := s.now("server.log"); !strings.Contains(got[0].Error, "2 names") {
		t.Errorf("%+v", got)
	}
	before := looks.Load()
	time.Sleep(300 * time.Millisecond)
	if n := looks.Load() - before; n > 20 {
		t.Errorf("the clock was looked at %d times in 300 ms", n)
	}
	if err := os.Remove(s.path("other")); err != nil {
		t.Fatal(err)
	}
	if got := s.now("server.log"); len(got[0].Archives) != 1 {
		t.Errorf("%+v", got)
	}
	s.eventually("it is healthy again", func() bool { return s.state().Healthy })
}

// Without compression what is set aside is the archive, and says nothing about
// what comes after it.
func TestWithoutCompression(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, map[string]string{"COMPRESSION": "none", "KEEP": "2"})
	s.start()
	want := ""
	for _, text := range []string{"one\n", "two\n", "three\n"} {
		s.write("server.log", text)
		want += text
		if got := s.now(); len(got) != 1 || len(got[0].Archives) != 1 || strings.HasSuffix(got[0].Archives[0], ".gz") {
			t.Errorf("%+v", got)
		}
	}
	if got := s.now(); len(got) != 1 || !got[0].Nothing {
		t.Errorf("%+v", got)
	}
	if got := s.stream("server.log"); got != want {
		t.Errorf("%q", got)
	}
	if state := s.state(); len(state.Logs[0].Archives) != 3 || len(state.Logs[0].Waiting) > 0 {
		t.Errorf("%+v", state.Logs)
	}
}

// The clock on the wall goes a day ahead, day after day: a rotation each, and of
// the archives those of the last days.
func TestDayAfterDay(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, map[string]string{"KEEP": "3"})
	var days atomic.Int64
	start := time.Now()
	s.config.Now = func() time.Time { return start.Add(time.Duration(days.Load()) * 24 * time.Hour) }
	s.start()
	for day := range 6 {
		days.Store(int64(day))
		s.write("server.log", "a day\n")
		if got := s.now(); len(got) != 1 || len(got[0].Archives) != 1 {
			t.Fatalf("day %d: %+v", day, got)
		}
	}
	if archives := s.state().Logs[0].Archives; len(archives) != 3 {
		t.Errorf("%+v", archives)
	}
}

// A folder that cannot be used is told, and used as soon as it can be.
func TestAnotherProcessRotates(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, nil)
	dir, err := os.Open(s.config.Folder)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.eventually("it says so", func() bool {
		state := s.state()
		return !state.Healthy && strings.Contains(strings.Join(state.Reasons, " "), "another process")
	})
	if said, err := ask(t.Context(), s.config.Address, request{Verb: "now"}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("%+v, %v", said, err)
	}
	dir.Close()
	s.eventually("it rotates", func() bool { return s.state().Healthy })
}

// Told to stop in the middle of thousands of logs, it sets no more of them aside.
func TestStopsBetweenLogs(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, nil)
	var aside atomic.Int64
	var once sync.Once
	reached := make(chan struct{})
	s.config.Now = func() time.Time { return time.Now().AddDate(0, 0, 2) } // all are due
	s.config.Step = func(name string) {
		switch name {
		case "set aside":
			aside.Add(1)
		case "create archive":
			once.Do(func() {
				close(reached)
				time.Sleep(100 * time.Millisecond) // until it is told to stop
			})
		}
	}
	const logs = together + 10
	for i := range logs {
		s.write(fmt.Sprintf("agent-%d.log", i), "a line\n")
	}
	s.start()
	<-reached
	s.stop()
	if n := aside.Load(); n != together {
		t.Errorf("%d of %d were set aside", n, logs)
	}
	live, err := filepath.Glob(s.path("*.log"))
	if err != nil || len(live) != logs-together {
		t.Errorf("%d are left as they were, %v", len(live), err)
	}
}

// Where a rotation cannot be noted none is made, which it says before one is due.
func TestNowhereForItsNotes(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, nil)
	s.start()
	s.eventually("it is healthy", func() bool { return s.state().Healthy })
	if err := os.RemoveAll(s.config.State); err != nil {
		t.Fatal(err)
	}
	said, err := ask(t.Context(), s.config.Address, request{Verb: "health"})
	if err != nil {
		t.Fatal(err)
	}
	if said.State.Healthy || !strings.Contains(strings.Join(said.State.Reasons, "\n"), s.config.State+" cannot be read and written") {
		t.Errorf("it is healthy: %t, because %q", said.State.Healthy, said.State.Reasons)
	}
	if err := os.Mkdir(s.config.State, 0o700); err != nil {
		t.Fatal(err)
	}
	s.eventually("it is healthy again", func() bool { return s.state().Healthy })
}
