package preflight

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/inmanta/inmanta-docker/problem"
)

// sidecar judges the sidecars' binary: whether it is there or can be put there,
// and whether containers can run it.
func (r *report) sidecar() {
	s := r.facts.Sidecar
	if s == nil {
		return
	}
	p := problem.Problem{Where: s.Path}
	switch _, processor, _ := strings.Cut(r.facts.Platform, "/"); {
	case s.Irregular:
		p.ID, p.What = "sidecar-irregular", "the sidecars' binary belongs here, and something else is here (an engine that misses a file it mounts makes a directory)"
		p.Fix = "rmdir " + s.Path + ", then try again"
	case s.Digest == "":
		p.ID, p.What = "sidecar-missing", "the sidecars' binary is neither here, where the compose files mount it from, nor beside inmanta-docker"
		p.Fix = "copy inmanta-sidecar here from the archive that inmanta-docker came from; in a checkout: make build"
	case s.Locked != "":
		p.ID, p.What = "sidecar-locked", fmt.Sprintf("the sidecars' binary is to be put here, and cannot be (%s)", s.Locked)
		p.Fix = fmt.Sprintf("let this user write to %s, or run as its owner", filepath.Dir(s.Path))
	case s.Processor == "":
		p.ID, p.What = "sidecar-invalid", "the sidecars' binary is no program for Linux"
		p.Fix = "replace it with inmanta-sidecar from a release archive; in a checkout: make build"
	case processor != "" && s.Processor != processor:
		p.ID, p.What = "sidecar-platform", fmt.Sprintf("the sidecars' binary is made for %s, and the engine runs %s", s.Processor, processor)
		p.Fix = fmt.Sprintf("replace inmanta-docker and inmanta-sidecar with those of the release archive for %s", processor)
	default:
		return
	}
	r.refuse(p)
}
