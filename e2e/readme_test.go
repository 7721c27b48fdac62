package e2e

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// example is the shell block of the README below the heading.
func example(t *testing.T, heading string) []string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n### "+heading+"\n")
	_, block, ok2 := strings.Cut(section, "```bash\n")
	block, _, ok3 := strings.Cut(block, "```")
	if !ok || !ok2 || !ok3 {
		t.Fatalf("the README has no example %q", heading)
	}
	var lines []string
	for line := range strings.Lines(block) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// The README's lines run as they stand, with the stock tool and with ours in
// its place. The environment keeps them away from whatever else runs here.
func TestOpenSourceExample(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"sudo docker compose", "inmanta-docker"} {
		t.Run(strings.ReplaceAll(tool, " ", "-"), func(t *testing.T) {
			s := newStack(t)
			if tool != "inmanta-docker" { // which carries the files with it
				s.composeFiles()
			}
			s.tagConfigured("ghcr.io/inmanta/orchestrator:latest")
			lines := example(t, "Deploy the oss orchestrator")
			if len(lines) != 5 {
				t.Fatalf("the example has %d lines: %q", len(lines), lines)
			}
			for _, line := range lines {
				ours := strings.ReplaceAll(line, "sudo docker compose", tool)
				r := s.sh(ours)
				if r.code != 0 {
					t.Fatalf("%s: exit code %d\n%s%s", ours, r.code, r.stdout, r.stderr)
				}
				switch {
				case strings.HasSuffix(line, "up -d"):
					s.eventually("the orchestrator serves", func() bool {
						var status serverStatus
						return s.get("/api/v1/serverstatus", &status) == nil
					})
					s.serves()
				case strings.HasSuffix(line, "ps -a"):
					for _, name := range []string{s.server(), s.db()} {
						if !strings.Contains(r.stdout, name) {
							t.Errorf("%s does not list %s:\n%s", ours, name, r.stdout)
						}
					}
				case strings.HasSuffix(line, "down"):
					if got := s.containers(); len(got) != 0 {
						t.Errorf("after %s there is %v", ours, got)
					}
					if got := s.volumes(); len(got) != 3 {
						t.Errorf("after %s the volumes are %v", ours, got)
					}
				case strings.HasSuffix(line, "down -v"):
					if got := s.volumes(); len(got) != 0 {
						t.Errorf("after %s there is %v", ours, got)
					}
				}
			}
		})
	}
}

// The commercial image and its licence cannot be had: its lines run with the
// open-source orchestrator under the configured name and a made-up licence.
// What is shown is mounts and variables; the licence's own effect is not run.
func TestServiceOrchestratorExample(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"sudo docker compose", "inmanta-docker"} {
		t.Run(strings.ReplaceAll(tool, " ", "-"), func(t *testing.T) {
			s := newStack(t)
			s.must("init", s.dir)
			s.tagConfigured("containers.inmanta.com/containers/service-orchestrator:8")
			s.licence()
			if r := s.sh("mkdir mine && mv license/example.com.* mine"); r.code != 0 {
				t.Fatal(r.stderr)
			}
			for _, line := range example(t, "Deploy the service orchestrator") {
				if copied, file, ok := strings.Cut(line, `cp "..." license/`); ok && copied == "" {
					line = "cp mine/" + file + " license/" + file
				}
				ours := strings.ReplaceAll(line, "sudo docker compose", tool)
				if r := s.sh(ours); r.code != 0 {
					t.Fatalf("%s: exit code %d\n%s%s", ours, r.code, r.stdout, r.stderr)
				}
				if !strings.HasSuffix(line, "up -d") {
					continue
				}
				s.eventually("the orchestrator serves", func() bool {
					var status serverStatus
					return s.get("/api/v1/serverstatus", &status) == nil
				})
				var inspected []struct {
					Config struct{ Env []string }
					Mounts []struct {
						Destination, Type string
						RW                bool
					}
				}
				if err := json.Unmarshal([]byte(s.docker("inspect", s.server())), &inspected); err != nil {
					t.Fatal(err)
				}
				for _, want := range []string{
					"INMANTA_LICENSE_ENTITLEMENT_FILE=/etc/inmanta/license/example.com.jwe",
					"INMANTA_LICENSE_LICENSE_KEY=/etc/inmanta/license/example.com.license",
				} {
					if !slices.Contains(inspected[0].Config.Env, want) {
						t.Errorf("the orchestrator has no %s", want)
					}
				}
				mounted := false
				for _, m := range inspected[0].Mounts {
					mounted = mounted || m.Destination == "/etc/inmanta/license" && m.Type == "bind" && !m.RW
				}
				if !mounted {
					t.Errorf("the licences are not mounted read-only: %+v", inspected[0].Mounts)
				}
				if got := s.docker("exec", s.server(), "cat", "/etc/inmanta/license/example.com.license"); got != "a licence, made up" {
					t.Errorf("the orchestrator reads %q as its licence", got)
				}
			}
		})
	}
}

// tagConfigured gives the orchestrator image the name that the README's lines
// configure, for as long as the scenario runs. Where the registry could be
// reached, it is that image already.
func (s *stack) tagConfigured(name string) {
	s.t.Helper()
	if local := tools.images["INMANTA_ORCHESTRATOR_IMAGE"]; local != "" {
		s.tag(local, name)
	}
}
