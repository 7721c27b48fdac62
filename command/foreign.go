package command

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/inmanta/inmanta-docker/problem"
)

// Whoever comes from docker compose brings its lines along. What is said of one
// that inmanta-docker does not take is what to type instead.

// inItsStead are the lines that do what a flag of the stock tool's up does.
var inItsStead = map[string]string{
	"always-recreate-deps": "inmanta-docker down && inmanta-docker up (data stays; what differs from the files is made anew by itself)",
	"build":                "docker compose build && inmanta-docker up",
	"force-recreate":       "inmanta-docker down && inmanta-docker up (data stays; what differs from the files is made anew by itself)",
	"pull":                 "inmanta-docker pull && inmanta-docker up",
	"wait-timeout":         "inmanta-docker up --timeout 5m",
}

// wholeTopology refuses the names of services, which the stock tool's up takes.
func wholeTopology(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return problem.Problem{
		ID: "up-services", Where: strings.Join(args, " "), What: "inmanta-docker up takes no services: it makes the whole topology serve",
		Fix: "leave them out, or: inmanta-docker start " + strings.Join(args, " ") + "; or: docker compose up -d " + strings.Join(args, " "),
	}
}

// verbOf is what a verb does that has others below it and is given none of them.
func (a *app) verbOf(above *cobra.Command, args []string) error {
	if len(args) > 0 {
		return a.unknownVerb(above, args[0])
	}
	return above.Help()
}

// unknownVerb is the problem of a verb that there is not.
func (a *app) unknownVerb(above *cobra.Command, verb string) error {
	p := problem.Problem{ID: "unknown-verb", Where: verb, What: "there is no such verb", Fix: above.CommandPath() + " --help lists the verbs"}
	if !above.HasParent() && a.stockCommand(verb) != nil {
		p.What = "docker compose has this verb, inmanta-docker has not"
		p.Fix = "in the deployment's directory this does the same: docker compose " + verb
	} else if near := above.SuggestionsFor(verb); len(near) > 0 {
		p.Fix = "did you mean " + strings.Join(near, " or ") + "? " + p.Fix
	}
	return p
}

// flagError is the problem of a flag that there is not, or not with that value.
func (a *app) flagError(verb *cobra.Command, err error) error {
	line := verb.CommandPath()
	p := problem.Problem{ID: "flag", Where: line, What: err.Error(), Fix: line + " --help lists its flags", Err: err}
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		name := unknown.GetSpecifiedName()
		if before := verb.Root().Flags().Lookup(name); before != nil && verb.HasParent() {
			p.Fix = "write it before the verb: inmanta-docker --" + name + " … " + verb.Name()
			break
		}
		stock := a.stockCommand(strings.Fields(line)[1:]...)
		if stock == nil || !hasFlag(stock, unknown) {
			break
		}
		p.ID, p.What = "flag-of-compose", strings.Replace(line, "inmanta-docker", "docker compose", 1)+" has this flag, inmanta-docker has not: "+dashed(unknown)
		p.Fix = "in the deployment's directory the stock tool does it: docker compose …; inmanta-docker status then says how things are"
		if instead, ok := inItsStead[name]; ok && verb.Name() == "up" {
			p.Fix = "type instead: " + instead
		}
	case errors.As(err, &invalid) && invalid.GetFlag().Name == "timeout" && verb.Name() == "up":
		p.Fix = "it is how long to wait until the orchestrator serves, with a unit: --timeout 5m (how long a container may take to stop is its stop_grace_period)"
	}
	return p
}

// explained is err, in our words where it is about a flag before a verb: of
// those cobra asks nobody.
func (a *app) explained(root *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var said problem.Problem
	if errors.As(err, &unknown) && !errors.As(err, &said) {
		return a.flagError(root, err)
	}
	return err
}

// stockCommand is a command of the stock tool, by its path below the root; nil if it has none.
func (a *app) stockCommand(path ...string) *cobra.Command {
	e, err := a.engine()
	if err != nil {
		return nil
	}
	defer e.Close()
	_, command := stockRoot(e)
	for _, name := range path {
		found := false
		for _, child := range command.Commands() {
			if child.Name() == name {
				command, found = child, true
				break
			}
		}
		if !found {
			return nil
		}
	}
	return command
}

// hasFlag says whether a command of the stock tool has the flag.
func hasFlag(stock *cobra.Command, unknown *pflag.NotExistError) bool {
	if unknown.GetSpecifiedShortnames() != "" {
		return stock.Flags().ShorthandLookup(unknown.GetSpecifiedName()) != nil
	}
	return stock.Flags().Lookup(unknown.GetSpecifiedName()) != nil
}

// dashed is a flag as it is typed.
func dashed(unknown *pflag.NotExistError) string {
	if unknown.GetSpecifiedShortnames() != "" {
		return "-" + unknown.GetSpecifiedName()
	}
	return "--" + unknown.GetSpecifiedName()
}
