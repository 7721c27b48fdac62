package e2e

import (
	"strings"
	"testing"
)

// New passwords reach the database, .env and the orchestrator; the old one lets
// nobody in any more.
func TestSecretsRotate(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.composeFiles()
	s.set("INMANTA_DATABASE_PASSWORD", "before")
	s.must("up")
	old := s.read(".env")
	r := s.must("secrets", "rotate")
	s.healthy()
	fresh := password(s.read(".env"), "INMANTA_DATABASE_PASSWORD")
	if before := password(old, "INMANTA_DATABASE_PASSWORD"); fresh == "" || fresh == before {
		t.Fatalf("the password was %q and is %q", before, fresh)
	}
	if strings.Contains(r.stdout+r.stderr, fresh) {
		t.Error("the new password is shown")
	}
	for word, want := range map[string]bool{fresh: true, password(old, "INMANTA_DATABASE_PASSWORD"): false} {
		in := s.letsIn(word)
		if in != want {
			t.Errorf("%v: the database lets %v in", in, word)
		}
	}
	s.fails(1, []string{"INMANTA_DATABASE_PASSWORD is not set in .env"}, "--env", "INMANTA_DATABASE_PASSWORD=elsewhere", "secrets", "rotate")
}

// Of two databases both get them, and find each other again.
func TestSecretsRotateOfTwo(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.composeFiles()
	s.must("-f", "docker-compose.yml", "-f", "docker-compose.db-replica.yml", "up")
	s.must("secrets", "rotate")
	s.healthy()
	s.must("db", "status")
	for _, name := range []string{"INMANTA_DATABASE_PASSWORD", "INMANTA_DATABASE_REPLICATION_PASSWORD"} {
		if password(s.read(".env"), name) == "" {
			t.Errorf("%s is not in .env", name)
		}
	}
	if s.letsIn("inmanta") || !s.letsIn(password(s.read(".env"), "INMANTA_DATABASE_PASSWORD")) {
		t.Error("the database does not go by the new password")
	}
	s.must("db", "switchover") // with what the standby was told
}

// password is a setting in the text of an .env.
func password(env, name string) string {
	for line := range strings.Lines(env) {
		if value, ok := strings.CutPrefix(line, name+"="); ok {
			return strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return ""
}

// letsIn says whether a password is the database's, over the network.
func (s *stack) letsIn(word string) bool {
	s.t.Helper()
	out := s.sh(`docker exec -e PGPASSWORD='` + word + `' ` + s.db() + ` sh -c 'psql -XAtq -h "$HOSTNAME" -U inmanta -d inmanta -c "select 1"'`)
	return out.code == 0 && strings.TrimSpace(out.stdout) == "1"
}
