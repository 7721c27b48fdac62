package logrotate

import (
	"context"
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

func (h *heldFor) Save(logs []string) rotation.Saved {
	if h.times--; h.times >= 0 {
		return rotation.Saved{Held: logs}
	}
	return rotation.Saved{Aside: logs}
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
