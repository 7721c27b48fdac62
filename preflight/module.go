package preflight

import (
	"fmt"
	"strings"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/sidecar/modulesource"
	"github.com/inmanta/inmanta-docker/topology"
)

// module judges what the init sidecar is told of a module, with the sidecar's
// own eyes. Whether the repository is there, only the sidecar can find out.
func (r *report) module() {
	service, ok := r.stack.Project.Services[topology.Init]
	if !ok {
		return
	}
	told := func(setting string) (value, where string) {
		if held := service.Environment[setting]; held != nil {
			value = *held
		}
		where, _ = r.place("services."+topology.Init+".environment."+setting, value)
		return value, where
	}
	refuse := func(where string, err error) {
		for _, p := range problem.In(err) {
			p.Where = where
			r.refuse(p)
		}
	}
	text, where := told(settings.ModuleRepoURL)
	if text == "" {
		r.refuse(problem.Problem{
			ID: "module-missing", Where: settings.ModuleRepoURL,
			What: "there is no module to initialise the orchestrator with",
			Fix: fmt.Sprintf("name the repository of one: echo %s=https://… >> %s; or leave docker-compose.init.yml out",
				settings.ModuleRepoURL, r.envFile()),
		})
	}
	repository, err := modulesource.ParseURL(text)
	if text != "" {
		refuse(where, err)
	}
	branch, at := told(settings.ModuleRepoBranch)
	refuse(at, modulesource.CheckBranch(branch))
	arguments, at := told(settings.PytestArguments)
	_, split := modulesource.Arguments(arguments)
	refuse(at, split)
	key := r.secretOf("module-repo-ssh-key")
	if key != "" {
		refuse(settings.ModuleRepoKey, modulesource.CheckKey(key+"\n"))
	}
	if err != nil {
		return
	}
	overSSH := repository.Transport == modulesource.SSH
	switch {
	case overSSH && r.secretOf("module-repo-known-hosts") == "":
		r.warn(problem.Problem{
			ID: "module-host-key", Where: where,
			What: fmt.Sprintf("no host key of %s is known, so the init sidecar will not believe that it is that host", repository.Host),
			Fix: fmt.Sprintf("once you have made sure that they are its own, put the lines of `ssh-keyscan %s` into %s, between single quotes",
				repository.Host, settings.ModuleRepoHosts),
		})
	case !overSSH && key != "":
		r.warn(problem.Problem{
			ID: "module-key-unused", Where: settings.ModuleRepoKey, What: "the repository's URL is none of ssh, so the key is of no use",
			Fix: "write the URL as git@HOST:PATH, or remove the key",
		})
	case repository.Transport == modulesource.HTTP && r.secretOf("module-repo-token") != "":
		r.warn(problem.Problem{
			ID: "module-token-in-clear", Where: where, What: "the repository's token goes over the network in clear", Fix: "use its https URL",
		})
	}
}

// secretOf is the content of a config, without the line breaks around it.
func (r *report) secretOf(config string) string {
	return strings.TrimSpace(r.stack.Project.Configs[config].Content)
}
