package e2e

import (
	"strings"
	"testing"
)

// With two databases, both have what was restored, whichever of them is the
// primary; a backup of one database is restored into two.
func TestRestoreIntoTwoDatabases(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	s.must("up")
	r := &rotator{stack: s, beside: s.server()}
	r.environment("restored")
	made := s.backedUp()
	r.environment("newer")

	s.must("-f", "docker-compose.yml", "-f", "docker-compose.db-replica.yml", "up")
	s.must("db", "switchover")
	s.must("restore", "--replace", made.Where)
	s.has("restored,", "restored")
	s.says(s.must("db", "status").stdout, "durable: every commit is stored by both")
	count := "select count(*) || ' ' || min(name) from environment"
	for _, node := range []string{s.db(), s.name + "-db-replica"} {
		s.until(node+" has it", func() bool {
			return strings.TrimSpace(s.docker("exec", node, "psql", "-XAtU", "inmanta", "-c", count)) == "1 restored"
		})
	}
	again := s.backedUp() // of the primary, which is the replica now
	s.says(s.must("backup", "verify", again.Where).stderr, "can be restored")
}
