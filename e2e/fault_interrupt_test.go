package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// sent runs a command and sends it a signal at that moment; what it did, and
// the signal that ended it, if one did.
func (s *stack) sent(g *gate, m moment, signals []os.Signal, args ...string) (result, syscall.Signal) {
	s.t.Helper()
	return s.struck(g, m, func(process *os.Process) {
		for _, signal := range signals {
			_ = process.Signal(signal)
		}
	}, args...)
}

// struck runs a command and does something to it, or about it, at that moment; what
// it did, and the signal that ended it, if one did.
func (s *stack) struck(g *gate, m moment, strike func(*os.Process), args ...string) (result, syscall.Signal) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	cmd := s.command(ctx, append([]string{"inmanta-docker"}, args...)...)
	cmd.Env = append(cmd.Env, "DOCKER_HOST="+g.host)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	started := make(chan *os.Process, 1)
	g.at(m, func() { strike(<-started) })
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	started <- cmd.Process
	_ = cmd.Wait() // its code says it
	g.settled()
	r := s.discreet(result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()})
	if !g.met() {
		s.t.Fatalf("%v never came to %s: exit code %d\n%s%s", args, m.name, r.code, r.stdout, r.stderr)
	}
	s.noLeftovers()
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !status.Signaled() {
		return r, 0
	}
	return r, status.Signal()
}

// interrupted is a command that a signal ends early, and says so.
func (s *stack) interrupted(g *gate, m moment, signal os.Signal, args ...string) {
	s.t.Helper()
	r, _ := s.sent(g, m, []os.Signal{signal}, args...)
	if r.code != 130 || strings.Contains(r.stderr, "✗") || strings.Contains(r.stderr, "context canceled") {
		s.t.Errorf("%v at %s: %v: exit code %d, want 130\n%s%s", args, m.name, signal, r.code, r.stdout, r.stderr)
	}
	s.says(r.stderr, "Interrupted")
}

// killed is a command that has no chance to clean up.
func (s *stack) killed(g *gate, m moment, args ...string) {
	s.t.Helper()
	if r, by := s.sent(g, m, []os.Signal{syscall.SIGKILL}, args...); by != syscall.SIGKILL {
		s.t.Errorf("%v at %s outlives SIGKILL: exit code %d\n%s%s", args, m.name, r.code, r.stdout, r.stderr)
	}
}

// phases are the moments of an up, in the order in which one after the other
// meets them when each up is ended there and the next goes on.
func (s *stack) phases() []moment {
	to := func(name, method, path string) moment {
		return moment{name: name, method: method, path: regexp.MustCompile(path)}
	}
	late := func(m moment) moment { m.name, m.late = m.name+", done", true; return m }
	return []moment{
		to("preflight", "GET", `^/info$`),
		to("making the network", "POST", `^/networks/create`),
		late(to("making a volume", "POST", `^/volumes/create`)),
		late(to("making the database", "POST", `^/containers/create\?name=`+s.db()+`$`)),
		to("starting the database", "POST", `^/containers/\w+/start`),
		to("waiting for the database", "POST", `^/containers/\w+/exec`),
		to("making the orchestrator", "POST", `^/containers/create\?name=`+s.server()+`$`),
		late(to("starting the orchestrator", "POST", `^/containers/\w+/start`)),
		to("waiting until it serves", "GET", `^/events`),
	}
}

// complete fails the scenario unless this is one stack with nothing over, that serves.
func (s *stack) complete() {
	s.t.Helper()
	s.serves()
	names := strings.Fields(s.docker("ps", "-a", "--filter", "label=com.docker.compose.project="+s.name, "--format", "{{.Names}}"))
	slices.Sort(names)
	if want := []string{s.db(), s.server()}; !slices.Equal(names, want) {
		s.t.Errorf("the containers are %v, want %v", names, want)
	}
	if got := s.networks(); len(got) != 1 {
		s.t.Errorf("the networks are %v", got)
	}
	if got := s.volumes(); len(got) != 3 {
		s.t.Errorf("the volumes are %v", got)
	}
	if r := s.run("up", "--dry-run"); r.code != 0 {
		s.t.Errorf("up would change something still:\n%s%s", r.stdout, r.stderr)
	}
}

// Ctrl-C, or a polite end, at each phase of up: exit code 130, and the next up
// goes on from there. The same for down.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	g := newGate(t)
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	for i, m := range s.phases() {
		s.interrupted(g, m, signals[i%2], "up")
		if made := s.containers(); i == 0 && len(made)+len(s.volumes()) > 0 {
			t.Errorf("%s: there are %v", m.name, made)
		}
	}
	s.must("up")
	s.complete()
	s.project("precious")

	// Preflight sees some things through, for the sake of cleanliness; who
	// cannot wait for that presses twice.
	s.must("down")
	look := moment{name: "looking into the volume", method: "POST", path: regexp.MustCompile(`^/containers/create$`)}
	r, _ := s.sent(g, look, []os.Signal{os.Interrupt, os.Interrupt}, "up")
	if r.code != 130 {
		t.Errorf("the second interrupt: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	s.must("up")
	s.complete()
	s.keeps("precious")
	if left := s.docker("ps", "-aq", "--filter", "label=com.inmanta.docker.preflight="+s.name+"_inmanta-db-data"); left != "" {
		t.Errorf("preflight left the container %s", left)
	}

	// Nobody got to the volumes before the containers are gone.
	stop := moment{name: "stopping the database", method: "POST", path: regexp.MustCompile(`^/containers/\w+/stop`), nth: 1, late: true}
	if r, _ := s.sent(g, stop, []os.Signal{os.Interrupt}, "down", "-v"); r.code != 130 {
		t.Errorf("down -v: exit code %d, want 130\n%s%s", r.code, r.stdout, r.stderr)
	}
	s.must("up")
	s.complete()
	s.keeps("precious")
	volume := moment{name: "removing a volume", method: "DELETE", path: regexp.MustCompile(`^/volumes/`), late: true}
	s.killed(g, volume, "down", "-v")
	if left := append(s.networks(), s.volumes()...); len(left) > 0 {
		s.must("down", "-v")
	}
	if left := slices.Concat(s.containers(), s.volumes(), s.networks()); len(left) > 0 {
		t.Errorf("after down -v there is %v", left)
	}
}

// An up that is killed at each phase leaves what the next one goes on from.
func TestKilledUp(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	g := newGate(t)
	for _, m := range s.phases() {
		s.killed(g, m, "up")
	}
	s.must("up")
	s.complete()
	s.project("precious")

	// And where a container is being replaced by another.
	for _, m := range []moment{
		{name: "making the new one", method: "POST", path: regexp.MustCompile(`^/containers/create`), late: true},
		{name: "stopping the old one", method: "POST", path: regexp.MustCompile(`^/containers/\w+/stop`), late: true},
		{name: "removing the old one", method: "DELETE", path: regexp.MustCompile(`^/containers/`), late: true},
		{name: "naming the new one", method: "POST", path: regexp.MustCompile(`^/containers/[^/]+/rename`)},
	} {
		s.port = freePort(t)
		s.set("INMANTA_ORCHESTRATOR_PORT", fmt.Sprint(s.port))
		s.killed(g, m, "up")
		if r := s.run("up"); r.code != 0 {
			out, _ := exec.Command("docker", "ps", "-a", "--filter", "label=com.docker.compose.project="+s.name).CombinedOutput()
			t.Fatalf("the up after %s: exit code %d\n%s%s%s", m.name, r.code, r.stdout, r.stderr, out)
		}
		s.complete()
		s.keeps("precious")
	}
}
