package postgres

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/inmanta/inmanta-docker/sidecar/process"
)

// A server does not start where a file names a process that lives, which in a
// container that was killed and started again is the number of anybody.
func TestLeftoversOfAKilledServer(t *testing.T) {
	t.Parallel()
	want := []string{"/data/postmaster.pid", "/var/run/postgresql/.s.PGSQL.5432.lock", "/var/run/postgresql/.s.PGSQL.5432"}
	if got := leftovers("/data"); !slices.Equal(got, want) {
		t.Errorf("removed before a start: %v, want %v", got, want)
	}
}

// The agent buries whatever child ends that is not its nursery's, and whoever
// waits for that one is told that there is none.
func TestTheControlFileIsReadBesideBurials(t *testing.T) {
	folder := t.TempDir()
	script := `#!/bin/sh
echo 'Database system identifier: 7'
echo 'Database cluster state: in production'
echo "Latest checkpoint location: 0/10"
echo "Latest checkpoint's TimeLineID: 3"
echo 'Minimum recovery ending location: 0/0'
echo 'Data page checksum version: 1'
`
	if err := os.WriteFile(filepath.Join(folder, "pg_controldata"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
	var nursery process.Nursery
	go func() { _ = nursery.Bury(t.Context()) }()
	for range 50 {
		if c, err := control(t.Context(), &nursery, Config{}, "/data"); err != nil || c.Timeline != 3 {
			t.Fatalf("%+v, %v", c, err)
		}
	}
}
