// Package topology composes a deployment's overlays and settings into one
// Compose project, and knows where in the files each value came from.
package topology

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/compose/v5/pkg/api"
	"github.com/docker/compose/v5/pkg/compose"

	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/problem"
)

// Stack is a deployment as one Compose project.
type Stack struct {
	// Project is what Compose runs: the same that `docker compose` would.
	Project *types.Project
	// Sources are the compose files' texts, in the topology's order, for Explain.
	Sources []Source
}

// Source is one compose file's text.
type Source struct {
	// Path is absolute, or "standard input".
	Path string
	Text []byte
}

// Load composes the deployment. An error is a problem that names the file and,
// where the parser knows it, the line; the stack then has its sources and no project.
func Load(ctx context.Context, d deployment.Deployment) (Stack, error) {
	sources, err := read(d)
	if err != nil {
		return Stack{}, err
	}
	named := d.Files
	d, cleanUp, err := Unpack(d)
	if err != nil {
		return Stack{}, err
	}
	defer cleanUp()
	project, err := load(ctx, d, d.Files)
	if err != nil {
		return Stack{Sources: sources}, locate(ctx, d, sources, err)
	}
	nameFiles(project, named)
	return Stack{Project: project, Sources: sources}, nil
}

func load(ctx context.Context, d deployment.Deployment, files []deployment.File) (*types.Project, error) {
	// Loading needs no engine: the SDK asks for one only to fetch compose
	// files from elsewhere, which Offline rules out.
	loader, err := compose.NewComposeService(nil)
	if err != nil {
		return nil, err
	}
	var paths, envFiles []string
	for _, f := range files {
		paths = append(paths, f.Path)
	}
	if d.ExplicitEnvFiles {
		for _, f := range d.EnvFiles {
			envFiles = append(envFiles, f.Path)
		}
	}
	project, err := loader.LoadProject(ctx, api.ProjectLoadOptions{
		ProjectName: d.ProjectName,
		ConfigPaths: paths,
		WorkingDir:  d.Dir,
		EnvFiles:    envFiles,
		Offline:     true,
		Profiles:    d.Composing.Profiles, Compatibility: d.Composing.Compatibility,
		// As the stock tool's up does: resolving is a step of its own below.
		ProjectOptionsFns: []cli.ProjectOptionsFn{cli.WithoutEnvironmentResolution, cli.WithEnv(d.Env())},
	})
	if err != nil {
		return nil, err
	}
	return project.WithServicesEnvironmentResolved(true)
}

// nameFiles notes in the containers' labels the files that are to be there, not
// the temporary ones that were composed.
func nameFiles(project *types.Project, files []deployment.File) {
	project.ComposeFiles = nil
	for _, f := range files {
		project.ComposeFiles = append(project.ComposeFiles, f.Path)
	}
	for _, s := range project.Services {
		s.CustomLabels[api.ConfigFilesLabel] = strings.Join(project.ComposeFiles, ",")
	}
}

func read(d deployment.Deployment) ([]Source, error) {
	var sources []Source
	for _, f := range d.Files {
		text := f.Embedded
		if text == nil {
			var err error
			if text, err = os.ReadFile(f.Path); err != nil {
				return nil, problem.Problem{
					ID: "compose-file-unreadable", Where: f.Path, What: fmt.Sprintf("the compose file cannot be read: %v", err),
					Fix: "give this user the right to read it, or run as its owner", Err: err,
				}
			}
		}
		path := f.Path
		if path == deployment.Stdin {
			path = "standard input"
		}
		sources = append(sources, Source{Path: path, Text: text})
	}
	return sources, nil
}

// Unpack is the deployment with every compose file on disk: those of this
// binary and that on standard input go to a temporary directory, which cleanUp
// removes.
func Unpack(d deployment.Deployment) (unpacked deployment.Deployment, cleanUp func(), err error) {
	temporary := ""
	cleanUp = func() {
		if temporary != "" {
			os.RemoveAll(temporary)
		}
	}
	d.Files = slices.Clone(d.Files)
	for i, f := range d.Files {
		if f.Embedded == nil {
			continue
		}
		if temporary == "" {
			if temporary, err = os.MkdirTemp("", "inmanta-docker-"); err != nil {
				return d, cleanUp, fmt.Errorf("unpacking compose files: %w", err)
			}
		}
		d.Files[i] = deployment.File{Path: filepath.Join(temporary, f.Name())}
		if err := os.WriteFile(d.Files[i].Path, f.Embedded, 0o600); err != nil {
			cleanUp()
			return d, func() {}, fmt.Errorf("unpacking compose files: %w", err)
		}
	}
	return d, cleanUp, nil
}

var lineForm = regexp.MustCompile(`line (\d+)`)

// locate says which file breaks the composition: the one with which loading
// begins to fail when they are added one by one.
func locate(ctx context.Context, d deployment.Deployment, sources []Source, cause error) error {
	source := sources[len(sources)-1]
	for i := range d.Files {
		if _, err := load(ctx, d, d.Files[:i+1]); err != nil {
			source, cause = sources[i], err
			break
		}
	}
	where := source.Path
	if m := lineForm.FindStringSubmatch(cause.Error()); m != nil {
		where += ":" + m[1]
	} else if line := lineOf(source, cause.Error()); line > 0 {
		where = fmt.Sprintf("%s:%d", where, line)
	}
	return problem.Problem{
		ID: "compose-file", Where: where, What: fmt.Sprintf("the compose files do not fit together: %v", cause),
		Fix: "mend that file, or leave it out of the topology", Err: cause,
	}
}
