package preflight

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/compose/v5/pkg/api"
	"go.yaml.in/yaml/v4"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/topology"
)

// services finds out whether the topology still has what the stack cannot do
// without. A database elsewhere is fine: then the orchestrator is told so.
func (r *report) services() {
	project := r.stack.Project
	server, ok := project.Services[topology.Orchestrator]
	if _, replica := project.Services[topology.Replica]; !ok && replica && r.remover(topology.Orchestrator) == "" {
		return // the second of two machines: the orchestrator is on the first
	}
	if !ok {
		r.missing(topology.Orchestrator, "without it there is no orchestrator")
		return
	}
	host := server.Environment["INMANTA_DATABASE_HOST"]
	if _, ok := project.Services[topology.Database]; !ok && host != nil && *host == topology.Database {
		r.missing(topology.Database, "the orchestrator needs it (its INMANTA_DATABASE_HOST names it)")
	}
}

func (r *report) missing(service, why string) {
	where, what := r.remover(service), fmt.Sprintf("this file takes away the service %s: %s", service, why)
	fix := "take that out of the file, or leave the file out of the topology"
	if where == "" {
		where, what = "topology", fmt.Sprintf("no compose file has the service %s: %s", service, why)
		fix = "add docker-compose.yml as the first file"
	}
	r.refuse(problem.Problem{ID: "service-missing", Where: where, What: what, Fix: fix})
}

// remover is the last file that speaks of a service, with the line; "" if none does.
func (r *report) remover(service string) string {
	for _, source := range slices.Backward(r.stack.Sources) {
		var file struct {
			Services map[string]yaml.Node `yaml:"services"`
		}
		if err := yaml.Unmarshal(source.Text, &file); err != nil {
			continue // composing has refused it
		}
		if node, speaks := file.Services[service]; speaks {
			return fmt.Sprintf("%s:%d", source.Path, node.Line)
		}
	}
	return ""
}

// containerName is what Compose names the first container of a service.
func containerName(project *types.Project, s types.ServiceConfig) string {
	if s.ContainerName != "" {
		return s.ContainerName
	}
	return project.Name + api.Separator + s.Name + api.Separator + "1"
}

// twins finds two services that want the same container name.
func (r *report) twins() {
	owners := map[string]string{}
	for _, name := range r.stack.Project.ServiceNames() {
		container := containerName(r.stack.Project, r.stack.Project.Services[name])
		if owner, taken := owners[container]; taken {
			r.refuse(problem.Problem{
				ID: "container-name-twice", Where: r.origin("services." + name + ".container_name"),
				What: fmt.Sprintf("the services %s and %s both name their container %s", owner, name, container),
				Fix:  "give one of them another container_name",
			})
		}
		owners[container] = name
	}
}

// names finds what has the names that this deployment wants.
func (r *report) names() {
	project := r.stack.Project
	for _, c := range r.facts.Containers {
		if c.Project == project.Name && c.Elsewhere {
			r.refuse(problem.Problem{
				ID: "project-name-taken", Where: "project " + project.Name,
				What: fmt.Sprintf("another deployment of the same name was made from %s", c.Dir),
				Fix: fmt.Sprintf("name this one otherwise (COMPOSE_PROJECT_NAME and %s in %s), or remove the other first: %s",
					settings.NamePrefix, r.envFile(), r.ending(c)),
			})
		}
	}
	for _, name := range project.ServiceNames() {
		wanted := containerName(project, project.Services[name])
		for _, c := range r.facts.Containers {
			if c.Name == wanted && (c.Project != project.Name || c.Service != name || c.OneOff) {
				r.nameTaken(name, c)
			}
		}
	}
}

func (r *report) nameTaken(service string, c Container) {
	if c.Project == r.stack.Project.Name && c.Elsewhere {
		return // said already: the project's name is taken, too
	}
	where, setting := r.place("services."+service+".container_name", r.prefix())
	owner, fix := r.owner(c)
	if setting != "" {
		fix = fmt.Sprintf("set %s in %s to another prefix, or %s", setting, r.envFile(), fix)
	}
	r.refuse(problem.Problem{
		ID: "container-name-taken", Where: where, What: fmt.Sprintf("%s already has the name %s", owner, c.Name), Fix: fix,
	})
}

// owner is whose container it is, and how to make its name free. Only a
// container of no deployment is to be removed by itself: another is ended
// together with what it belongs to.
func (r *report) owner(c Container) (owner, fix string) {
	if c.Project == "" {
		remove := "docker rm "
		if c.Running || c.Restarting {
			remove += "-f "
		}
		return "a container that Compose did not make", "remove it if nobody needs it any more: " + remove + c.Name
	}
	owner = fmt.Sprintf("the container of the service %s", c.Service)
	if c.OneOff {
		owner = fmt.Sprintf("a container that `docker compose run` made of the service %s", c.Service)
	}
	owner += " of the project " + c.Project
	if c.Project == r.stack.Project.Name {
		owner += ", this one,"
	} else if c.Dir != "" {
		owner += fmt.Sprintf(", made from %s,", c.Dir)
	}
	return owner, "end that deployment, whose data stays: " + r.ending(c)
}

// ending is the command that ends the deployment of a container, wherever the
// reader is. One whose directory is gone is found by its name alone, for which
// there must be no other deployment in sight.
func (r *report) ending(c Container) string {
	ours := c.Project == r.stack.Project.Name && !c.Elsewhere
	dir := "/"
	switch {
	case ours:
		dir = r.stack.Project.WorkingDir
	case c.Elsewhere:
		dir = c.Dir
	}
	down := fmt.Sprintf("cd %s && inmanta-docker -p %s down", shellWord(dir), c.Project)
	if ours || c.OneOff {
		// Its service may be gone from the files, and runs are of no service.
		down += " --remove-orphans"
	}
	return down
}

// plain is a word that means itself to every shell.
var plain = regexp.MustCompile(`^[A-Za-z0-9_/.,:=+@%-]+$`)

// shellWord is a word as a shell takes it.
func shellWord(word string) string {
	if plain.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func (r *report) prefix() string {
	prefix, _, _ := r.deployment.Setting(settings.NamePrefix)
	return prefix
}

// envFile is where this deployment's settings are written.
func (r *report) envFile() string {
	if files := r.deployment.EnvFiles; len(files) > 0 {
		return files[len(files)-1].Path
	}
	return ".env"
}
