package command

import (
	"os"
	"slices"

	"github.com/docker/compose/v5/cmd/compose"
	"github.com/docker/compose/v5/cmd/prompt"
	sdk "github.com/docker/compose/v5/pkg/compose"
	"github.com/spf13/cobra"

	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/engine"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/topology"
)

// stock is a verb that does exactly what the stock tool's does, because it is
// the stock tool's code, in this process, on the topology found here.
type stock struct{ name, short string }

var stockVerbs = []stock{
	{"config", "Print the composed deployment"},
	{"cp", "Copy files between a container and this host"},
	{"exec", "Run a command in a running container"},
	{"images", "List the images the containers use"},
	{"kill", "Kill containers"},
	{"logs", "Show what containers print"},
	{"port", "Print where a container's port is published"},
	{"ps", "List containers"},
	{"pull", "Pull images"},
	{"restart", "Restart containers"},
	{"rm", "Remove stopped containers"},
	{"start", "Start stopped containers"},
	{"stop", "Stop containers"},
	{"top", "Show processes in containers"},
}

func (a *app) stockVerb(s stock) *cobra.Command {
	return &cobra.Command{
		Use:                s.name + " [OPTIONS]",
		Short:              s.short,
		Long:               s.short + ", exactly as docker compose " + s.name + " does: inmanta-docker " + s.name + " --help has its options.",
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runStock(cmd, s.name, args)
		},
	}
}

func (a *app) runStock(cmd *cobra.Command, verb string, args []string) error {
	d, err := a.deployed()
	if err != nil && !asksForHelp(args) {
		return err
	}
	d, cleanUp, err := topology.Unpack(d)
	if err != nil {
		return err
	}
	defer cleanUp()
	// Where the stock tool looks first, and what it hands to nobody else.
	for _, v := range d.Variables {
		if v.Source == deployment.Flag {
			if err := os.Setenv(v.Name, v.Value); err != nil {
				return err
			}
		}
	}
	e, err := a.engine()
	if err != nil {
		return err
	}
	defer e.Close()
	docker, root := stockRoot(e)
	docker.SetArgs(slices.Concat([]string{root.Name()}, stockArgs(d), a.global.stockArgs(), []string{verb}, args))
	docker.SetIn(a.streams.In)
	docker.SetOut(a.streams.Out)
	docker.SetErr(a.streams.Err)
	err = docker.ExecuteContext(cmd.Context())
	if cmd.Context().Err() != nil {
		return exit(ExitInterrupted) // as the stock tool: following a log ends that way
	}
	return err
}

// stockRoot is the stock tool's command, and docker's above it.
func stockRoot(e *engine.Engine) (docker, root *cobra.Command) {
	root = compose.RootCommand(e.CLI(), &compose.BackendOptions{Options: []sdk.Option{sdk.WithPrompt(prompt.NewPrompt(e.CLI().In(), e.CLI().Out()).Confirm)}})
	docker = &cobra.Command{Use: "docker", SilenceErrors: true, SilenceUsage: true, TraverseChildren: true}
	docker.AddCommand(root)
	return docker, root
}

// deployed is the deployment that the request means. Where its files are gone
// and its project is named, that name is all of it: the stock tool finds what
// the engine has under it.
func (a *app) deployed() (deployment.Deployment, error) {
	d, err := deployment.Open(a.request)
	if problems := problem.In(err); a.request.ProjectName != "" && len(problems) == 1 && problems[0].ID == deployment.None {
		return deployment.Deployment{ProjectName: a.request.ProjectName}, nil
	}
	return d, err
}

func asksForHelp(args []string) bool {
	for _, arg := range args {
		if arg == "--help" || arg == "-h" {
			return true
		}
		if arg == "--" {
			return false
		}
	}
	return false
}

// stockArgs are the stock tool's own flags for the deployment.
func stockArgs(d deployment.Deployment) []string {
	var args []string
	for _, f := range d.Files {
		args = append(args, "-f", f.Path)
	}
	if d.Dir != "" {
		args = append(args, "--project-directory", d.Dir)
	}
	if d.ProjectName != "" {
		args = append(args, "-p", d.ProjectName)
	}
	if d.ExplicitEnvFiles {
		for _, f := range d.EnvFiles {
			args = append(args, "--env-file", f.Path)
		}
	}
	for _, profile := range d.Composing.Profiles {
		args = append(args, "--profile", profile)
	}
	if d.Composing.Compatibility {
		args = append(args, "--compatibility")
	}
	return args
}
