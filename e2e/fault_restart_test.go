package e2e

import (
	"bufio"
	"fmt"
	"os/exec"
	"testing"
	"time"
)

// Whatever process dies, the stack comes back by itself with its data, status
// says how it is meanwhile, and up is no trouble while it comes back.
func TestComesBackByItself(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	s.must("up")
	s.project("precious")

	// The database dies; the orchestrator loses it, ends with 5, is started again.
	ended := s.exits(s.server())
	before := s.restarts(s.server())
	s.kill9(s.db())
	s.recovers("the database was killed", func() bool { return s.restarts(s.server()) > before })
	if code := <-ended; code != "5" {
		t.Errorf("the orchestrator that lost its database ended with %s", code)
	}
	s.keeps("precious")

	// The orchestrator dies, and somebody types up at once.
	s.kill9(s.server())
	s.must("up")
	s.keeps("precious")
	if code := s.statusCode(); code != 0 {
		t.Errorf("after up, status ends with %d", code)
	}

	// Somebody stops the database: the engine leaves it down, and starts the
	// orchestrator again and again. One up brings it all back.
	before = s.restarts(s.server())
	s.docker("stop", s.db())
	s.until("the orchestrator ends without its database", func() bool { return s.restarts(s.server()) > before })
	s.fails(3, []string{s.db() + " is exited"}, "status")
	s.must("up")
	s.complete()
	s.keeps("precious")

	// Somebody stops it and starts it again.
	s.docker("stop", s.db())
	s.until("the orchestrator ends without its database", func() bool { return s.restarts(s.server()) > before+1 })
	s.docker("start", s.db())
	s.recovers("the database was away", func() bool { return true })
	s.keeps("precious")
}

// recovers waits until status says that all is well again, which is after it
// has said that something is not, and after what has to happen in between.
func (s *stack) recovers(from string, between func() bool) {
	s.t.Helper()
	noticed := false
	s.until("healthy after "+from, func() bool {
		code := s.statusCode()
		noticed = noticed || code == 3
		return code == 0 && noticed && between()
	})
}

// exits are the codes with which a container's runs end from now on.
func (s *stack) exits(container string) <-chan string {
	s.t.Helper()
	events := exec.CommandContext(s.t.Context(), "docker", "events", "--since", fmt.Sprint(time.Now().Unix()),
		"--filter", "container="+container, "--filter", "event=die", "--format", "{{.Actor.Attributes.exitCode}}")
	out, err := events.StdoutPipe()
	if err == nil {
		err = events.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	codes := make(chan string, 100)
	go func() {
		defer close(codes)
		for said := bufio.NewScanner(out); said.Scan(); {
			codes <- said.Text()
		}
		_ = events.Wait() // it ends by being killed
	}()
	return codes
}
