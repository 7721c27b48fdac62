package command

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/inmanta/inmanta-docker/engine"
	"github.com/inmanta/inmanta-docker/image"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/topology"
	"github.com/inmanta/inmanta-docker/ui"
)

func (a *app) imageVerb() *cobra.Command {
	verb := &cobra.Command{Use: "image", Short: "See to the container images of the deployment", SuggestionsMinimumDistance: 2, RunE: a.verbOf}
	verb.AddCommand(a.imageEnsureVerb(), a.imageBuildVerb(), a.imageListVerb())
	return verb
}

func (a *app) imageEnsureVerb() *cobra.Command {
	verb := &cobra.Command{
		Use:   "ensure",
		Short: "Make sure that the configured images, and code-server, are on the engine",
		Long: `Make sure that the configured images are on the engine: pull what is missing. With
docker-compose.code.yml in the topology, also put code-server into its volume: from
INMANTA_CODE_SERVER_TARBALL or its project's releases, if it is not there.

Where no registry can be reached, real stand-ins are built from package registries,
but only for the default open-source image and only while the deployment has no
volumes; the images' names are then written to .env. In every other case it refuses:
an outage never swaps an edition, or puts another major version over existing data.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.ensureImages(cmd.Context()) },
	}
	a.jsonFlag(verb, "progress")
	return verb
}

func (a *app) ensureImages(ctx context.Context) error {
	d, stack, err := a.open(ctx)
	if err != nil {
		return err
	}
	e, err := a.reach(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	wanted := wantedImages(stack)
	if wanted.HasVolumes, err = hasVolumes(ctx, e, stack); err != nil {
		return err
	}
	u := a.ui()
	report, stop := u.Progress()
	stands, err := image.Ensure(ctx, e.API(), wanted, report)
	stop()
	if err != nil {
		return err
	}
	values := map[string]string{}
	for name, value := range map[string]string{
		settings.OrchestratorImage: stands.Orchestrator,
		settings.PostgreSQLImage:   stands.PostgreSQL,
		settings.PostgreSQLVersion: stands.PostgreSQLVersion,
	} {
		if value != "" {
			values[name] = value
		}
	}
	if len(values) > 0 {
		if err := d.Store(values); err != nil {
			return err
		}
		u.Note(progress.Warning, "No image registry could be reached, so images built from package registries are used; .env names them: "+
			strings.TrimSpace(stands.Orchestrator+" "+stands.PostgreSQL))
	}
	s := survey{deployment: d, stack: stack, engine: e}
	if code, ok := stack.Project.Services[topology.Code]; ok && stands.Orchestrator != "" {
		code.Image = stands.Orchestrator
		stack.Project.Services[topology.Code] = code
	}
	if err := s.findSidecar(); err != nil {
		return err
	}
	report, stop = u.Progress()
	taken, err := s.takeCodeServer(ctx, report)
	if err == nil && taken {
		err = s.renewCode(ctx, report)
	}
	stop()
	return err
}

// wantedImages are the images that the topology configures.
func wantedImages(stack topology.Stack) image.Wanted {
	return image.Wanted{
		Orchestrator: stack.Project.Services[topology.Orchestrator].Image,
		// The second of two machines has the replica alone.
		PostgreSQL: cmp.Or(stack.Project.Services[topology.Database].Image, stack.Project.Services[topology.Replica].Image),
	}
}

// hasVolumes says whether the deployment has data already.
func hasVolumes(ctx context.Context, e *engine.Engine, stack topology.Stack) (bool, error) {
	deployments, err := e.Deployments(ctx)
	if err != nil {
		return false, err
	}
	for _, d := range deployments {
		if d.Project == stack.Project.Name && d.HasVolumes {
			return true, nil
		}
	}
	return false, nil
}

func (a *app) imageBuildVerb() *cobra.Command {
	var options image.BuildOptions
	var version string
	verb := &cobra.Command{
		Use:   "build",
		Short: "Build an orchestrator and a PostgreSQL image from package registries",
		Long: `Build the open-source orchestrator (Debian, Python, PyPI) and PostgreSQL (Debian) as
images laid out as the official ones are. Names and contents: see the output. What is
there already, by content, is not built again. Nothing is configured: set
INMANTA_ORCHESTRATOR_IMAGE, POSTGRESQL_IMAGE and POSTGRESQL_VERSION to use them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			orchestrator, err := image.Orchestrator(version)
			if err != nil {
				return err
			}
			e, err := a.reach(cmd.Context())
			if err != nil {
				return err
			}
			defer e.Close()
			recipes := []image.Recipe{orchestrator, image.PostgreSQL()}
			u := a.ui()
			report, stop := u.Progress()
			err = image.Build(cmd.Context(), e.API(), recipes, options, report)
			stop()
			if err != nil {
				return err
			}
			u.Line(settings.OrchestratorImage + "=" + orchestrator.Ref())
			u.Line(settings.PostgreSQLImage + "=" + image.PostgreSQL().Ref())
			u.Line(settings.PostgreSQLVersion + "=" + image.PostgreSQL().Version())
			return u.Err()
		},
	}
	verb.Flags().StringVar(&version, "version", image.InmantaVersion, "`Version` of the package inmanta on PyPI")
	verb.Flags().BoolVar(&options.Again, "again", false, "Build even what is there: packages may have had fixes since")
	return verb
}

func (a *app) imageListVerb() *cobra.Command {
	verb := &cobra.Command{
		Use: "list", Short: "List the configured images and whether the engine has them", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, stack, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			e, err := a.reach(cmd.Context())
			if err != nil {
				return err
			}
			defer e.Close()
			list, err := image.List(cmd.Context(), e.API(), wantedImages(stack))
			if err != nil {
				return err
			}
			u := a.ui()
			if a.json {
				u.Value(list)
			} else {
				u.Table([]string{"IMAGE", "SIZE", "CREATED", "ORIGIN"}, imageRows(list, time.Now()))
			}
			return u.Err()
		},
	}
	a.jsonFlag(verb, "the images")
	return verb
}

func imageRows(list []image.Listed, now time.Time) []ui.Row {
	var rows []ui.Row
	for _, l := range list {
		if !l.Present {
			rows = append(rows, ui.Row{Status: progress.Warning, Cells: []string{l.Ref, "-", "-", "not on this engine"}})
			continue
		}
		origin, status := "pulled or loaded", progress.Done
		switch {
		case l.Outdated:
			origin, status = "built here, from an earlier recipe", progress.Warning
		case l.Recipe != "":
			origin = "built here"
		}
		created := "-"
		if !l.Created.IsZero() {
			created = units.HumanDuration(now.Sub(l.Created)) + " ago"
		}
		rows = append(rows, ui.Row{Status: status, Cells: []string{l.Ref, fmt.Sprintf("%d MB", l.Size/1_000_000), created, origin}})
	}
	return rows
}
