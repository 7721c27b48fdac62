package command

import (
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
)

// global are the flags before the verb that say how to work and not on what: the
// stock tool's, with its names, values and variables.
type global struct {
	ansi, progress   string
	parallel         int
	allResources     bool
	dryRun           bool
	version, noColor bool
}

// globalFlags are the flags of the stock tool that stand before the verb.
func (a *app) globalFlags(flags *pflag.FlagSet) {
	flags.StringArrayVar(&a.request.Composing.Profiles, "profile", nil, "Compose `profile` to enable; not remembered")
	flags.BoolVar(&a.request.Composing.Compatibility, "compatibility", false, "Name things as Compose 1 did")
	flags.BoolVar(&a.global.allResources, "all-resources", false, "Include networks and volumes that no service uses; for verbs of docker compose only")
	flags.StringVar(&a.global.ansi, "ansi", "", "Print colours and draw on the terminal `when`: never, always or auto")
	flags.StringVar(&a.global.progress, "progress", "", "How to show progress: the `form` auto, tty, plain, json (as --json) or quiet")
	flags.IntVar(&a.global.parallel, "parallel", -1, "How many things to do at once, -1 for no limit")
	flags.BoolVar(&a.global.dryRun, "dry-run", false, "Change nothing: with up, print the plan; else as in docker compose")
	flags.BoolVarP(&a.global.version, "version", "v", false, "Print the version")
	flags.BoolVar(&a.global.noColor, "no-ansi", false, "")
	flags.StringVar(&a.request.ProjectDirectory, "workdir", "", "")
	for old := range deprecated {
		flags.Lookup(old).Hidden = true
	}
}

// deprecated are flags that the stock tool still takes, by what it takes in their stead.
var deprecated = map[string]string{"no-ansi": "--ansi never", "workdir": "--project-directory"}

// settleGlobal gives the flags that were not given the values of the shell's
// variables, and refuses what none of them may be.
func (a *app) settleGlobal(verb *cobra.Command) error {
	var problems problem.List
	ansiPlace, progressPlace := "--ansi", "--progress"
	if value := os.Getenv("COMPOSE_ANSI"); a.global.ansi == "" && value != "" {
		a.global.ansi, ansiPlace = value, "the shell's COMPOSE_ANSI"
	}
	if value := os.Getenv("COMPOSE_PROGRESS"); a.global.progress == "" && value != "" {
		a.global.progress, progressPlace = value, "the shell's COMPOSE_PROGRESS"
	}
	if value := os.Getenv("COMPOSE_PARALLEL_LIMIT"); !verb.Root().Flags().Changed("parallel") && value != "" {
		limit, err := strconv.Atoi(value)
		if err != nil {
			problems = append(problems, problem.Problem{
				ID: "flag-value", Where: "the shell's COMPOSE_PARALLEL_LIMIT", What: fmt.Sprintf("%q is not a number", value), Fix: "write how many things to do at once, or unset it", Err: err,
			})
		}
		a.global.parallel = limit
	}
	if a.global.noColor {
		a.global.ansi = "never"
	}
	if a.global.progress == "none" { // what Compose calls it, too
		a.global.progress = "quiet"
	}
	problems = append(problems, oneOf(ansiPlace, a.global.ansi, "", "auto", "never", "always")...)
	problems = append(problems, oneOf(progressPlace, a.global.progress, "", "auto", "tty", "plain", "json", "quiet")...)
	if a.global.ansi == "never" && a.global.progress == "tty" {
		problems = append(problems, problem.Problem{
			ID: "flag-value", Where: progressPlace, What: "a terminal cannot be drawn on without control characters (--ansi never)", Fix: "leave one of the two out",
		})
	}
	if a.global.allResources && verb.HasParent() && !verb.DisableFlagParsing {
		problems = append(problems, problem.Problem{
			ID: "all-resources", Where: "--all-resources", What: "inmanta-docker " + topVerb(verb) + " makes and looks at what services use, and at nothing else",
			Fix: "leave it out; docker compose --all-resources up -d makes the rest",
		})
	}
	if own := topVerb(verb); a.global.dryRun && slices.Contains([]string{"init", "image"}, own) {
		problems = append(problems, problem.Problem{
			ID: "no-dry-run", Where: "--dry-run", What: "inmanta-docker " + own + " has no dry run", Fix: "leave --dry-run out: it overwrites nothing",
		})
	}
	for old, instead := range deprecated {
		if verb.Root().Flags().Changed(old) {
			a.ui().Note(progress.Warning, "--"+old+" is deprecated: write "+instead)
		}
	}
	if a.global.progress == "json" && verb.Flags().Lookup("json") != nil {
		a.json = true
	}
	return problems.OrNil()
}

// oneOf refuses a value that is not among those that there are; the first of
// them is to leave it out.
func oneOf(where, value string, values ...string) problem.List {
	if slices.Contains(values, value) {
		return nil
	}
	return problem.List{{
		ID: "flag-value", Where: where, What: fmt.Sprintf("%q is none of its values", value), Fix: fmt.Sprintf("its values are %q", values[1:]),
	}}
}

// topVerb is the verb below the root that a command belongs to.
func topVerb(verb *cobra.Command) string {
	for verb.HasParent() && verb.Parent().HasParent() {
		verb = verb.Parent()
	}
	return verb.Name()
}

// stockArgs are the flags for the stock tool, which reads the variables itself.
func (g global) stockArgs() []string {
	var args []string
	if g.ansi != "" {
		args = append(args, "--ansi", g.ansi)
	}
	if g.progress != "" {
		args = append(args, "--progress", g.progress)
	}
	if g.allResources {
		args = append(args, "--all-resources")
	}
	if g.parallel > 0 {
		args = append(args, "--parallel", strconv.Itoa(g.parallel))
	}
	if g.dryRun {
		args = append(args, "--dry-run")
	}
	return args
}
