package command

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
)

// findings is what preflight prints as JSON.
type findings struct {
	// Problems keep up from starting; Warnings do not.
	Problems problem.List `json:"problems"`
	Warnings problem.List `json:"warnings"`
}

func (a *app) preflightVerb() *cobra.Command {
	verb := &cobra.Command{
		Use:   "preflight",
		Short: "Check everything that up checks, and change nothing",
		Long: `Check settings, files, host and engine as up does before it touches anything.

Exit codes: 0 nothing keeps the deployment from starting; 1 something does.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.preflight(cmd.Context()) },
	}
	a.jsonFlag(verb, "what was found")
	return verb
}

func (a *app) preflight(ctx context.Context) error {
	u := a.ui()
	s, err := a.survey(ctx, u, false)
	if err == nil {
		defer s.engine.Close()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if a.json {
		found := findings{Problems: append(problem.List{}, problem.In(err)...), Warnings: append(problem.List{}, s.warnings...)}
		u.Value(found)
		if len(found.Problems) > 0 {
			return exit(ExitFailure)
		}
		return u.Err()
	}
	for _, w := range s.warnings {
		u.Note(progress.Warning, w.Error()+": "+w.Fix)
	}
	if err != nil {
		return err
	}
	u.Note(progress.Done, "nothing keeps this deployment from starting")
	return u.Err()
}
