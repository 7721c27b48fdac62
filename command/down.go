package command

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/topology"
)

func (a *app) downVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "down [-v] [OPTIONS]",
		Short: "Stop and remove the containers; with -v the data too",
		Long: `Stop and remove the deployment's containers and network, exactly as docker compose
down does; with -v its volumes, and so all data, too. Asked to remove the data of a
deployment that does not exist, it refuses and lists those that do.`,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if removesVolumes(args) && !asksForHelp(args) {
				if err := a.refuseNothing(cmd); err != nil {
					return err
				}
			}
			return a.runStock(cmd, "down", args)
		},
	}
}

// removesVolumes reads the stock tool's flags as far as they matter here.
func removesVolumes(args []string) bool {
	flags := pflag.NewFlagSet("down", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	flags.ParseErrorsAllowlist.UnknownFlags = true
	volumes := flags.BoolP("volumes", "v", false, "")
	flags.BoolVar(volumes, "volume", false, "")
	flags.StringP("timeout", "t", "", "")
	flags.String("rmi", "", "")
	return flags.Parse(args) == nil && *volumes
}

// refuseNothing is the problem that there is nothing of this deployment to
// remove: whoever types -v meant some other one.
func (a *app) refuseNothing(cmd *cobra.Command) error {
	d, err := a.deployed()
	if err != nil {
		return err
	}
	project := d.ProjectName
	if len(d.Files) > 0 {
		stack, err := topology.Load(cmd.Context(), d)
		if err != nil {
			return err
		}
		project = stack.Project.Name
	}
	e, err := a.reach(cmd.Context())
	if err != nil {
		return err
	}
	defer e.Close()
	deployments, err := e.Deployments(cmd.Context())
	if err != nil {
		return err
	}
	for _, d := range deployments {
		if d.Project == project {
			return nil
		}
	}
	fix := "there is no deployment at all on this engine"
	if len(deployments) > 0 {
		names := make([]string, len(deployments))
		for i, d := range deployments {
			names[i] = d.String()
		}
		fix = "go to the directory of the one you mean, or name it with -p: " + strings.Join(names, ", ")
	}
	return problem.Problem{
		ID: "nothing-to-remove", Where: "project " + project,
		What: fmt.Sprintf("the engine at %s has no container and no volume of this deployment", e.Host()), Fix: fix,
	}
}
