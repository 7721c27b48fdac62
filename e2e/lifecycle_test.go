package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// The stock tool's verbs do what they do in the stock tool, and nothing that
// was there is lost until somebody says so. The images' registry never answers:
// what is there already is enough.
func TestLifecycle(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.set("INMANTA_ORCHESTRATOR_IMAGE", s.alias("orchestrator"))
	s.set("POSTGRESQL_IMAGE", s.alias("postgres"))
	s.must("-f", "docker-compose.yml", "up")
	s.serves()
	s.project("precious")
	made := s.containers()

	// Nothing to do, twice.
	s.must("up")
	s.must("up")
	if got := s.containers(); !slices.Equal(got, made) {
		t.Errorf("up made %v of %v", got, made)
	}

	s.same("ps -aq --no-trunc", "ps --services", "port server 8888", "images -q db", "exec -T db id", "logs --no-log-prefix --tail 3 db")
	r := s.must("ps", "-a", "--format", "json")
	for line := range strings.Lines(r.stdout) {
		var listed struct{ Name, State string }
		if err := json.Unmarshal([]byte(line), &listed); err != nil || listed.State != "running" || !strings.HasPrefix(listed.Name, s.name+"-") {
			t.Errorf("ps lists %s (%v)", line, err)
		}
	}
	s.fails(7, nil, "exec", "-T", "server", "sh", "-c", "exit 7")
	if r := s.must("exec", "-T", "-e", "X=here", "server", "sh", "-c", "echo $X $(whoami)"); r.stdout != "here inmanta\n" {
		t.Errorf("exec prints %q", r.stdout)
	}
	if r := s.must("logs", "server"); !strings.Contains(r.stdout, "Server startup complete") {
		t.Errorf("logs prints\n%s", r.stdout)
	}
	s.write("mine.txt", "mine\n")
	s.must("cp", "mine.txt", "server:/tmp/mine.txt")
	s.must("cp", "server:/tmp/mine.txt", "back.txt")
	if got := s.read("back.txt"); got != "mine\n" {
		t.Errorf("cp brought back %q", got)
	}
	s.fails(1, []string{"no such service"}, "logs", "nobody")

	serves := func(after string) {
		t.Helper()
		s.comesUp()
		if got := s.projects(); !slices.Equal(got, []string{"precious"}) {
			t.Errorf("after %s the projects are %v", after, got)
		}
	}
	started := s.docker("inspect", "-f", "{{.State.StartedAt}}", s.server())
	s.must("restart", "server")
	serves("restart")
	if again := s.docker("inspect", "-f", "{{.State.StartedAt}}", s.server()); again == started {
		t.Error("restart restarted nothing")
	}
	s.must("stop")
	if r := s.must("ps", "-q"); r.stdout != "" {
		t.Errorf("after stop there runs %s", r.stdout)
	}
	s.must("start")
	serves("start")
	if got := s.containers(); !slices.Equal(got, made) {
		t.Errorf("restart, stop and start made %v of %v", got, made)
	}

	volumes := s.volumes()
	s.must("down")
	if got := s.containers(); len(got) != 0 {
		t.Errorf("after down there is %v", got)
	}
	if got := s.volumes(); len(volumes) != 3 || !slices.Equal(got, volumes) {
		t.Errorf("down made %v of %v", got, volumes)
	}
	s.must("up")
	serves("down and up")
	s.must("down", "--volumes")
	if got := append(s.containers(), s.volumes()...); len(got) != 0 {
		t.Errorf("after down --volumes there is %v", got)
	}
	s.must("down") // of nothing is nothing

	// Whoever removes data that is not there meant some other.
	other := s.name + "-other"
	s.docker("volume", "create", "--label", "com.docker.compose.project="+other, "--label", "com.docker.compose.volume=inmanta-db-data", other)
	t.Cleanup(func() { s.docker("volume", "rm", other) })
	for _, flag := range []string{"-v", "--volumes", "-vt0"} {
		s.fails(1, []string{"project " + s.name, "no container and no volume", other + " (only its data)"}, "down", flag)
	}
	if got := s.docker("volume", "ls", "-q", "--filter", "name=^"+other+"$"); got != other {
		t.Errorf("the other's volume is gone")
	}
}

// same runs lines with both tools, which must print the same.
func (s *stack) same(lines ...string) {
	s.t.Helper()
	for _, line := range lines {
		ours, stock := s.sh("inmanta-docker "+line), s.sh("docker compose "+line)
		if ours.code != stock.code || ours.stdout != stock.stdout {
			s.t.Errorf("%s: ours (%d) prints\n%s%sthe stock tool (%d)\n%s", line, ours.code, ours.stdout, ours.stderr, stock.code, stock.stdout)
		}
	}
}
