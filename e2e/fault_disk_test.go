package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/inmanta/inmanta-docker/readiness"
)

// A disk that is too small for a database, and one that fills up later: up
// names it, status tells, and when there is room again nothing is lost.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	disk, resize := s.smallDisk("30m")
	s.write("small.yml", `volumes:
  inmanta-db-data:
    driver_opts: {type: none, o: bind, device: "`+disk+`"}
`)
	s.set("COMPOSE_FILE", "docker-compose.yml:small.yml")

	report := s.broken("db", "disk-full")
	s.says(report.What, s.db(), "the disk is full")
	s.says(report.Cause.Line, "No space left on device")
	s.says(report.Cause.Fix, "free some space")
	if code := s.statusCode(); code != 3 && code != 4 {
		t.Errorf("status ends with %d", code)
	}

	resize("80m")
	s.mends(s.db())
	s.must("up")
	s.project("precious")

	// Somebody else's file takes the rest, and the database wants to write.
	rest := filepath.Join(disk, "rest")
	if err := os.WriteFile(rest, bytes.Repeat([]byte{1}, 80<<20), 0o600); err == nil {
		t.Fatal("the disk does not fill")
	}
	// More than one file of the write-ahead log; psql says that it lost the connection.
	s.sh("docker exec " + s.db() + ` psql -q -U inmanta -c "select length(pg_logical_emit_message(false, 'e2e', repeat('x', 20000000))::text)" || true`)
	s.until("the database ends", func() bool { return s.restarts(s.db()) > 0 })
	s.fails(3, []string{"unhealthy", s.db()}, "status")
	report = s.broken("db", "disk-full")
	if !slices.ContainsFunc(report.Blocked, func(w readiness.Waiting) bool { return w.Name == s.server() }) {
		t.Errorf("the orchestrator does not wait for it: %+v", report)
	}

	if err := os.Remove(rest); err != nil {
		t.Fatal(err)
	}
	s.mends(s.db())
	s.must("up")
	s.keeps("precious")
}

// mends waits until the engine has started a container again that has met what
// was mended and not what was wrong.
func (s *stack) mends(container string) {
	s.t.Helper()
	s.until(container+" is well again by itself", func() bool {
		return s.docker("inspect", "-f", "{{.State.Status}} {{.State.Health.Status}}", container) == "running healthy"
	})
}

// smallDisk is a file system of its own in the deployment's directory, of a size
// that resize changes.
func (s *stack) smallDisk(size string) (path string, resize func(size string)) {
	s.t.Helper()
	path = filepath.Join(s.dir, "disk")
	if err := os.Mkdir(path, 0o755); err != nil {
		s.t.Fatal(err)
	}
	mount := func(flags uintptr, size string) {
		s.t.Helper()
		if err := syscall.Mount("tmpfs", path, "tmpfs", flags, "size="+size); err != nil {
			s.t.Fatalf("making a small disk, which takes root: %v", err)
		}
	}
	mount(0, size)
	s.t.Cleanup(func() { _ = syscall.Unmount(path, syscall.MNT_DETACH) })
	return path, func(size string) { mount(syscall.MS_REMOUNT, size) }
}
