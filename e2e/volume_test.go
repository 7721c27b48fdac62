package e2e

import (
	"slices"
	"testing"
	"time"
)

// Compose asks whether to delete and make anew a volume whose definition has
// changed. Nobody who types up means that: the data stays.
func TestChangedVolumeDefinitionKeepsTheData(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.must("init", s.dir)
	s.must("up")
	s.project("precious")
	s.write("mine.yml", `services:
  db: {environment: {CHANGED: "1"}}
volumes:
  inmanta-db-data: {labels: {mine: "1"}}
`)
	before := s.volumes()
	s.must("-f", "docker-compose.yml", "-f", "mine.yml", "up")
	// An orchestrator that lost its database answers for a moment before it ends.
	if server, db := s.started(s.server()), s.started(s.db()); server.Before(db) {
		t.Errorf("up is done with an orchestrator started at %v and its database at %v", server, db)
	}
	if got := s.projects(); !slices.Equal(got, []string{"precious"}) {
		t.Errorf("projects after a change of the volume's labels: %v", got)
	}
	if got := s.volumes(); !slices.Equal(got, before) {
		t.Errorf("volumes %v became %v", before, got)
	}
}

// started is when a container was.
func (s *stack) started(container string) time.Time {
	s.t.Helper()
	at, err := time.Parse(time.RFC3339Nano, s.docker("inspect", "-f", "{{.State.StartedAt}}", container))
	if err != nil {
		s.t.Fatal(err)
	}
	return at
}
