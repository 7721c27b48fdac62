package command

import (
	"context"
	"os"
	"path/filepath"
	"slices"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/spf13/cobra"

	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/engine"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
)

func (a *app) initVerb() *cobra.Command {
	verb := &cobra.Command{
		Use:   "init [DIRECTORY]",
		Short: "Make a deployment directory: compose files, .env with new passwords, sidecar binary",
		Long: `Make a deployment directory: the compose files, an .env with new passwords
(the database's, its replica's and the code server's), the licence folder and the
sidecar binary. The stock docker compose works there too. What is there already
stays as it is.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := a.request.WorkDir
			if a.request.ProjectDirectory != "" {
				dir = a.request.ProjectDirectory
			}
			if len(args) == 1 {
				dir = args[0]
			}
			dir, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			return a.init(cmd.Context(), dir)
		},
	}
	a.jsonFlag(verb, "what was written")
	return verb
}

func (a *app) init(ctx context.Context, dir string) error {
	topology := []string{deployment.Base}
	var problems problem.List
	for _, name := range a.request.With {
		if !slices.Contains(deployment.Overlays(), name) {
			problems = append(problems, deployment.UnknownOverlay("--with "+name, name))
		}
		topology = append(topology, deployment.OverlayFile(name))
	}
	if len(problems) > 0 {
		return problems
	}
	u := a.ui()
	hasVolume := a.hasData(ctx, dir)
	written, err := deployment.Init(dir, sidecarBinary(), topology, hasVolume)
	for _, w := range written {
		if w.Kept {
			u.Note("", "kept "+w.Path)
		} else {
			u.Note(progress.Done, "wrote "+w.Path)
		}
	}
	if err != nil {
		return err
	}
	if hasVolume {
		u.Note(progress.Warning, "a database volume exists already, so no new password was made: set INMANTA_DATABASE_PASSWORD to the one it was made with, unless that is \"inmanta\"")
	}
	if sidecarBinary() == "" {
		u.Note(progress.Warning, "inmanta-sidecar is not beside inmanta-docker, so it was not copied: overlays with sidecars need it at "+filepath.Join(dir, deployment.SidecarFile))
	}
	if a.json {
		u.Value(map[string]any{"directory": dir, "files": written})
		return u.Err()
	}
	u.Note("", "Next: cd "+dir+" && inmanta-docker up")
	return u.Err()
}

// sidecarBinary is the sidecar's binary beside this one; "" if there is none.
func sidecarBinary() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return ""
	}
	path := filepath.Join(filepath.Dir(self), deployment.SidecarFile)
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return path
}

// hasData says whether volumes exist already that a deployment in dir would find. Without an engine nobody can know; up checks again.
func (a *app) hasData(ctx context.Context, dir string) bool {
	e, err := a.engine()
	if err != nil {
		return false
	}
	defer e.Close()
	name := a.request.ProjectName
	if name == "" {
		name = os.Getenv("COMPOSE_PROJECT_NAME")
	}
	if name == "" {
		name = loader.NormalizeProjectName(filepath.Base(dir))
	}
	found, err := e.Deployments(ctx)
	return err == nil && slices.ContainsFunc(found, func(f engine.Found) bool { return f.Project == name && f.HasVolumes })
}
