package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A directory that one tool made or changed is the same deployment to the
// other: the same topology without flags, the same containers left as they are.
func TestOneDeploymentTwoTools(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.must("init", s.dir)
	s.licence()
	elsewhere := freePort(t)

	// Ours starts it, for once on another port, and remembers the topology.
	before := s.read(".env")
	flag := fmt.Sprintf("--env=INMANTA_ORCHESTRATOR_PORT=%d", elsewhere)
	s.must(flag, "up", "--with", "iso")
	if got, want := s.read(".env"), before+"COMPOSE_FILE=docker-compose.yml:docker-compose.iso.yml\n"; got != want {
		t.Errorf(".env was\n%s\nand became\n%s", before, got)
	}
	at := &stack{t: t, port: elsewhere}
	at.serves()
	made := s.containers()

	// To the stock tool it is up already.
	s.env = []string{fmt.Sprintf("INMANTA_ORCHESTRATOR_PORT=%d", elsewhere)}
	s.stock("up -d")
	if got := s.containers(); !slices.Equal(got, made) {
		t.Errorf("the stock tool's up made %v of %v", got, made)
	}
	s.env = nil

	// Without the flag the port is the one in .env: the stock tool moves it.
	s.stock("up -d")
	s.comesUp()
	ps := s.stock("ps")
	for _, name := range []string{s.server(), s.db()} {
		if !strings.Contains(ps, name) {
			t.Errorf("the stock tool does not list %s:\n%s", name, ps)
		}
	}
	if got := s.docker("exec", s.server(), "ls", "/etc/inmanta/license"); !strings.Contains(got, "example.com.jwe") {
		t.Errorf("the stock tool left the overlay out: /etc/inmanta/license has %q", got)
	}

	// And to ours nothing is left to do.
	if r := s.run("up", "--dry-run"); r.code != 0 {
		t.Errorf("after the stock tool's up, ours would change something:\n%s%s", r.stdout, r.stderr)
	}
	moved := s.containers()
	s.must("up")
	if got := s.containers(); !slices.Equal(got, moved) {
		t.Errorf("up made %v of %v", got, moved)
	}

	// Below the directory, both find it.
	for _, line := range []string{"docker compose ps -q", "inmanta-docker ps -q"} {
		r := s.sh("cd license && " + line + " --no-trunc")
		ids := strings.Fields(r.stdout)
		slices.Sort(ids)
		want := slices.Sorted(slices.Values(moved))
		if r.code != 0 || !slices.Equal(ids, want) {
			t.Errorf("%s below the directory: exit code %d, %v, want %v\n%s", line, r.code, ids, want, r.stderr)
		}
	}
	s.stock("down")
	if got := s.containers(); len(got) != 0 {
		t.Errorf("after the stock tool's down there is %v", got)
	}
}

// The stock tool's plugin works below every docker command line there is here:
// Debian's, and a newer one where somebody put one first.
func TestEveryDockerCommandLine(t *testing.T) {
	t.Parallel()
	s := &stack{t: t, dir: t.TempDir()}
	s.composeFiles()
	var seen []os.FileInfo
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		client := filepath.Join(dir, "docker")
		info, err := os.Stat(client)
		if err != nil || slices.ContainsFunc(seen, func(other os.FileInfo) bool { return os.SameFile(info, other) }) {
			continue
		}
		seen = append(seen, info)
		for _, line := range []string{"compose version", "compose -f docker-compose.yml config --quiet", "compose -f docker-compose.yml ps -a"} {
			if r := s.sh(client + " " + line); r.code != 0 {
				version, _ := exec.Command(client, "--version").Output()
				t.Errorf("%s%s %s: exit code %d\n%s%s", version, client, line, r.code, r.stdout, r.stderr)
			}
		}
	}
	if len(seen) == 0 {
		t.Error("no docker command line on the path")
	}
}

// stock runs the stock tool in the deployment's directory, which must succeed.
func (s *stack) stock(line string) string {
	s.t.Helper()
	r := s.sh("docker compose " + line)
	if r.code != 0 {
		s.t.Fatalf("docker compose %s: exit code %d\n%s%s", line, r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// read is a file of the deployment's directory.
func (s *stack) read(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// licence writes made-up licence files of the right form: the real ones cannot be had.
func (s *stack) licence() {
	s.t.Helper()
	s.write("license/example.com.license", "a licence, made up\n")
	// A compact JWE is five base64url parts, the first a JSON header.
	s.write("license/example.com.jwe", "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA\n")
}
