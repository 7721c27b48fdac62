package command

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/readiness"
)

// What the sidecar prints, as it is shown.
func TestRotationLine(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		`{"healthy": true, "reasons": [], "folder": "/var/log/inmanta", "free_bytes": 1, "logs": []}`: "0 logs (0B), 0 archives (0B)\nlast rotation: none",
		`{"healthy": true, "next": "2026-11-28T00:00:00Z", "logs": [
			{"name": "server.log", "size_bytes": 1048576, "writer": "reopens", "last_rotation": "2026-11-27T00:00:00Z", "next_rotation": "2026-11-28T00:00:00Z",
			 "archives": [{"file": "server.log-20261126T000000Z.gz", "time": "2026-11-26T00:00:00Z", "size_bytes": 1024, "format": "gzip"}, {"file": "server.log-20261127T000000Z.gz", "time": "2026-11-27T00:00:00Z", "size_bytes": 1024, "format": "gzip"}], "waiting": []},
			{"name": "agent.out", "size_bytes": 1048576, "writer": "own offset", "last_rotation": "2026-11-26T00:00:00Z",
			 "archives": [], "waiting": [{"file": "agent.out-20261127T000000Z", "size_bytes": 5, "why": "held"}]}]}`: "2 logs (2MiB), 2 archives (2KiB), 1 set aside\nlast rotation: 2026-11-27T00:00:00Z (12 hours ago), next: 2026-11-28T00:00:00Z (in 12 hours)",
	} {
		var found rotation
		if err := json.Unmarshal([]byte(text), &found); err != nil {
			t.Fatal(err)
		}
		if got := rotationLine(found, now); got != want {
			t.Errorf("%s\nis shown as\n%s\nwant\n%s", text, got, want)
		}
	}
}

// A log that could not be rotated is a deployment that is not well, before the
// engine's own check has noticed.
func TestVerdictOnRotation(t *testing.T) {
	found := status{Containers: []readiness.Container{{ID: "1", Name: "lab-logrotate-sidecar", Service: "logrotate", State: "running", Health: "healthy"}}}
	for name, c := range map[string]struct {
		rotation *rotation
		failed   error
		health   health
		reasons  []string
	}{
		"well":       {rotation: &rotation{Healthy: true}, health: healthy},
		"not well":   {rotation: &rotation{Reasons: []string{"server.log: no space", "a.log: gone"}}, health: unhealthy, reasons: []string{"logrotate: server.log: no space", "logrotate: a.log: gone"}},
		"no answer":  {failed: errors.New("what it rotates could not be had\nat all"), health: unhealthy, reasons: []string{"what it rotates could not be had"}},
		"not looked": {health: healthy},
	} {
		t.Run(name, func(t *testing.T) {
			found := found
			found.Logrotate = c.rotation
			if got, reasons := judge(found, []string{"logrotate"}, c.failed); got != c.health || !slices.Equal(reasons, c.reasons) && len(reasons)+len(c.reasons) > 0 {
				t.Errorf("it is %s for %q, want %s for %q", got, reasons, c.health, c.reasons)
			}
		})
	}
}

func TestBounded(t *testing.T) {
	b := bounded{most: 5}
	if n, err := b.Write([]byte("12345")); n != 5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := b.Write([]byte("6")); err == nil || !strings.Contains(err.Error(), "more than 5 bytes") || b.String() != "12345" {
		t.Errorf("%v, and it holds %q", err, b.String())
	}
}
