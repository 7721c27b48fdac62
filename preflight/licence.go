package preflight

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/inmanta/inmanta-docker/problem"
)

// Variables of the orchestrator's that name its licence files.
const (
	entitlementVariable = "INMANTA_LICENSE_ENTITLEMENT_FILE"
	licenceVariable     = "INMANTA_LICENSE_LICENSE_KEY"
)

// mounted is one licence file that a service is told to use.
type mounted struct {
	// Variable is the one that names it, Target its path in the container.
	Variable, Target string
	// Source is the directory or file on the host that is mounted, Name the
	// file's path below it ("." for Source itself).
	Source, Name string
}

// Path is the file's place on the host.
func (m mounted) Path() string { return filepath.Join(m.Source, filepath.FromSlash(m.Name)) }

// licences are the licence files that the project's services find on bind
// mounts. One that comes from anywhere else is its owner's business.
func licences(project *types.Project) []mounted {
	var all []mounted
	for _, name := range project.ServiceNames() {
		service := project.Services[name]
		for _, variable := range []string{entitlementVariable, licenceVariable} {
			target := service.Environment[variable]
			if target == nil || !path.IsAbs(*target) {
				continue
			}
			if m, ok := bindOf(service, path.Clean(*target)); ok {
				m.Variable = variable
				all = append(all, m)
			}
		}
	}
	return all
}

// bindOf finds the bind mount that target lies on: the deepest.
func bindOf(service types.ServiceConfig, target string) (mounted, bool) {
	best, length := mounted{}, -1
	for _, v := range service.Volumes {
		point := path.Clean(v.Target)
		below := strings.TrimSuffix(point, "/") + "/"
		if target != point && !strings.HasPrefix(target, below) || len(point) <= length {
			continue
		}
		length = len(point)
		best = mounted{Target: target}
		if v.Type == types.VolumeTypeBind {
			best.Source, best.Name = v.Source, path.Clean("./"+strings.TrimPrefix(target, point))
		}
	}
	return best, best.Source != ""
}

// files judges the files that the topology mounts.
func (r *report) files() {
	all := licences(r.stack.Project)
	for _, source := range r.facts.Absent {
		if slices.ContainsFunc(all, func(m mounted) bool { return m.Source == source }) {
			continue // each file that belongs there is named below
		}
		if r.facts.Sidecar != nil && source == r.facts.Sidecar.Path {
			continue // may yet be put there
		}
		fix := "inmanta-docker init writes what belongs to the deployment; anything else, put there yourself"
		if h, ok := hostOf(r.stack.Project); ok && within(source, []string{h.folder}) {
			fix = makeCertificates
		}
		r.refuse(problem.Problem{ID: "mount-missing", Where: source, What: "the compose files mount this, and it is not there", Fix: fix})
	}
	r.sidecar()
	sound := map[string]mounted{}
	for _, m := range all {
		if file, looked := r.facts.Licences[m.Path()]; looked && r.licence(m, file) {
			sound[m.Variable] = m
		}
	}
	r.forms(sound[entitlementVariable], sound[licenceVariable])
}

// called is what people call a licence file, by the variable that names it.
var called = map[string]string{entitlementVariable: "entitlement", licenceVariable: "licence"}

// licence judges one file by all but its content.
func (r *report) licence(m mounted, file LicenceFile) (sound bool) {
	name := called[m.Variable]
	p := problem.Problem{Where: m.Path(), Fix: fmt.Sprintf("put the %s that you got from Inmanta there", name)}
	switch {
	case file.Missing:
		p.ID, p.What = "licence-missing", "there is no "+name
	case file.Irregular:
		p.ID, p.What = "licence-irregular", fmt.Sprintf("the %s is not a file that the container can see", name)
		p.Fix = "remove what is there, and " + p.Fix
	case file.Size == 0:
		p.ID, p.What = "licence-empty", fmt.Sprintf("the %s is empty", name)
	case file.Barred:
		p.ID, p.What = "licence-unreadable", fmt.Sprintf("the orchestrator's user (uid %d) may not read the %s", inmantaUID, name)
		p.Fix = fmt.Sprintf("chmod a+rx %s; chmod a+r %s", m.Source, m.Path())
	default:
		return true
	}
	r.refuse(p)
	return false
}

// forms judges whether each file holds what its name says, as far as its form
// tells: that an entitlement is a JWE is known, what a licence looks like is not.
func (r *report) forms(entitlement, licence mounted) {
	e, l := r.facts.Licences[entitlement.Path()], r.facts.Licences[licence.Path()]
	switch {
	case e.Digest != "" && e.Digest == l.Digest && entitlement.Path() != licence.Path():
		r.refuse(problem.Problem{
			ID: "licence-copied", Where: licence.Path(), What: "the licence and the entitlement are the same file",
			Fix: "put the licence here, and the entitlement at " + entitlement.Path(),
		})
	case e.Form == Other && l.Form == Encrypted:
		r.refuse(problem.Problem{
			ID: "licence-swapped", Where: licence.Path(), What: "the licence and the entitlement are swapped: this is the entitlement",
			Fix: fmt.Sprintf("exchange it with %s", entitlement.Path()),
		})
	case e.Form == Other:
		r.warn(problem.Problem{
			ID: "licence-form", Where: entitlement.Path(), What: "the entitlement does not look like one (a JWE: five parts with dots between them)",
			Fix: "compare it with the file that you got from Inmanta",
		})
	case l.Form == Encrypted:
		r.warn(problem.Problem{
			ID: "licence-form", Where: licence.Path(), What: "the licence looks like an entitlement (a JWE)",
			Fix: "compare it with the file that you got from Inmanta",
		})
	}
}
