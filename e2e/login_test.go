package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

// authentication is what an operator adds to have the orchestrator ask for logins.
const authentication = `services:
  server:
    configs:
      - source: authentication
        target: /etc/inmanta/inmanta.d/authentication.cfg
configs:
  authentication:
    content: |
      [server]
      auth = true
      auth-method = database
      [auth_jwt_default]
      algorithm = HS256
      sign = true
      client_types = agent,compiler,api
      key = rID3kG4OwGpajIsxnGDhat4UFcMkyFZQc1y3oKQTPRs
      expire = 0
      issuer = https://localhost:8888/
      audience = https://localhost:8888/
`

// An orchestrator that asks for a login serves, too: what it says to everybody
// is enough for up and status.
func TestOrchestratorThatAsksForALogin(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.write("docker-compose.login.yml", authentication)
	s.must("--with", "login", "up")
	if err := s.get("/api/v1/serverstatus", nil); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("the status is given to everybody: %v", err)
	}
	r := s.must("status", "--json")
	var found struct {
		Health       string
		URL          string
		Orchestrator any
	}
	if err := json.Unmarshal([]byte(r.stdout), &found); err != nil {
		t.Fatal(err)
	}
	if found.Health != "healthy" || !strings.HasPrefix(found.URL, "http://127.0.0.1:") || found.Orchestrator != nil {
		t.Errorf("status finds %+v", found)
	}
}

// A backup of one is of one moment, too, restored with its environments, and leaves
// none halted; one that signs no tokens is told what to do.
func TestBackupBehindALogin(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	s.must("up")
	s.runningAndHalted()
	s.write("docker-compose.login.yml", authentication)
	s.must("--with", "login", "up")
	states := func() string {
		return s.docker("exec", s.db(), "psql", "-qtA", "-U", "inmanta", "-c", "select string_agg(name || ' ' || halted, ', ' order by name) from environment")
	}
	const want = "halted true, running false"
	made := s.backedUp()
	if !made.Consistent || made.HaltedSeconds == 0 {
		t.Errorf("made is %+v", made)
	}
	if got := states(); got != want {
		t.Errorf("after the backup they are %s, want %s", got, want)
	}
	s.says(s.must("backup", "verify", made.Where).stderr, "with 2 environments")
	s.must("restore", "--replace", made.Where)
	if got := states(); got != want {
		t.Errorf("restored they are %s, want %s", got, want)
	}
	s.write("docker-compose.login.yml", strings.Replace(authentication, "sign = true", "sign = false", 1))
	s.must("up")
	s.fails(1, []string{"cannot be halted", "sign = true", "--online"}, "backup")
}
