package preflight

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/policy"
	"github.com/inmanta/inmanta-docker/topology"
)

// Where the logrotate sidecar has its logs, and where it finds an operator's own
// configuration.
const (
	rotationFolder = "/var/log/inmanta"
	rotationPlace  = "/etc/inmanta-sidecar/logrotate.conf"
)

// rotationOf finds where the logrotate sidecar's configuration comes from, if
// there is that sidecar; in most topologies it is given none but its settings.
func rotationOf(project *types.Project) (given, bool) {
	return givenAt(project, topology.Logrotate, []string{rotationPlace})
}

// rotation judges what the logrotate sidecar goes by, as it will itself: its
// settings, or the configuration that stands in their place.
func (r *report) rotation() {
	sources, ok := rotationOf(r.stack.Project)
	if !ok {
		return
	}
	said := func(name string) string { return r.environment(topology.Logrotate, name) }
	zone, wrong := policy.Location(said)
	configured := sources.elsewhere || len(sources.mounted) > 0 && r.facts.RotationFiles == nil
	read := func(name, text string) {
		configured = true
		policies, problems := policy.ParseFile(name, text, rotationFolder, zone)
		wrong = append(wrong, problems...)
		for _, note := range policies.Notes {
			r.warn(problem.Problem{ID: "logrotate-note", Where: note.Where, What: note.What, Fix: "nothing has to be done; take it out to hear no more of it"})
		}
	}
	for _, written := range sources.written {
		read(r.origin(written.Path)+", "+written.Path, written.Text)
	}
	for _, file := range r.facts.RotationFiles {
		if file.Irregular || file.Barred || file.Unseen {
			configured = true
			r.rotationFile(file)
			continue
		}
		read(file.Path, file.Text)
	}
	switch {
	case configured:
		r.unheeded()
	case r.facts.RotationFiles != nil && r.mountsRotation():
		// Without the file to mount, the engine makes a directory.
		r.refuse(problem.Problem{
			ID: "logrotate-missing", Where: sources.mounted[0], What: "the logrotate sidecar is to be configured with this, and it is not there",
			Fix: "put your logrotate configuration there, or leave the overlay that mounts it out",
		})
	default:
		_, wrong = policy.FromSettings(said)
	}
	for _, p := range wrong {
		if strings.HasPrefix(p.Where, "INMANTA_") {
			p = r.placed(topology.Logrotate, p)
		}
		r.refuse(p)
	}
}

// mountsRotation says that something is mounted just where the configuration is.
func (r *report) mountsRotation() bool {
	return slices.ContainsFunc(r.stack.Project.Services[topology.Logrotate].Volumes, func(v types.ServiceVolumeConfig) bool {
		return path.Clean(v.Target) == rotationPlace
	})
}

// rotationFile judges a configuration that cannot be read here.
func (r *report) rotationFile(file GivenFile) {
	switch {
	case file.Irregular:
		r.refuse(problem.Problem{
			ID: "logrotate-irregular", Where: file.Path, What: "the logrotate sidecar is given this for its configuration, and it is no file that its container can see",
			Fix: "put a file there, or take the mount away",
		})
	case file.Barred:
		r.refuse(problem.Problem{
			ID: "logrotate-unreadable", Where: file.Path, What: fmt.Sprintf("the logrotate sidecar's user (uid %d) may not read this configuration", inmantaUID),
			Fix: "chmod a+r " + file.Path,
		})
	}
}

// unheeded finds settings that say something, beside a configuration that stands
// in their place.
func (r *report) unheeded() {
	for _, s := range settings.All {
		value, from, set := r.deployment.Setting(s.Name)
		if s.UsedBy != deployment.OverlayFile(topology.Logrotate) || s.Name == settings.LogrotateTimezone || !set || value == s.Default {
			continue
		}
		r.warn(problem.Problem{
			ID: "logrotate-unheeded", Where: from.Place(), What: fmt.Sprintf("%s has no effect: the configuration that is mounted at %s stands in its place", s.Name, rotationPlace),
			Fix: "remove it, or the mount",
		})
	}
}
