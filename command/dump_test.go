package command

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/readiness"
)

// What the sidecar prints, as it is shown.
func TestDumpsLine(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		`{"folder": "./db-dumps", "dumps": []}`: "0 (0B) in ./db-dumps\nlast: none",
		`{"folder": "./db-dumps", "next": "2026-11-28T00:00:00Z", "dumps": [
			{"file": "a", "begun": "2026-11-26T00:00:00Z", "size_bytes": 1048576, "host": "db", "role": "primary"},
			{"file": "b", "begun": "2026-11-27T00:00:00Z", "size_bytes": 1048576, "host": "db-replica", "role": "standby"},
			{"file": "c", "begun": "2026-11-27T06:00:00Z", "size_bytes": 1024, "flaw": "it has 1024 bytes"}]}`: "3 (2.001MiB) in ./db-dumps\nlast: 2026-11-27T00:00:00Z (12 hours ago), of db-replica (standby), next: 2026-11-28T00:00:00Z (in 12 hours)",
		`{"folder": "/mnt", "running": {"host": "db"}, "next": "2026-11-27T00:00:00Z", "dumps": [{"file": "a", "begun": "2026-11-26T00:00:00Z", "size_bytes": 1}]}`: "1 (1B) in /mnt\nlast: 2026-11-26T00:00:00Z (36 hours ago), one of db is being made",
	} {
		var found dumps
		if err := json.Unmarshal([]byte(text), &found); err != nil {
			t.Fatal(err)
		}
		if got := dumpsLine(found, now); got != want {
			t.Errorf("%s\nis shown as\n%s\nwant\n%s", text, got, want)
		}
	}
}

// A dump that failed is a deployment that is not well, before the engine's own check
// has noticed.
func TestVerdictOnDumps(t *testing.T) {
	found := status{Containers: []readiness.Container{{ID: "1", Name: "lab-db-dump-sidecar", Service: "db-dump", State: "running", Health: "healthy"}}}
	for name, c := range map[string]struct {
		dumps   *dumps
		failed  error
		health  health
		reasons []string
	}{
		"well":       {dumps: &dumps{Healthy: true}, health: healthy},
		"not well":   {dumps: &dumps{Reasons: []string{"a dump failed; do something"}}, health: unhealthy, reasons: []string{"db-dump: a dump failed; do something"}},
		"no answer":  {failed: errors.New("what it has could not be had\nat all"), health: unhealthy, reasons: []string{"what it has could not be had"}},
		"not looked": {health: healthy},
	} {
		found := found
		found.Dumps = c.dumps
		if got, reasons := judge(found, []string{"db-dump"}, c.failed); got != c.health || !slices.Equal(reasons, c.reasons) && len(reasons)+len(c.reasons) > 0 {
			t.Errorf("%s: it is %s for %q, want %s for %q", name, got, reasons, c.health, c.reasons)
		}
	}
}
