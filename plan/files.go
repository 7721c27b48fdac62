package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
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
	File
}

// File is a file to look for in a container.
type File struct {
	// Target is where it is.
	Target string
	// What should be in it, if anybody knows: reading it can then be spared
	// where the container is marked with it.
	content Content
	size    int64
	mark    string
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
			File: File{Target: target, content: ContentOf(text), size: int64(len(text)), mark: mark(project.Name, target, text)},
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

const (
	ownLabelPrefix = "com.inmanta.docker."
	// filesLabel holds the marks of the files that a container was made with,
	// by target, as JSON.
	filesLabel = ownLabelPrefix + "files"
)

// mark tells texts of a file apart. Everybody who may inspect a container sees
// it, which is why it is this short: a text that changed keeps its mark once in
// a million times, and whoever guesses at a password finds a thousand that fit
// among a thousand million.
func mark(project, target, text string) string {
	sum := sha256.Sum256([]byte(project + "\x00" + target + "\x00" + text))
	return hex.EncodeToString(sum[:])[:5]
}

// Mark is the project with labels on its services: on each that is given files,
// so that Observe need not read them in the containers made of it, which takes
// the engine longer than all the rest; and on each that mounts the program.
// Compose does not count such labels when it looks for what changed: it takes
// marked and unmarked for the same.
func Mark(project *types.Project, program Program) *types.Project {
	marked := *project
	marked.Services = maps.Clone(project.Services)
	for name, s := range marked.Services {
		s = program.mark(s)
		marked.Services[name] = s
		marks := map[string]string{}
		for _, f := range injections(project, s) {
			marks[f.Target] = f.mark
		}
		text, err := json.Marshal(marks)
		if len(marks) == 0 || err != nil {
			continue
		}
		s.CustomLabels = maps.Clone(s.CustomLabels).Add(filesLabel, string(text))
		marked.Services[name] = s
	}
	return &marked
}

// vouches says that the container was made with the file as it should be, and
// was not given another since: Compose writes files before each start, and this
// was the only one.
func (c ObservedContainer) vouches(f File) bool {
	var marks map[string]string
	if json.Unmarshal([]byte(c.Config.Labels[filesLabel]), &marks) != nil {
		return false
	}
	return f.mark != "" && marks[f.Target] == f.mark &&
		!c.Started.IsZero() && c.Finished.IsZero() && c.Restarts == 0
}
