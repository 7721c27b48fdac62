package e2e

import (
	"slices"
	"testing"
)

// upstream is the deployment as the shell-and-apt version of these files
// describes it: the same services, user, password and volume keys.
const upstream = `services:
  db:
    image: "${POSTGRESQL_IMAGE}"
    container_name: "${INMANTA_NAME}-db"
    environment: {POSTGRES_USER: inmanta, POSTGRES_PASSWORD: inmanta}
    volumes: ["inmanta-db-data:/var/lib/postgresql/data"]
  server:
    image: "${INMANTA_ORCHESTRATOR_IMAGE}"
    container_name: "${INMANTA_NAME}-orchestrator"
    ports: ["127.0.0.1:${INMANTA_ORCHESTRATOR_PORT}:8888"]
    environment:
      INMANTA_DATABASE_HOST: "${INMANTA_NAME}-db"
      INMANTA_DATABASE_USERNAME: inmanta
      INMANTA_DATABASE_PASSWORD: inmanta
    volumes: ["inmanta-server-data:/var/lib/inmanta", "inmanta-server-logs:/var/log/inmanta"]
volumes:
  inmanta-db-data: {}
  inmanta-server-data: {}
  inmanta-server-logs: {}
`

// A deployment made by upstream's files comes up on its volumes, from a
// directory of the same name, with nothing lost.
func TestUpstreamVolumes(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.write("docker-compose.yml", upstream)
	if r := s.sh("docker compose up -d"); r.code != 0 {
		t.Fatalf("upstream's files: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	s.comesUp()
	s.project("precious")
	s.docker("exec", s.server(), "sh", "-c", "echo kept > /var/lib/inmanta/kept && echo kept > /var/log/inmanta/kept.log")
	if r := s.sh("docker compose down && rm docker-compose.yml"); r.code != 0 {
		t.Fatalf("down: %s%s", r.stdout, r.stderr)
	}
	before := s.volumes()

	s.must("init", s.dir)
	s.must("up")
	s.serves()
	if got := s.projects(); !slices.Equal(got, []string{"precious"}) {
		t.Errorf("projects after the change of files: %v", got)
	}
	for _, file := range []string{"/var/lib/inmanta/kept", "/var/log/inmanta/kept.log"} {
		if got := s.docker("exec", s.server(), "cat", file); got != "kept" {
			t.Errorf("%s holds %q", file, got)
		}
	}
	if got := s.volumes(); !slices.Equal(got, before) {
		t.Errorf("volumes %v became %v", before, got)
	}
}
