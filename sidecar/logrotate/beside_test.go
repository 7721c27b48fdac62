package logrotate

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/policy"
)

// One writer reopens its log, another keeps what was set aside and writes to it for
// weeks: what it wrote is kept as long as what anybody else did, and in order, also
// where the first of its archives are gone and the compression is another one.
func TestWriterThatHoldsOnBesideAnother(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, map[string]string{"KEEP": "3"})
	var days atomic.Int64
	s.config.Now = func() time.Time { return time.Now().Add(time.Duration(days.Load()) * 24 * time.Hour) }
	file, err := os.OpenFile(s.path("server.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	line := func(day int) string { return fmt.Sprintf("kept, day %04d %s\n", day, strings.Repeat("x", 9000)) }
	held := func() string {
		all, err := filepath.Glob(s.path("server.log-*Z"))
		if err != nil || len(all) != 1 {
			t.Fatalf("set aside are %q, %v", all, err)
		}
		return all[0]
	}
	write := func(day int) {
		t.Helper()
		if _, err := file.WriteString(line(day)); err != nil {
			t.Fatal(err)
		}
		s.write("server.log", fmt.Sprintf("reopened, day %d\n", day))
	}
	write(0)
	s.start()
	s.now()
	const last = 12
	for day := 1; day <= last; day++ {
		if day == last-1 {
			s.stop()
			policies, wrong := policy.FromSettings(func(name string) string {
				return map[string]string{"INMANTA_LOGROTATE_KEEP": "3", "INMANTA_LOGROTATE_COMPRESSION": "zstd"}[name]
			})
			if len(wrong) > 0 {
				t.Fatal(wrong)
			}
			s.config.Policies = policies
			s.start()
		}
		days.Store(int64(day))
		s.eventually("what was written before has settled", func() bool {
			write(day)
			// The file system's clock is the machine's.
			if err := os.Chtimes(held(), time.Time{}, s.config.Now()); err != nil {
				t.Fatal(err)
			}
			return slices.ContainsFunc(s.now(), func(r Rotation) bool { return len(r.Archives) > 1 })
		})
	}
	said := s.stream("server.log")
	at := -1
	for day := last - 2; day <= last; day++ {
		next := strings.Index(said, line(day))
		if next < 0 {
			t.Errorf("what was written on day %d of %d is gone", day, last)
		}
		if next < at {
			t.Errorf("what was written on day %d comes before what was before it", day)
		}
		at = next
	}
	if strings.Contains(said, line(3)) {
		t.Error("what was written on day 3 is still there")
	}
}

// Backups give archives second names. They are archives all the same: of a log's
// newest one depends what the next is called, and they go when their time is over.
func TestArchiveOfTwoNames(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, map[string]string{"KEEP": "1"})
	var hours atomic.Int64
	s.config.Now = func() time.Time { return time.Now().Add(time.Duration(hours.Load()) * time.Hour) }
	s.start()
	s.eventually("it is healthy", func() bool { return s.state().Healthy })
	for i, hour := range []int64{48, 0} {
		hours.Store(hour)
		s.write("server.log", fmt.Sprintf("line %d\n", i))
		s.now() // if it has not been rotated by itself: it is of a day ago, by this clock
		var archives []ArchiveState
		s.eventually("it is archived", func() bool {
			archives = s.state().Logs[0].Archives
			return len(archives) == i+1
		})
		if err := os.Link(s.path(archives[i].File), s.path(fmt.Sprintf("backup%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.stream("server.log"); got != "line 0\nline 1\n" {
		t.Errorf("a clock that goes back made of them %q", got)
	}
	hours.Store(24 * 10)
	s.write("server.log", "line 2\n")
	s.now()
	s.eventually("what is not kept is gone", func() bool {
		state := s.state()
		return state.Healthy && len(state.Logs[0].Archives) == 1
	})
}

// Names that cannot be written down as they are, or that do things to a terminal,
// are no logs': that is told, and the others are rotated.
func TestNamesThatAreNoText(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, nil)
	for _, base := range []string{"a\xff.log", "b\x1b[2J.log", "c\nd.log"} {
		s.write(base, "a line\n")
	}
	s.write("server.log", "a line\n")
	s.start()
	if got := s.now(); len(got) != 1 || len(got[0].Archives) != 1 {
		t.Errorf("%+v", got)
	}
	state := s.state()
	if len(state.Reasons) != 3 || state.Healthy {
		t.Fatalf("%q", state.Reasons)
	}
	for i, want := range []string{`"a\xff.log" is not rotated`, `"b\x1b[2J.log" is not rotated`, `"c\nd.log" is not rotated`} {
		if !strings.HasPrefix(state.Reasons[i], want) || strings.ContainsAny(state.Reasons[i], "\x1b\n") {
			t.Errorf("%q", state.Reasons[i])
		}
	}
}

// Many ask for a rotation at once, while the log is written: each is answered, and
// each line is there once, in order.
func TestManyAskAtOnce(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, nil)
	s.start()
	var asking sync.WaitGroup
	for range 30 {
		asking.Go(func() {
			if said, err := ask(t.Context(), s.config.Address, request{Verb: "now"}); err != nil {
				t.Error(err)
			} else if len(said.Now) == 1 && said.Now[0].Error != "" {
				t.Error(said.Now[0].Error)
			}
		})
	}
	var want strings.Builder
	for i := range 500 {
		line := fmt.Sprintf("line %d\n", i)
		want.WriteString(line)
		s.write("server.log", line)
	}
	asking.Wait()
	s.now()
	s.eventually("nothing is waited for", func() bool { return len(s.state().Logs[0].Waiting) == 0 })
	if got := s.stream("server.log"); got != want.String() {
		t.Errorf("%d bytes, want %d", len(got), want.Len())
	}
}
