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
