package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The headings of the seed's examples.
const (
	openSource = "Deploy the oss orchestrator"
	service    = "Deploy the service orchestrator"
	overSSH    = "Deploy the orchestrator with an ssh sidecar"
	logRotated = "Deploy the orchestrator with a logrotate sidecar"
	// initSidecar is run by TestInitExample.
	initSidecar = "Deploy the service orchestrator with an init sidecar"
	// codeSidecarExample is run by TestCodeExample.
	codeSidecarExample = "Deploy the service orchestrator with a code-server sidecar"
	// dumpExample is run by TestDumpExample.
	dumpExample = "Deploy the orchestrator with a db-dump sidecar"
	// durableExample is run by TestDurableExample.
	durableExample = "Deploy the service orchestrator with a database replication"
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
	return commands(block)
}

// The pages whose commands are run.
const (
	sshPage       = "../docs/sidecars/ssh.md"
	logrotatePage = "../docs/sidecars/logrotate.md"
)

// fenced are a page's blocks of a language, in order.
func fenced(t *testing.T, page, language string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for i, block := range strings.Split(string(text), "```"+language+"\n") {
		if i > 0 {
			block, _, _ = strings.Cut(block, "```")
			blocks = append(blocks, block)
		}
	}
	return blocks
}

// The README's other lines run in their order, and each does what is said of it
// here: a line of which nothing is said is a line that nobody tried.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	var made []string
	where := fmt.Sprintf("http://127.0.0.1:%d", s.port)
	tried := map[string]func() []string{
		"./inmanta-docker init /srv/inmanta": func() []string {
			if info, err := os.Stat(filepath.Join(s.dir, ".env")); err != nil || info.Mode().Perm() != 0o600 || !strings.Contains(s.read(".env"), "INMANTA_DATABASE_PASSWORD=") {
				t.Errorf("init leaves .env as %v, %v:\n%s", info, err, s.read(".env"))
			}
			return []string{"wrote " + s.dir + "/docker-compose.yml", "inmanta-sidecar"}
		},
		"cd /srv/inmanta": func() []string { return nil },
		"inmanta-docker up": func() []string {
			s.serves()
			if got := s.containers(); made != nil && !slices.Equal(got, made) {
				t.Errorf("the second up made %v of %v", got, made)
			}
			made = s.containers()
			return []string{where, s.server(), s.db(), "Open Source Edition"}
		},
		"inmanta-docker status":                        func() []string { return []string{"healthy", where, "PostgreSQL"} },
		"inmanta-docker up --dry-run":                  func() []string { return []string{"leave     container " + s.server()} },
		"inmanta-docker logs --tail 20 server":         func() []string { return []string{"INFO"} },
		"inmanta-docker explain services.server.ports": func() []string { return []string{"INMANTA_ORCHESTRATOR_PORT", s.dir + "/.env:"} },
		"inmanta-docker backup":                        func() []string { return []string{"database and state of one moment"} },
		"inmanta-docker down": func() []string {
			if got := s.containers(); len(got) != 0 {
				t.Errorf("after down there is %v", got)
			}
			return nil
		},
	}
	for _, line := range otherExamples(t) {
		done, known := tried[line]
		if !known {
			t.Errorf("the README's line is run by no test: %s", line)
			continue
		}
		// A release is unpacked where the binaries are built.
		in := s.dir
		if strings.HasPrefix(line, "./") {
			in = tools.dir
		}
		r := s.sh("cd " + in + "; " + strings.ReplaceAll(line, "/srv/inmanta", s.dir))
		if r.code != 0 {
			t.Fatalf("%s: exit code %d\n%s%s", line, r.code, r.stdout, r.stderr)
		}
		for _, word := range done() {
			if !strings.Contains(r.stdout+r.stderr, word) {
				t.Errorf("%s does not say %q:\n%s%s", line, word, r.stdout, r.stderr)
			}
		}
	}
}

// otherExamples are the lines of the README's shell blocks but for those that
// scenarios of their own run.
func otherExamples(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var others []string
	for i, block := range strings.Split(string(text), "```bash\n") {
		if i == 0 {
			continue
		}
		block, _, _ = strings.Cut(block, "```")
		lines := commands(block)
		if !slices.ContainsFunc([]string{openSource, service, overSSH, logRotated, initSidecar, codeSidecarExample, dumpExample, durableExample}, func(heading string) bool { return slices.Equal(lines, example(t, heading)) }) {
			others = append(others, lines...)
		}
	}
	return others
}

// commands are the lines of a shell block without its comments.
func commands(block string) []string {
	var lines []string
	for line := range strings.Lines(block) {
		line, _, _ = strings.Cut(line, " # ")
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
			s.tagConfigured(borrowed[0])
			lines := example(t, openSource)
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
					s.comesUp()
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
			s.tagConfigured(borrowed[1])
			s.licence()
			if r := s.sh("mkdir mine && mv license/example.com.* mine"); r.code != 0 {
				t.Fatal(r.stderr)
			}
			for _, line := range example(t, service) {
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
				s.comesUp()
				if tool == "inmanta-docker" { // which remembers what it was told, for both
					if want := "COMPOSE_FILE=docker-compose.yml:docker-compose.iso.yml\n"; !strings.Contains(s.read(".env"), want) {
						t.Errorf("up does not remember the topology:\n%s", s.read(".env"))
					}
					s.same("config", "config --hash server")
				}
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

// runsExample runs the lines of one of the README's examples of a sidecar as they
// stand, with a tool. up is called when all is up and healthy; of the deployment so
// many volumes stay after down, and nothing after down -v.
func (s *stack) runsExample(heading, tool, container string, volumes int, up func()) {
	s.t.Helper()
	s.ok("sed -i '/^COMPOSE_FILE=/d' .env")
	s.tagConfigured(borrowed[0])
	for _, line := range example(s.t, heading) {
		line = strings.ReplaceAll(line, "INMANTA_ORCHESTRATOR_IMAGE=...", "INMANTA_ORCHESTRATOR_IMAGE="+borrowed[0])
		ours := strings.ReplaceAll(line, "sudo docker compose", tool)
		r := s.sh(ours)
		if r.code != 0 {
			s.t.Fatalf("%s: exit code %d\n%s%s", ours, r.code, r.stdout, r.stderr)
		}
		switch {
		case strings.HasSuffix(line, "up -d"):
			s.comesUp()
			s.healthy()
			up()
		case strings.HasSuffix(line, "ps -a"):
			s.says(r.stdout, container, s.server(), s.db())
		case strings.HasSuffix(line, "down"):
			if got := s.volumes(); len(s.containers()) != 0 || len(got) != volumes {
				s.t.Errorf("after %s there are %v and the volumes %v", ours, s.containers(), got)
			}
		case strings.HasSuffix(line, "down -v"):
			if got := append(s.containers(), s.volumes()...); len(got) != 0 {
				s.t.Errorf("after %s there is %v", ours, got)
			}
		}
	}
}
