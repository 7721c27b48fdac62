// Package command is the CLI: one file a verb, and this one, which lists them.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/docker/cli/cli"
	"github.com/spf13/cobra"

	"github.com/inmanta/inmanta-docker/backup"
	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/engine"
	"github.com/inmanta/inmanta-docker/image"
	"github.com/inmanta/inmanta-docker/pair"
	"github.com/inmanta/inmanta-docker/plan"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/readiness"
	"github.com/inmanta/inmanta-docker/topology"
	"github.com/inmanta/inmanta-docker/ui"
)

// Exit codes of every verb; a verb's help names those of its own.
const (
	// ExitOK: it worked, or there is nothing to do.
	ExitOK = 0
	// ExitFailure: it did not work, or was refused.
	ExitFailure = 1
	// ExitChanges: up --dry-run found something to do.
	ExitChanges = 2
	// ExitUnhealthy: status found something running that does not serve as it should.
	ExitUnhealthy = 3
	// ExitDown: status found nothing running.
	ExitDown = 4
	// ExitInterrupted: Ctrl-C.
	ExitInterrupted = 130
)

// Streams are the process's.
type Streams struct{ In, Out, Err *os.File }

// app is what every verb is given.
type app struct {
	streams Streams
	request deployment.Request
	global  global
	// json asks for JSON instead of text.
	json    bool
	version string
}

// exit ends the process with a code and says nothing: everything has been said.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Run is the whole CLI: it runs the verb in args and returns the exit code.
func Run(ctx context.Context, streams Streams, args []string, version string) int {
	a := &app{streams: streams, version: version}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	return a.code(ctx, a.explained(root, root.ExecuteContext(ctx)))
}

// code shows what err says and turns it into an exit code.
func (a *app) code(ctx context.Context, err error) int {
	var code exit
	var status cli.StatusError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &status):
		if status.Status != "" {
			fmt.Fprintln(a.streams.Err, status.Status)
		}
		return max(status.StatusCode, ExitFailure)
	case ctx.Err() != nil:
		a.ui().Note(progress.Warning, "Interrupted. What was started keeps running: `inmanta-docker status` shows it.")
		return ExitInterrupted
	}
	a.ui().Problems(problem.In(err))
	return ExitFailure
}

// Root is the command tree, for its documentation.
func Root() *cobra.Command { return (&app{}).root() }

// Outputs is one value of what each verb prints with --json, for its schema.
func Outputs() map[string]any {
	return map[string]any{
		"backup":       backup.Made{},
		"backup ls":    []listedBackup{},
		"db status":    pair.Status{},
		"dump ls":      dumps{},
		"explain":      topology.Explanation{},
		"image list":   []image.Listed{},
		"init-module":  lastRun{},
		"logrotate ls": rotation{},
		"preflight":    findings{},
		"status":       status{},
		"up":           outcome{},
		"up failure":   readiness.Report{},
		"up plan":      plan.Plan{},
		"version":      versions{},
	}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "inmanta-docker",
		Short: "Deploy and run the Inmanta orchestrator with Docker Compose",
		Long: `inmanta-docker deploys and runs the Inmanta orchestrator with Docker Compose.

It takes the same -f files and verbs as docker compose, and adds what an operator
of this stack needs: whether the orchestrator really serves, why not, and what an
up would change. As there, -f - is a compose file from standard input.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		// Flags before the verb are ours; after a verb of the stock tool, its own.
		TraverseChildren:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.prepare(cmd) },
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && a.global.version {
				return a.showVersion()
			}
			return a.verbOf(cmd, args)
		},
		SuggestionsMinimumDistance: 2,
	}
	flags := root.PersistentFlags()
	flags.StringArrayVarP(&a.request.Files, "file", "f", nil, "Compose `file`, once for each overlay; taken from this binary when it is not on disk")
	flags.StringSliceVar(&a.request.With, "with", nil, "Overlays to add to "+deployment.Base+", by `name`: "+strings.Join(deployment.Overlays(), ", "))
	flags.StringArrayVar(&a.request.Env, "env", nil, "Set a setting for this command only: `NAME`=value, or NAME to take it from the shell")
	flags.StringArrayVar(&a.request.EnvFiles, "env-file", nil, "Read settings from this `file` instead of .env")
	flags.StringVarP(&a.request.ProjectName, "project-name", "p", "", "Project `name` (default: the directory's name)")
	flags.StringVar(&a.request.ProjectDirectory, "project-directory", "", "The deployment's `directory` (default: that of the first compose file)")
	a.globalFlags(root.Flags())
	root.SetFlagErrorFunc(a.flagError)

	root.AddGroup(&cobra.Group{ID: "own", Title: "Commands:"}, &cobra.Group{ID: "stock", Title: "Commands as in docker compose:"})
	for _, verb := range []*cobra.Command{
		a.initVerb(), a.upVerb(), a.downVerb(), a.statusVerb(), a.sshVerb(), a.logrotateVerb(), a.initModuleVerb(), a.codeVerb(), a.dbVerb(), a.dumpVerb(), a.backupVerb(), a.restoreVerb(), a.secretsVerb(), a.preflightVerb(),
		a.explainVerb(), a.imageVerb(), a.versionVerb(),
	} {
		verb.GroupID = "own"
		root.AddCommand(verb)
	}
	for _, s := range stockVerbs {
		verb := a.stockVerb(s)
		verb.GroupID = "stock"
		root.AddCommand(verb)
	}
	root.SetCompletionCommandGroupID("own")
	root.SetHelpCommandGroupID("own")
	return root
}

// prepare completes the request with where and in which shell we run.
func (a *app) prepare(verb *cobra.Command) error {
	dir, err := os.Getwd()
	if err != nil {
		return problem.Problem{
			ID: "no-directory", Where: "the current directory", What: fmt.Sprintf("it cannot be found: %v", err),
			Fix: "go to the deployment's directory (cd)", Err: err,
		}
	}
	a.request.WorkDir, a.request.Environ = dir, os.Environ()
	a.request.Stdin = sync.OnceValues(func() ([]byte, error) { return io.ReadAll(a.streams.In) })
	return a.settleGlobal(verb)
}

func (a *app) ui() *ui.UI {
	return ui.Open(a.streams.Out, a.streams.Err, os.Getenv, ui.Asked{JSON: a.json, ANSI: a.global.ansi, Progress: a.global.progress})
}

func (a *app) engine() (*engine.Engine, error) {
	e, err := engine.Open(engine.Streams{In: a.streams.In, Out: a.streams.Out, Err: a.streams.Err})
	if err == nil {
		e.Parallel = a.global.parallel
	}
	return e, err
}

// reach is the engine, which answers. The caller closes it.
func (a *app) reach(ctx context.Context) (*engine.Engine, error) {
	e, err := a.engine()
	if err != nil {
		return nil, err
	}
	if err := e.Ping(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// open is the deployment that the flags mean, composed.
func (a *app) open(ctx context.Context) (deployment.Deployment, topology.Stack, error) {
	d, err := deployment.Open(a.request)
	if err != nil {
		return d, topology.Stack{}, err
	}
	stack, err := topology.Load(ctx, d)
	return d, stack, err
}

// jsonFlag adds --json to a verb.
func (a *app) jsonFlag(verb *cobra.Command, what string) {
	verb.Flags().BoolVar(&a.json, "json", false, "Print "+what+" as JSON")
}
