package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/readiness"
)

// The files fault_*_test.go break the real thing on purpose: they kill, fill,
// take away and interrupt, and look at what is said and at what is lost.

// hiddenPassword is the database password of the stacks that are broken: no
// output of any command may hold it.
const hiddenPassword = "neverShown4714"

// newFragile is a deployment as init makes it, with that password.
func newFragile(t *testing.T) *stack {
	t.Helper()
	s := newStack(t)
	s.must("init", s.dir)
	s.set("INMANTA_DATABASE_PASSWORD", hiddenPassword)
	return s
}

// discreet fails the scenario if the password was shown.
func (s *stack) discreet(r result) result {
	s.t.Helper()
	if said := r.stdout + r.stderr; strings.Contains(said, hiddenPassword) {
		s.t.Errorf("the password is shown:\n%s", said)
	}
	return r
}

// broken is an up that fails, and its report: about that service, with that
// cause. What the report is about must still be there to look at.
func (s *stack) broken(service, cause string, args ...string) readiness.Report {
	s.t.Helper()
	r := s.discreet(s.run(append([]string{"up", "--json"}, args...)...))
	if r.code != 1 {
		s.t.Fatalf("up: exit code %d, want 1\n%s%s", r.code, r.stdout, r.stderr)
	}
	report := decoded[readiness.Report](s.t, "up_failure", r.stdout)
	if report.Culprit == nil || report.Culprit.Service != service || report.Cause.ID != cause {
		s.t.Fatalf("the report is not about %s and %s:\n%s%s", service, cause, r.stdout, r.stderr)
	}
	if !slices.Contains(s.containers(), report.Culprit.ID) {
		s.t.Errorf("the culprit was removed: %v", s.containers())
	}
	return report
}

// refused are the problems for which a command is refused, by their IDs in order.
func (s *stack) refused(ids []string, args ...string) []problem.Problem {
	s.t.Helper()
	r := s.discreet(s.run(append(args, "--json")...))
	var said struct{ Problems []problem.Problem }
	if err := json.Unmarshal([]byte(r.stdout), &said); err != nil || r.code != 1 {
		s.t.Fatalf("%v: exit code %d, %v\n%s%s", args, r.code, err, r.stdout, r.stderr)
	}
	var found []string
	for _, p := range said.Problems {
		found = append(found, p.ID)
		if p.What == "" || p.Fix == "" {
			s.t.Errorf("%s says too little: %+v", p.ID, p)
		}
	}
	if !slices.Equal(found, ids) {
		s.t.Fatalf("%v is refused for %v, want %v:\n%s", args, found, ids, r.stdout)
	}
	return said.Problems
}

// says fails the scenario unless a text has each of the words.
func (s *stack) says(text string, words ...string) {
	s.t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			s.t.Errorf("nothing is said of %q: %s", word, text)
		}
	}
}

// kill9 ends a container's main process as the kernel would, not as docker
// kill does, after which the engine leaves the container down.
func (s *stack) kill9(container string) {
	s.t.Helper()
	pid, err := strconv.Atoi(s.docker("inspect", "-f", "{{.State.Pid}}", container))
	if err == nil && pid > 1 {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil || pid <= 1 {
		s.t.Fatalf("killing process %d of %s, which takes root on the engine's machine: %v", pid, container, err)
	}
}

// statusCode is what status says in one number, which must be what it says in JSON.
func (s *stack) statusCode() int {
	s.t.Helper()
	r := s.discreet(s.run("status", "--json"))
	if r.code == 1 {
		s.t.Fatalf("status could not be found out:\n%s%s", r.stdout, r.stderr)
	}
	found := decoded[seen](s.t, "status", r.stdout)
	if want := map[string]int{"healthy": 0, "unhealthy": 3, "down": 4}[found.Health]; r.code != want {
		s.t.Errorf("status says %q and ends with %d", found.Health, r.code)
	}
	return r.code
}

// patience is how long the scenarios wait for what comes back by itself, on a
// machine that has other things to do.
const patience = 3 * time.Minute

// until asks again and again, as nothing announces it, and fails the scenario
// when patience ends first.
func (s *stack) until(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// restarts is how often the engine has started a container again.
func (s *stack) restarts(container string) int {
	s.t.Helper()
	count, err := strconv.Atoi(s.docker("inspect", "-f", "{{.RestartCount}}", container))
	if err != nil {
		s.t.Fatal(err)
	}
	return count
}

// keeps fails the scenario unless the orchestrator serves and has the project
// that was made before.
func (s *stack) keeps(project string) {
	s.t.Helper()
	s.serves()
	if got := s.projects(); !slices.Contains(got, project) {
		s.t.Errorf("project %s is lost: there are %v", project, got)
	}
}

// noLeftovers fails the scenario if a file was left half written.
func (s *stack) noLeftovers() {
	s.t.Helper()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, entry := range entries {
		if name := entry.Name(); strings.Contains(name, ".new-") {
			s.t.Errorf("%s is left", filepath.Join(s.dir, name))
		}
	}
	if r := s.run("config", "--quiet"); r.code != 0 {
		s.t.Errorf("the files cannot be read any more:\n%s%s", r.stdout, r.stderr)
	}
}

// networks are what the engine has of this deployment, by name.
func (s *stack) networks() []string {
	s.t.Helper()
	return strings.Fields(s.docker("network", "ls", "--format", "{{.Name}}", "--filter", "label=com.docker.compose.project="+s.name))
}
