package logrotate

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/policy"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/rotation"
)

// sidecar is a daemon in a test, on folders of its own.
type sidecar struct {
	*testing.T
	config Config
	log    *lockedBuffer
	stop   context.CancelFunc
	ended  chan error
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

func newSidecar(t *testing.T, set map[string]string) *sidecar {
	t.Helper()
	s := &sidecar{T: t, log: &lockedBuffer{}}
	policies, wrong := policy.FromSettings(func(name string) string { return set[strings.TrimPrefix(name, "INMANTA_LOGROTATE_")] })
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	s.config = Config{
		Folder: t.TempDir(), State: t.TempDir(), Policies: policies, Log: s.log,
		Address: fmt.Sprintf("@logrotate-test-%d-%d", os.Getpid(), rand.Int64()),
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.log.String())
		}
	})
	return s
}

func (s *sidecar) start() {
	s.Helper()
	ctx, stop := context.WithCancel(context.Background())
	s.ended = make(chan error, 1)
	s.stop = func() {
		stop()
		if err := <-s.ended; err != nil {
			s.Error(err)
		}
		s.stop = func() {}
	}
	s.Cleanup(func() { s.stop() })
	go func() { s.ended <- Serve(ctx, s.config) }()
	s.eventually("it answers", func() bool {
		_, err := ask(s.Context(), s.config.Address, request{Verb: "state"})
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
	said, err := ask(s.Context(), s.config.Address, request{Verb: "state"})
	if err != nil {
		s.Fatal(err)
	}
	return *said.State
}

func (s *sidecar) now(logs ...string) []Rotation {
	s.Helper()
	said, err := ask(s.Context(), s.config.Address, request{Verb: "now", Logs: logs})
	if err != nil {
		s.Fatal(err)
	}
	return said.Now
}

func (s *sidecar) path(base string) string { return filepath.Join(s.config.Folder, base) }

func (s *sidecar) write(base, text string) {
	s.Helper()
	file, err := os.OpenFile(s.path(base), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err == nil {
		_, err = io.WriteString(file, text)
	}
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		s.Fatal(err)
	}
}

// stream is all there is of a log.
func (s *sidecar) stream(log string) string {
	s.Helper()
	dir, err := os.Open(s.config.Folder)
	if err != nil {
		s.Fatal(err)
	}
	defer dir.Close()
	state, err := os.Open(s.config.State)
	if err != nil {
		s.Fatal(err)
	}
	defer state.Close()
	lock, err := rotation.OpenReaders(s.config.State)
	if err != nil {
		s.Fatal(err)
	}
	defer lock.Close()
	stream, err := archive.Open(dir, log, archive.Options{
		Lock: lock,
		Gaps: func(file *os.File) ([]archive.Range, error) { return rotation.Gaps(state, dir, file) },
	})
	if err != nil {
		s.Fatal(err)
	}
	defer stream.Close()
	text, err := io.ReadAll(stream)
	if err != nil {
		s.Fatal(err)
	}
	return string(text)
}

func TestRotateNow(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, nil)
	s.write("server.log", "one\n")
	s.write("agent.err", "")
	s.write("note.txt", "none of ours")
	s.start()
	s.eventually("it is healthy", func() bool { return s.state().Healthy })
	got := s.now()
	if len(got) != 2 || !got[0].Nothing || len(got[1].Archives) != 1 {
		t.Errorf("%+v", got)
	}
	s.write("server.log", "two\n")
	if got := s.now("server.log"); len(got) != 1 || len(got[0].Archives) != 1 {
		t.Errorf("%+v", got)
	}
	s.write("server.log", "three\n")
	if got := s.stream("server.log"); got != "one\ntwo\nthree\n" {
		t.Errorf("%q", got)
	}
	state := s.state()
	if len(state.Logs) != 2 || len(state.Logs[1].Archives) != 2 || !state.Healthy {
		t.Errorf("%+v", state)
	}
	if got := s.now("other.log"); got[0].Error == "" {
		t.Errorf("%+v", got)
	}
	if said, err := ask(t.Context(), s.config.Address, request{Verb: "health"}); err != nil || said.Count != 2 || len(said.State.Logs) != 0 || !said.State.Healthy || said.State.Next.IsZero() {
		t.Errorf("of its health it says %+v, %v", said, err)
	}
}

// One that keeps its file is found out, is rotated in place from then on, and
// what it wrote is saved when it ends.
func TestWriterThatKeepsItsFile(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, nil)
	file, err := os.Create(s.path("agent-x.out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var want strings.Builder
	say := func(lines int) {
		for range lines {
			line := fmt.Sprintf("line %06d of what is said\n", want.Len())
			want.WriteString(line)
			if _, err := io.WriteString(file, line); err != nil {
				t.Fatal(err)
			}
		}
	}
	say(1000)
	s.start()
	said := make(chan []Rotation)
	go func() { said <- s.now() }()
	for asked := true; asked; {
		select {
		case got := <-said:
			if len(got) != 1 || len(got[0].Archives) != 1 {
				t.Errorf("%+v", got)
			}
			asked = false
		case <-time.After(50 * time.Millisecond):
			say(1)
		}
	}
	for range 5 {
		say(1000)
		if got := s.now(); len(got) != 1 || len(got[0].Archives) == 0 {
			t.Errorf("%+v", got)
		}
		if got := s.stream("agent-x.out"); got != want.String() {
			t.Fatalf("%d bytes, want %d", len(got), want.Len())
		}
	}
	if writer := s.state().Logs[0].Writer; writer != string(rotation.OwnOffset) {
		t.Errorf("it is said to be %q", writer)
	}
	say(3)
	file.Close()
	s.eventually("it is saved", func() bool {
		_, err := os.Stat(s.path("agent-x.out"))
		return os.IsNotExist(err)
	})
	s.eventually("it is archived", func() bool { return len(s.state().Logs[0].Waiting) == 0 })
	if got := s.stream("agent-x.out"); got != want.String() {
		t.Fatalf("%d bytes, want %d", len(got), want.Len())
	}
}

func TestNewFileHasTheModeAskedFor(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, nil)
	var wrong problem.List
	s.config.Policies, wrong = policy.ParseFile("logrotate.conf", s.config.Folder+"/*.log {\n daily\n rotate 3\n create 0640\n}\n", s.config.Folder, time.UTC)
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	s.start()
	s.write("server.log", "one\n")
	mode := func(want os.FileMode) func() bool {
		return func() bool {
			info, err := os.Stat(s.path("server.log"))
			return err == nil && info.Mode() == want
		}
	}
	s.eventually("it has its mode", mode(0o640))
	s.now()
	file, err := os.Create(s.path("server.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() // its writer goes on
	s.eventually("it has its mode again", mode(0o640))
}
