package preflight

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/topology"
)

// mentioned says that a compose file of the topology uses the variable.
func (r *report) mentioned(name string) bool {
	return slices.ContainsFunc(r.stack.Sources, func(source topology.Source) bool {
		return slices.Contains(topology.Variables(string(source.Text)), name)
	})
}

// settings judges every setting that has a value by its own check. One that the
// topology does not use does no harm yet.
func (r *report) settings() {
	for _, s := range settings.All {
		value, from, set := r.deployment.Setting(s.Name)
		if !set || s.Check == nil {
			continue
		}
		what, fix := s.Check(value)
		if what == "" {
			continue
		}
		p := problem.Problem{ID: "setting-invalid", Where: from.Place(), What: what, Fix: fix}
		if from.Source == deployment.FromEnv {
			p.What = s.Name + ": " + what
		}
		if r.stack.Project != nil && !r.mentioned(s.Name) {
			p.What += " (nothing in this topology uses it)"
			r.warn(p)
			continue
		}
		r.refuse(p)
	}
}

// ours begin the names of variables that can only be meant for this deployment.
var ours = []string{"INMANTA_", "POSTGRESQL_"}

// misspelt finds variables that look like a setting and are none. The shell
// holds much that is meant for others, so there only our own names count.
func (r *report) misspelt() {
	for _, name := range slices.Sorted(maps.Keys(r.deployment.Variables)) {
		v := r.deployment.Variables[name]
		if v.Source == deployment.Shell && !slices.ContainsFunc(ours, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			continue
		}
		meant, ok := settings.Meant(name)
		if !ok || r.mentioned(name) {
			continue
		}
		r.refuse(problem.Problem{
			ID: "setting-unknown", Where: v.Place(), What: fmt.Sprintf("there is no setting %s; %s is meant, it seems", name, meant),
			Fix: fmt.Sprintf("write %s instead, or remove it", meant),
		})
	}
}

// envModes finds secrets in files that others can read.
func (r *report) envModes() {
	for _, file := range r.deployment.EnvFiles {
		mode := r.facts.EnvModes[file.Path].Perm()
		if mode&(fs.FileMode(0o077)) == 0 {
			continue
		}
		for _, s := range settings.All {
			if line := file.Line(s.Name); s.Secret && line > 0 {
				r.warn(problem.Problem{
					ID: "secret-readable", Where: fmt.Sprintf("%s:%d", file.Path, line),
					What: fmt.Sprintf("%s stands in a file that others on this host may read (mode %04o)", s.Name, mode),
					Fix:  "chmod 600 " + file.Path,
				})
			}
		}
	}
}

// place is where to change the value that a compose file has at path: the
// setting that makes it what it is, if one does, with the place of that
// setting's value; else the file and line.
func (r *report) place(path, value string) (where, setting string) {
	for _, name := range r.stack.Settings(path) {
		held, from, set := r.deployment.Setting(name)
		if held != value {
			continue
		}
		if set {
			return from.Place(), name
		}
		return name + " (default)", name
	}
	return r.origin(path), ""
}

// origin is the file and line that decides what is at path; path itself where
// no file says.
func (r *report) origin(path string) string {
	explained, ok := r.stack.Explain(r.deployment, path)
	if !ok || len(explained.Origins) == 0 {
		return path
	}
	last := explained.Origins[len(explained.Origins)-1]
	return fmt.Sprintf("%s:%d", last.File, last.Line)
}

// environment is a variable of a service's environment.
func (r *report) environment(service, name string) string {
	if value := r.stack.Project.Services[service].Environment[name]; value != nil {
		return *value
	}
	return ""
}

// placed is a problem with a variable that a service has from a setting, at the
// place that gave it its value.
func (r *report) placed(service string, p problem.Problem) problem.Problem {
	name := p.Where
	p.Where, _ = r.place("services."+service+".environment."+name, r.environment(service, name))
	if !strings.Contains(p.Where, name) {
		p.What = name + ": " + p.What
	}
	return p
}
