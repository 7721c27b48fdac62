package e2e

import (
	"strings"
	"testing"
)

// Several ups at the same time on one deployment: each says that it serves,
// and there is one stack.
func TestUpsAtTheSameTime(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	const several = 3
	done := make(chan result, several)
	for range several {
		go func() { done <- s.run("up") }()
	}
	waited := 0
	for range several {
		r := s.discreet(<-done)
		if r.code != 0 || !strings.Contains(r.stdout, s.server()) {
			t.Errorf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
		}
		if strings.Contains(r.stderr, "Another up is at work") {
			waited++
		}
	}
	if waited == 0 {
		t.Error("none waited for another")
	}
	s.complete()
	if s.restarts(s.server()) != 0 {
		t.Error("the orchestrator was started more than once")
	}
}
