package preflight

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/deployment"
)

// mountsSidecar is an overlay of the user's that mounts the sidecars' binary.
const mountsSidecar = `services:
  server:
    volumes:
      - {type: bind, source: ./inmanta-sidecar, target: /usr/local/bin/inmanta-sidecar, bind: {create_host_path: false}}
`

func TestSidecarBinary(t *testing.T) {
	l := newLab(t).write(map[string]string{"own.yml": mountsSidecar}).with("own.yml")
	d, s := l.open()
	path := filepath.Join(l.dir, deployment.SidecarFile)
	sound := deployment.Sidecar{Path: path, Digest: "d", Since: time.Unix(1, 0), Processor: "amd64"}
	for name, c := range map[string]struct {
		change   func(*deployment.Sidecar)
		problems []want
	}{
		"sound":            {change: func(*deployment.Sidecar) {}},
		"to be put there":  {change: func(s *deployment.Sidecar) { s.From, s.Since = "/opt/inmanta-sidecar", time.Time{} }},
		"missing":          {func(s *deployment.Sidecar) { s.Digest = "" }, []want{{"sidecar-missing", "inmanta-sidecar", "nor beside inmanta-docker", "make build"}}},
		"a directory":      {func(s *deployment.Sidecar) { *s = deployment.Sidecar{Path: path, Irregular: true} }, []want{{"sidecar-irregular", "inmanta-sidecar", "makes a directory", "rmdir " + path}}},
		"no right to it":   {func(s *deployment.Sidecar) { s.From, s.Locked = "/opt/x", "permission denied" }, []want{{"sidecar-locked", "inmanta-sidecar", "(permission denied)", "write to " + l.dir}}},
		"no program":       {func(s *deployment.Sidecar) { s.Processor = "" }, []want{{"sidecar-invalid", "inmanta-sidecar", "no program", "release archive"}}},
		"of other machine": {func(s *deployment.Sidecar) { s.Processor = "arm64" }, []want{{"sidecar-platform", "inmanta-sidecar", "made for arm64, and the engine runs amd64", "for amd64"}}},
	} {
		t.Run(name, func(t *testing.T) {
			f := fine(s)
			sidecar := sound
			c.change(&sidecar)
			f.Sidecar, f.Absent = &sidecar, []string{path}
			problems, warnings := Check(d, s, f)
			l.expect("problem", problems, c.problems...)
			l.expect("warning", warnings)
		})
	}
}
