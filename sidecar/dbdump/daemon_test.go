package dbdump

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/dumps"
)

// The programs are found by the path of the process, so these are not parallel.

// sidecar is a daemon in a test.
type sidecar struct {
	*testing.T
	below  string
	config Config
	log    *lockedBuffer
	stop   func()
}

type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func newSidecar(t *testing.T) *sidecar {
	t.Helper()
	s := &sidecar{T: t, below: lab(t), log: &lockedBuffer{}}
	s.config = inTest(s.below)
	s.config.Log = s.log
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.log.String())
		}
	})
	return s
}

func (s *sidecar) start() {
	s.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	s.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			s.Error(err)
		}
		s.stop = func() {}
	}
	s.Cleanup(func() { s.stop() })
	go func() { ended <- Serve(ctx, s.config) }()
	s.eventually("it answers", func() bool {
		_, err := ask(s.Context(), s.config.Address, "state")
		return err == nil
	})
}

func (s *sidecar) eventually(what string, is func() bool) {
	s.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("not in 20 s: %s", what)
		}
	}
}

func (s *sidecar) state() State {
	s.Helper()
	said, err := ask(s.Context(), s.config.Address, "state")
	if err != nil {
		s.Fatal(err)
	}
	return *said.State
}

// now is a dump that is asked for; what it answers knows of it.
func (s *sidecar) now() Attempt {
	s.Helper()
	said, err := ask(s.Context(), s.config.Address, "now")
	if err != nil {
		s.Fatal(err)
	}
	if said.Now.Dump != "" && !slices.ContainsFunc(said.State.Dumps, func(one DumpState) bool { return one.File == said.Now.Dump }) {
		s.Errorf("of %s it does not say that it is there: %+v", said.Now.Dump, said.State)
	}
	return *said.Now
}

// says waits until it is unhealthy for a reason with those words.
func (s *sidecar) says(words ...string) {
	s.Helper()
	last := ""
	defer func() {
		if s.Failed() {
			s.Logf("it says: %s", last)
		}
	}()
	s.eventually("it says "+strings.Join(words, " … "), func() bool {
		last = strings.Join(s.state().Reasons, "\n")
		for _, word := range words {
			if !strings.Contains(last, word) {
				return false
			}
		}
		return last != ""
	})
}

func (s *sidecar) set(name, text string) {
	s.Helper()
	put(s.T, filepath.Join(s.below, name), text, 0o644)
}

func (s *sidecar) unset(name string) {
	s.Helper()
	if err := os.Remove(filepath.Join(s.below, name)); err != nil {
		s.Fatal(err)
	}
}

// A dump that fails is said, with what to do, and takes nothing away; when one
// succeeds again all is well.
func TestFailuresCostNothing(t *testing.T) {
	s := newSidecar(t)
	s.config.Policy.Keep = 1
	old := putDump(t, s.below, 3)
	s.set("fail", "could not write to output file: No space left on device")
	s.start()
	s.says("could not write to output file: No space left on device", "the last good one is "+old+", 3 days old", "it is tried again at", "make room in ./dumps")
	for range 3 {
		if got := s.now(); !strings.Contains(got.Error, "No space left") || got.Dump != "" {
			t.Errorf("it says %+v", got)
		}
	}
	if whole, rest := sound(t, "after failures", s.below); len(whole) != 1 || whole[0] != old || len(rest) > 0 {
		t.Errorf("there is %q, and %q", whole, rest)
	}
	s.unset("fail")
	made := s.now()
	if whole, _ := sound(t, "at last", s.below); made.Error != "" || len(whole) != 1 || whole[0] != made.Dump {
		t.Errorf("made is %+v, and there is %q", made, whole)
	}
	if got := s.state(); !got.Healthy || got.Dumps[0].Host != "db" || got.Dumps[0].Role != "primary" || got.Dumps[0].Entries != 1 || !got.Next.After(time.Now()) {
		t.Errorf("it says %+v", got)
	}
}

// What pg_restore cannot read, or has nothing in it, is no dump, whatever pg_dump says.
func TestUnreadableIsNoDump(t *testing.T) {
	s := newSidecar(t)
	putDump(t, s.below, 0)
	s.start()
	for file, words := range map[string]string{"cut": "cannot be read: it ends in the middle", "empty": "nothing in it"} {
		s.set(file, "")
		if got := s.now(); !strings.Contains(got.Error, words) {
			t.Errorf("%s: it says %+v", file, got)
		}
		s.unset(file)
	}
	if whole, rest := sound(t, "after them", s.below); len(whole) != 1 || len(rest) > 0 {
		t.Errorf("there is %q, and %q", whole, rest)
	}
}

