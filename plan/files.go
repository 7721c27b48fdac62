package plan

import (
	"path"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// injected is one file that Compose writes into a service's containers, because
// its text is in the compose files or the environment, not in a file to mount.
type injected struct {
	// Path is the config or secret in the composed deployment: "configs.database-password".
	Path string
	// Variable is the environment variable it is made of, if it is.
	Variable string
	// Target is where it is in the container.
	Target  string
	Content Content
}

// injections are the files that Compose writes into containers of a service.
// An empty one is never written.
func injections(project *types.Project, service types.ServiceConfig) []injected {
	var files []injected
	add := func(kind, folder, source, target string, object types.FileObjectConfig) {
		text := object.Content
		if text == "" {
			text = project.Environment[object.Environment]
		}
		if text == "" {
			return
		}
		if target == "" {
			target = source
		}
		if !strings.HasPrefix(target, "/") {
			target = path.Join(folder, target)
		}
		files = append(files, injected{
			Path: kind + "." + source, Variable: object.Environment,
			Target: target, Content: ContentOf(text),
		})
	}
	for _, c := range service.Configs {
		add("configs", "/", c.Source, c.Target, types.FileObjectConfig(project.Configs[c.Source]))
	}
	for _, s := range service.Secrets {
		add("secrets", "/run/secrets", s.Source, s.Target, types.FileObjectConfig(project.Secrets[s.Source]))
	}
	slices.SortStableFunc(files, func(a, b injected) int { return strings.Compare(a.Path, b.Path) })
	return files
}

// kind is the service's field that asks for the file: "configs" or "secrets".
func (f injected) kind() string {
	kind, _, _ := strings.Cut(f.Path, ".")
	return kind
}
