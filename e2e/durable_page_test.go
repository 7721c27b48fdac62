package e2e

import (
	"strings"
	"testing"
)

const durablePage = "../docs/durable.md"

// The operator's book, from its first command to its last, with what each of them
// is for done before it; what was written at the start is there at the end.
func TestDurablePage(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.composeFiles()
	s.set("INMANTA_DATABASE_PASSWORD", "before")
	standby := s.name + "-db-replica"
	before := map[string]func(){
		"inmanta-docker db switchover": func() {
			s.docker("exec", s.db(), "psql", "-XqU", "inmanta", "-c", "CREATE TABLE kept AS SELECT 42 AS n")
		},
		"inmanta-docker db failover":                                               func() { s.docker("kill", standby) }, // the primary, by then
		"inmanta-docker db rejoin":                                                 func() {},
		"inmanta-docker db reinit db-replica":                                      func() {},
		"inmanta-docker -f docker-compose.yml -f docker-compose.db-replica.yml up": func() {},
		"inmanta-docker db status":                                                 func() {},
		"inmanta-docker secrets rotate":                                            func() {},
		"inmanta-docker -f docker-compose.yml up":                                  func() {},
		"docker rm -f inmanta-db-replica":                                          func() {},
	}
	for i, block := range fenced(t, durablePage, "bash") {
		for n, line := range commands(block) {
			prepare, known := before[line]
			if !known {
				t.Errorf("nobody has said what this line of the page is for: %s", line)
				continue
			}
			if n == 0 && i > 0 && line == "inmanta-docker db rejoin" {
				s.docker("kill", standby) // the standby, by then
			}
			prepare()
			if r := s.sh("cd " + s.dir + "; " + strings.ReplaceAll(line, "inmanta-db-replica", standby)); r.code != 0 {
				t.Fatalf("%s: exit code %d\n%s%s", line, r.code, r.stdout, r.stderr)
			}
		}
	}
	s.healthy()
	if got := s.docker("exec", s.db(), "psql", "-XAtU", "inmanta", "-c", "SELECT n FROM kept"); strings.TrimSpace(got) != "42" {
		t.Errorf("what was written is %q", got)
	}
	if got := s.containers(); strings.Contains(strings.Join(got, " "), "replica") {
		t.Errorf("there is %v", got)
	}
}