// Stopped in the middle of a dump it ends at once, with all that it started, and
// leaves nothing.
func TestStopsInTheMiddle(t *testing.T) {
	s := newSidecar(t)
	old := putDump(t, s.below, 3)
	s.set("hang", "")
	s.start()
	var sleeper int
	s.eventually("it dumps", func() bool {
		text, _ := os.ReadFile(filepath.Join(s.below, "sleeper"))
		sleeper, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return sleeper > 0
	})
	if got := s.state(); got.Running == nil || got.Running.Host != "db" {
		t.Errorf("it says %+v", got)
	}
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > endPatience+5*time.Second {
		t.Errorf("it ends after %s", took)
	}
	s.eventually("what it started is gone", func() bool { return syscall.Kill(sleeper, 0) == syscall.ESRCH || zombie(sleeper) })
	if whole, rest := sound(t, "stopped", s.below); len(whole) != 1 || whole[0] != old || len(rest) > 0 {
		t.Errorf("there is %q, and %q", whole, rest)
	}
	if m, err := s.config.remember(); err != nil || m.Last != nil {
		t.Errorf("that it was stopped is remembered as %+v, %v", m.Last, err)
	}
}

// zombie says whether a process has ended and nobody has asked.
func zombie(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(text), ") Z ")
}

// The standby is dumped, and the primary where that does not work.
func TestStandbyFirst(t *testing.T) {
	s := newSidecar(t)
	putDump(t, s.below, 0)
	s.config.Servers = append(s.config.Servers, address{Host: replicaHost, Port: "5432"})
	var shows atomic.Int64
	var cutOff atomic.Bool
	shows.Store(100)
	s.config.inquire = func(_ context.Context, a address) server {
		if a.Host == replicaHost { // it shows more each time that it is asked
			return server{address: a, standby: true, streaming: !cutOff.Load(), position: shows.Add(1), version: "17.2", tables: 7}
		}
		return server{address: a, position: 100, version: "17.2", tables: 7}
	}
	s.start()
	from := func(host, role string) {
		t.Helper()
		made := s.now()
		for _, one := range s.state().Dumps {
			if one.File == made.Dump && (one.Host != host || one.Role != role) {
				t.Errorf("of %s (%s), want %s (%s)", one.Host, one.Role, host, role)
			}
		}
		if made.Error != "" {
			t.Error(made.Error)
		}
	}
	from(replicaHost, "standby")
	s.set("no-standby", "")
	from("db", "primary")
	s.unset("no-standby")
	shows.Store(97) // it catches up while it is waited for
	from(replicaHost, "standby")
	shows.Store(50)
	cutOff.Store(true)
	from("db", "primary")
}

// While no server answers nothing is begun, and it goes on by itself; of a database
// that was never dumped, nothing is before somebody has made its tables.
func TestWaitsForTheDatabase(t *testing.T) {
	s := newSidecar(t)
	var tables atomic.Int64
	tables.Store(-1)
	s.config.inquire = func(_ context.Context, a address) server {
		if n := tables.Load(); n >= 0 {
			return server{address: a, version: "17.2", tables: int(n)}
		}
		return server{address: a, err: errors.New("connection refused")}
	}
	s.start()
	s.says("no database answers (db: connection refused)", "there is no dump yet", "inmanta-docker up")
	tables.Store(0)
	if got := s.now(); !got.Early || !strings.Contains(got.Error, "not a single table") {
		t.Errorf("it says %+v", got)
	}
	tables.Store(7)
	if got := s.now(); got.Error != "" {
		t.Errorf("it says %+v", got)
	}
	if !s.state().Healthy {
		t.Errorf("it says %+v", s.state())
	}
}

// A dump of a clock that was years ahead keeps nobody from making another, once.
func TestClockThatWasAhead(t *testing.T) {
	s := newSidecar(t)
	ahead := putDump(t, s.below, -400)
	s.start()
	s.eventually("one is made", func() bool { return len(s.state().Dumps) == 2 && s.state().Healthy })
	if got := s.state(); got.Dumps[1].File != ahead || !got.Next.After(time.Now()) || got.Next.After(time.Now().Add(25*time.Hour)) {
		t.Errorf("it says %+v", got)
	}
}

