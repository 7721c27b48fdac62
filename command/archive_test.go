package command

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/readiness"
)

// What the db-archive sidecar prints, as it is shown.
func TestArchiveLine(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		`{"folder": "./db-archive", "stretches": [{"name": "lab-1"}]}`: "in ./db-archive\nnothing can be brought back yet",
		`{"folder": "/mnt", "next": "2026-11-29T00:00:00Z", "stretches": [
			{"name": "lab-1", "from": "2026-11-20T00:00:00Z", "to": "2026-11-25T12:00:00Z"}, {"name": "lab-2", "from": "2026-11-26T00:00:00Z", "to": "2026-11-27T11:59:58Z"}]}`: "in /mnt\nfrom 2026-11-20T00:00:00Z to 2026-11-25T12:00:00Z (2 days ago)\nfrom 2026-11-26T00:00:00Z to 2026-11-27T11:59:58Z (2 seconds ago)\nnext base backup: 2026-11-29T00:00:00Z (in 36 hours)",
	} {
		var found archive
		if err := json.Unmarshal([]byte(text), &found); err != nil {
			t.Fatal(err)
		}
		if got := archiveLine(found, now); got != want {
			t.Errorf("%s\nis shown as\n%s\nwant\n%s", text, got, want)
		}
	}
}

// An archive that is not written is a deployment that is not well.
func TestVerdictOnTheArchive(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		archive *archive
		failed  error
		health  health
		reasons []string
	}{
		"well":      {archive: &archive{Healthy: true}, health: healthy},
		"not well":  {archive: &archive{Reasons: []string{"nothing is archived; do something"}}, health: unhealthy, reasons: []string{"db-archive: nothing is archived; do something"}},
		"no answer": {failed: errors.New("what it has could not be had\nat all"), health: unhealthy, reasons: []string{"what it has could not be had"}},
	} {
		found := status{Archive: c.archive, Containers: []readiness.Container{{ID: "1", Name: "lab-db-archive-sidecar", Service: "db-archive", State: "running", Health: "healthy"}}}
		if got, reasons := judge(found, []string{"db-archive"}, c.failed); got != c.health || !slices.Equal(reasons, c.reasons) && len(reasons)+len(c.reasons) > 0 {
			t.Errorf("%s: it is %s for %q, want %s for %q", name, got, reasons, c.health, c.reasons)
		}
	}
}
