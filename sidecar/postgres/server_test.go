package postgres

import (
	"slices"
	"testing"
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
