package plan

import (
	"maps"
	"slices"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/moby/api/types/container"
)

// Program is a file of the host's that containers mount and run. A container
// goes on with the one that it was started with, whatever takes its place.
// The zero Program is none.
type Program struct {
	// Path is the source of the mounts.
	Path string
	// Digest tells its contents apart; no secret.
	Digest string
	// Since is when that content got there, by the engine's clock; zero where it
	// is put there just before the plan is carried out.
	Since time.Time
}

// programLabel holds the digest of the program that a container was made with.
const programLabel = ownLabelPrefix + "program"

// mountedBy says that the service's containers mount the program.
func (p Program) mountedBy(s types.ServiceConfig) bool {
	return p.Path != "" && slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool {
		return v.Type == types.VolumeTypeBind && v.Source == p.Path
	})
}

// runBy says that the container runs the program as it is now. It was started
// since, by whomever: what is mounted is what is there then. Or it was made with
// it, and this is its only run.
func (p Program) runBy(c ObservedContainer) bool {
	if !p.Since.IsZero() && c.Started.After(p.Since) {
		return true
	}
	return c.Config.Labels[programLabel] == p.Digest && c.Finished.IsZero() && c.Restarts == 0
}

// programReasons say that the container runs another program than is mounted
// now. One that does not run gets it with its start.
func (m *maker) programReasons(s types.ServiceConfig, c ObservedContainer) []Reason {
	running := c.State == container.StateRunning || c.State == container.StatePaused
	if !running || !m.Program.mountedBy(s) || m.Program.runBy(c) {
		return nil
	}
	r := m.said("services."+s.Name+".volumes", "%s is another program than the one that it runs", m.Program.Path)
	if made := c.Config.Labels[programLabel]; made != "" && made != m.Program.Digest {
		r.From, r.To = made[:min(len(made), shortID)], m.Program.Digest[:min(len(m.Program.Digest), shortID)]
	}
	return []Reason{r}
}

// mark is the service with the program's digest in a label, if it mounts it.
func (p Program) mark(s types.ServiceConfig) types.ServiceConfig {
	if p.mountedBy(s) {
		s.CustomLabels = maps.Clone(s.CustomLabels).Add(programLabel, p.Digest)
	}
	return s
}