// What is wrong with a dump that there was is said, and it counts as none.
func TestFlawsAreSaid(t *testing.T) {
	s := newSidecar(t)
	s.config.Policy.Keep = 3
	putDump(t, s.below, 0)
	s.start()
	made := s.now().Dump
	path := filepath.Join(s.below, "dumps", made)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, path, "gun\nwhole\n", 0o640)
	s.now()
	s.says(made + " is no dump any more: it has 10 bytes, and had " + strconv.Itoa(len(text)) + " when it was made")
	put(t, path, string(text), 0o640)
	s.now()
	if got := s.state(); !got.Healthy {
		t.Errorf("it says %+v", got)
	}
	other := s.now().Dump
	if err := os.Remove(filepath.Join(s.below, "dumps", dumps.Checksum(other))); err != nil {
		t.Fatal(err)
	}
	s.now()
	s.says(other + " is no dump any more: its checksum is not there")
}

// Two sidecars do not use one folder, and the second takes over when the first goes.
func TestOneSidecarAFolder(t *testing.T) {
	s := newSidecar(t)
	putDump(t, s.below, 0)
	s.start()
	s.now()
	other := &sidecar{T: t, below: s.below, config: s.config, log: s.log}
	other.config.Address += "-other"
	other.start()
	other.says("nothing is dumped: another db-dump sidecar keeps the dumps of \"lab\"", "INMANTA_NAME")
	if _, err := ask(t.Context(), other.config.Address, "now"); err == nil || !strings.Contains(err.Error(), "another db-dump sidecar") {
		t.Errorf("asked for a dump it says %v", err)
	}
	s.stop()
	other.eventually("it takes over", func() bool { return other.state().Healthy })
}

// While the folder cannot be used, whoever asks for a dump is told so; and a clock
// that is put back by a year while it waits to try again does not make it wait a year.
func TestClockPutBackAfterAFailure(t *testing.T) {
	s := newSidecar(t)
	putDump(t, s.below, 3)
	var ahead atomic.Int64
	ahead.Store(int64(24 * 365 * time.Hour))
	s.config.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	s.set("fail", "no")
	s.start()
	s.says("failed: db: no")
	s.unset("fail")
	ahead.Store(0)
	if got := s.now(); got.Error != "" { // it looks at its clock, too
		t.Errorf("it says %+v", got)
	}
	if next := s.state().Next; next.After(time.Now().Add(25 * time.Hour)) {
		t.Errorf("the next is due at %s", next)
	}
	if err := os.Rename(filepath.Join(s.below, "dumps"), filepath.Join(s.below, "away")); err != nil {
		t.Fatal(err)
	}
	s.says("./dumps cannot be read and written")
	_, _ = ask(t.Context(), s.config.Address, "now") // it finds out now, at the latest
	s.says("nothing is dumped: ")
	if _, err := ask(t.Context(), s.config.Address, "now"); err == nil || !strings.Contains(err.Error(), "cannot be read and written") && !strings.Contains(err.Error(), "nothing is dumped: ") {
		t.Errorf("it says %v", err)
	}
	if err := os.Rename(filepath.Join(s.below, "away"), filepath.Join(s.below, "dumps")); err != nil {
		t.Fatal(err)
	}
	s.eventually("it goes on", func() bool { return s.state().Healthy })
}

// A daemon that is configured wrongly says what is wrong, and dumps nothing.
func TestWrongSettings(t *testing.T) {
	s := newSidecar(t)
	c := FromEnvironment([]string{"INMANTA_DB_DUMP_KEEP=many", "PGPORT=1,2,3", "PATH=/bin", "PGSSLMODE=require", "PGPASSWORD=x"}, s.log)
	if want := []string{"PATH=/bin", "PGSSLMODE=require"}; len(c.Problems) != 2 || c.Tools[0] != want[0] || c.Tools[1] != want[1] || strings.Contains(strings.Join(c.Tools, " "), "PGPASSWORD") {
		t.Fatalf("%q, %q", c.Problems, c.Tools)
	}
	s.config.Problems = c.Problems
	s.start()
	s.says("PGHOST lists 1 hosts and PGPORT 3 ports", `INMANTA_DB_DUMP_KEEP: "many" is not a number of dumps`)
	if _, err := ask(t.Context(), s.config.Address, "now"); err == nil {
		t.Error("it dumps")
	}
	if whole, _ := sound(t, "configured wrongly", s.below); len(whole) > 0 {
		t.Errorf("there is %q", whole)
	}
}
