package proof

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate"
)

// A sidecar is the real daemon in a process of its own.
type sidecar struct {
	*process
	what task
}

// runs starts the sidecar on a folder, with settings.
func runs(t *testing.T, what task, settings map[string]string) *sidecar {
	t.Helper()
	what.Settings = map[string]string{"SCHEDULE": "yearly", "KEEP": "100000"}
	maps.Copy(what.Settings, settings)
	// Not by process: in a namespace of its own it is the first.
	what.Address = fmt.Sprintf("@inmanta-proof-%d", rand.Uint64())
	s := &sidecar{process: rotates(t, what), what: what}
	eventually(t, func() error {
		state, err := s.ask("state")
		if err != nil {
			return err
		}
		if len(state.State.Reasons) == 1 && state.State.Reasons[0] == "it is starting" {
			return errors.New("it is starting")
		}
		return nil
	})
	return s
}

// said is what the sidecar answers.
type said struct {
	State *logrotate.State
	Now   []logrotate.Rotation
	Error string
}

func (s *sidecar) ask(verb string, logs ...string) (said, error) {
	var a said
	conn, err := net.DialTimeout("unix", s.what.Address, time.Second)
	if err != nil {
		return a, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	if err := json.NewEncoder(conn).Encode(map[string]any{"verb": verb, "logs": logs}); err != nil {
		return a, err
	}
	if err := json.NewDecoder(conn).Decode(&a); err != nil {
		return a, err
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// now has logs rotated, all where none is named.
func (s *sidecar) now(logs ...string) []logrotate.Rotation {
	s.t.Helper()
	a, err := s.ask("now", logs...)
	// On a busy machine a rotation that began by itself may take its time.
	for deadline := time.Now().Add(time.Minute); err != nil && strings.Contains(err.Error(), "try again") && time.Now().Before(deadline); {
		a, err = s.ask("now", logs...)
	}
	if err != nil {
		s.t.Fatalf("rotating now: %v: %s", err, s.said)
	}
	return a.Now
}

// failures is what cannot be rotated now, and why.
func (s *sidecar) failures() (all []string) {
	s.t.Helper()
	a, err := s.ask("now")
	if err != nil {
		return []string{err.Error()}
	}
	for _, one := range a.Now {
		if one.Error != "" {
			all = append(all, one.Error)
		}
	}
	return all
}

// fine is now, where no log may fail.
func (s *sidecar) fine(logs ...string) {
	s.t.Helper()
	for _, one := range s.now(logs...) {
		if one.Error != "" {
			s.t.Errorf("rotating %s: %s", one.Log, one.Error)
		}
	}
}

func (s *sidecar) state() logrotate.State {
	s.t.Helper()
	a, err := s.ask("state")
	if err != nil {
		s.t.Fatalf("asking for the state: %v: %s", err, s.said)
	}
	return *a.State
}

// reason is the one that has a text, of those for which it is unhealthy; empty
// where there is none.
func (s *sidecar) reason(text string) string {
	s.t.Helper()
	for _, reason := range s.state().Reasons {
		if strings.Contains(reason, text) {
			return reason
		}
	}
	return ""
}

// healthy waits until it is.
func (s *sidecar) healthy() {
	s.t.Helper()
	eventually(s.t, func() error {
		if state := s.state(); !state.Healthy {
			return fmt.Errorf("it is unhealthy: %q", state.Reasons)
		}
		return nil
	})
}

// rest has what is left rotated once the writers are gone, and ends: nothing
// moves any more, so that it can be counted.
func (s *sidecar) rest() {
	s.t.Helper()
	s.fine()
	s.settled()
	s.finish()
}

// waiting says what is aside, but for what is of some logs, and why; empty where
// nothing is.
func (s *sidecar) waiting(but ...string) string {
	s.t.Helper()
	for _, one := range s.state().Logs {
		for _, waiting := range one.Waiting {
			if !slices.Contains(but, one.Name) {
				return waiting.File + ": " + waiting.Why
			}
		}
	}
	return ""
}

// settled waits until nothing is aside any more, but for what is of some logs.
func (s *sidecar) settled(but ...string) {
	s.t.Helper()
	eventually(s.t, func() error {
		if waiting := s.waiting(but...); waiting != "" {
			return errors.New(waiting)
		}
		return nil
	})
}
