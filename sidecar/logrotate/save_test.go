package logrotate

import (
	"context"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/policy"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/rotation"
)

// heldFor is a folder whose logs are held the first times that they are asked for.
type heldFor struct{ times int }

func (h *heldFor) Save(endings []rotation.Ending) (saved rotation.Saved) {
	if h.times--; h.times >= 0 {
		return rotation.Saved{Held: endings}
	}
	for _, e := range endings {
		saved.Aside = append(saved.Aside, e.Log)
	}
	return saved
}

func (*heldFor) Bases() ([]string, error) { return nil, nil }

// A close is told a moment before the file is free, and nothing is told when it
// is: what was in it would be truncated by its next writer.
func TestCloseThatIsToldTooEarly(t *testing.T) {
	t.Parallel()
	policies, _ := policy.FromSettings(func(string) string { return "" })
	s := newSaver(&heldFor{times: 3}, Config{Policies: policies, Now: time.Now})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen, changes := make(chan []change), make(chan []change)
	go s.forward(ctx, seen, changes)
	seen <- []change{{base: "agent.out", mask: unix.IN_CLOSE_WRITE}}
	end := time.After(20 * time.Second)
	for {
		select {
		case got := <-changes:
			if slices.ContainsFunc(got, func(c change) bool { return c.saved && c.base == "agent.out" }) {
				return
			}
		case <-end:
			t.Fatal("it is not saved")
		}
	}
}

// A scheduler's children hold what it prints for a while after it has ended, and
// the next one truncates that at once. The scheduler alone has its log open.
func TestSavedWhileChildrenHoldIt(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, nil)
	s.write("agent-x.log", "")
	s.start()
	s.eventually("it is healthy", func() bool { return s.state().Healthy })
	open := func(name string) *os.File {
		file, err := os.OpenFile(s.path(name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { file.Close() })
		return file
	}
	say := func(to *os.File, line string) {
		if _, err := io.WriteString(to, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	log, printed := open("agent-x.log"), open("agent-x.out")
	say(log, "of the scheduler")
	say(printed, "of the scheduler")
	log.Close()
	s.eventually("it is set aside", func() bool {
		_, err := os.Stat(s.path("agent-x.out"))
		return os.IsNotExist(err)
	})
	next := open("agent-x.out")
	say(next, "of the next one")
	say(printed, "of a child")
	printed.Close()
	s.eventually("it is archived", func() bool {
		logs := s.state().Logs
		return len(logs) == 2 && len(logs[1].Archives) == 1 && len(logs[1].Waiting) == 0
	})
	if got := s.stream("agent-x.out"); got != "of the scheduler\nof a child\nof the next one\n" {
		t.Errorf("%q", got)
	}
	if writer := s.state().Logs[1].Writer; writer != "unknown" {
		t.Errorf("its writer is said to be %q", writer)
	}
	// The scheduler that lives keeps what it prints.
	if got, err := os.ReadFile(s.path("agent-x.out")); err != nil || string(got) != "of the next one\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// The machine went down, and nobody saw the writer end: what it left is saved
// before its next start truncates it.
func TestSavedAtTheStart(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, nil)
	s.write("agent.out", "the last words\n")
	s.start()
	s.eventually("it is archived", func() bool {
		logs := s.state().Logs
		return len(logs) == 1 && len(logs[0].Archives) == 1
	})
	if err := os.WriteFile(s.path("agent.out"), []byte("anew\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.eventually("what came after it is archived, too", func() bool { return len(s.state().Logs[0].Archives) == 2 })
	if got := s.stream("agent.out"); got != "the last words\nanew\n" {
		t.Errorf("%q", got)
	}
}
