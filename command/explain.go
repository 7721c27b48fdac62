package command

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/topology"
	"github.com/inmanta/inmanta-docker/ui"
)

func (a *app) explainVerb() *cobra.Command {
	verb := &cobra.Command{
		Use:   "explain SETTING|PATH",
		Short: "Say what a setting or a value of the deployment is, and where that comes from",
		Example: `  inmanta-docker explain INMANTA_ORCHESTRATOR_PORT
  inmanta-docker explain services.server.ports`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, stack, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			e, ok := stack.Explain(d, args[0])
			if !ok {
				return problem.Problem{
					ID: "nothing-to-explain", Where: args[0], What: "this deployment has no setting and no value of that name",
					Fix: "write a setting of the README's table, or a path as in the output of inmanta-docker config: services.server.ports",
				}
			}
			u := a.ui()
			if a.json {
				u.Value(e)
			} else {
				explain(u, e)
			}
			return u.Err()
		},
	}
	a.jsonFlag(verb, "the explanation")
	return verb
}

func explain(u *ui.UI, e topology.Explanation) {
	u.Line(e.Subject + ": " + indentMore(e.Value))
	facts := []ui.Fact{}
	if e.Description != "" {
		facts = append(facts, ui.Fact{Key: "what", Value: e.Description})
	}
	if e.Place != "" {
		facts = append(facts, ui.Fact{Key: "from", Value: e.Place})
	}
	u.KeyValues(facts)
	for _, o := range e.Origins {
		u.Line(fmt.Sprintf("%s:%d: %s", o.File, o.Line, indentMore(o.Text)))
		for _, v := range o.Variables {
			u.Line(fmt.Sprintf("    %s = %s (%s)", v.Name, v.Value, v.Place))
		}
	}
}

// indentMore puts text of several lines below what stands before it.
func indentMore(text string) string {
	if !strings.Contains(text, "\n") {
		return text
	}
	return "\n    " + strings.ReplaceAll(text, "\n", "\n    ")
}
