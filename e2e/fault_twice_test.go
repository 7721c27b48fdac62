package e2e

import (
	"fmt"
	"net/http"
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
		if strings.Contains(r.stderr, "Another command is at work") {
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

// The engine gives a network's name twice when two ask at once, as a killed up
// and the next can. Then nothing starts on it until one of the two is gone.
func TestNetworkMadeTwice(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	engine := http.Client{Transport: engineTransport()}
	made := 0
	for range 2 {
		body := fmt.Sprintf(`{"Name": "%s_default", "Labels": {"com.docker.compose.project": %q, "com.docker.compose.network": "default"}}`, s.name, s.name)
		answer, err := engine.Post("http://docker/v1.41/networks/create", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		switch answer.StatusCode {
		case http.StatusCreated:
			made++
		case http.StatusConflict: // engines since 25 do not give it twice
		default:
			t.Fatalf("making a network: %s", answer.Status)
		}
	}
	if got := len(s.networks()); got != made || made == 0 {
		t.Fatalf("%d networks were made, and there are %d", made, got)
	}
	s.must("up")
	s.complete()
}
