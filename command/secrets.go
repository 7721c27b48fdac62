package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/inmanta/inmanta-docker/database"
	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/sidecar/scram"
	"github.com/inmanta/inmanta-docker/topology"
)

// databaseRoles are the users of the database by the settings of their passwords.
var databaseRoles = map[string]string{
	settings.DatabasePassword:  database.User,
	settings.ReplicationSecret: "inmanta_replication",
}

func (a *app) secretsVerb() *cobra.Command {
	verb := &cobra.Command{
		Use: "secrets", Short: "Change the passwords of the databases",
		SuggestionsMinimumDistance: 2,
		RunE:                       a.verbOf,
	}
	verb.AddCommand(&cobra.Command{
		Use:   "rotate",
		Short: "Give the databases new passwords, and everything that uses them",
		Long: `Make new passwords for the database, and for replication where there are two; change
them in the running database, then in .env, and restart what uses them. The two
databases find each other again by themselves.

It can be run again if it was cut short: it takes no password to change one.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.rotateSecrets(cmd.Context()) },
	})
	return verb
}

func (a *app) rotateSecrets(ctx context.Context) error {
	if err := a.changeSecrets(ctx); err != nil {
		return err
	}
	a.ui().Note(progress.Done, "the database has new passwords, and so has .env; now what uses them is restarted")
	return a.up(ctx, upOptions{timeout: 10 * time.Minute})
}

// changeSecrets makes new passwords and gives them to the database and to .env,
// in this order: what is cut short between the two is mended by doing it again.
func (a *app) changeSecrets(ctx context.Context) error {
	release, err := a.turn(ctx, a.ui())
	if err != nil {
		return err
	}
	defer release()
	d, stack, err := a.open(ctx)
	if err != nil {
		return err
	}
	s := survey{deployment: d, stack: stack}
	if s.engine, err = a.reach(ctx); err != nil {
		return err
	}
	defer s.engine.Close()
	names := []string{settings.DatabasePassword}
	node := topology.Database
	if s.hasPair() {
		names = append(names, settings.ReplicationSecret)
		found, err := s.pair(ctx)
		if err != nil {
			return err
		}
		if !found.Durable {
			return problem.Problem{ID: "not-durable", Where: d.Dir, What: "the passwords of two databases are changed when both are in step: " + found.Verdict, Fix: found.Fix}
		}
		node = found.Primary
	}
	if err := inEnvFile(d, names); err != nil {
		return err
	}
	c, err := s.runningSidecar(ctx, node)
	if err != nil {
		return err
	}
	made := map[string]string{}
	var statements strings.Builder
	for _, name := range names {
		made[name] = deployment.Password()
		stored, err := scram.Verifier(made[name])
		if err != nil {
			return err
		}
		fmt.Fprintf(&statements, "ALTER ROLE %s PASSWORD '%s';\n", databaseRoles[name], stored)
	}
	result, err := s.engine.Exec(ctx, c.ID, []string{
		"psql", "--no-psqlrc", "--no-password", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--username=" + database.User, "--dbname=postgres",
	}, statements.String())
	if err != nil {
		return err
	}
	if result.ExitCode != 0 {
		return problem.Problem{ID: "secrets-unchanged", Where: c.Name, What: "the database does not take new passwords: " + result.Stderr, Fix: "inmanta-docker logs " + node}
	}
	if err := d.Store(made); err != nil {
		return errors.Join(err, problem.Problem{
			ID: "secrets-half-changed", Where: d.Dir, What: "the database has new passwords that could not be written to .env", Fix: "make .env writable, and run inmanta-docker secrets rotate again",
		})
	}
	return nil
}

// inEnvFile refuses settings that come from somewhere else than the deployment's
// own .env: what is written there would not be what is used.
func inEnvFile(d deployment.Deployment, names []string) error {
	var problems problem.List
	for _, name := range names {
		if _, from, ok := d.Setting(name); ok && from.Source != deployment.FromEnv {
			problems = append(problems, problem.Problem{
				ID: "secret-elsewhere", Where: from.Place(), What: name + " is not set in .env, so it cannot be changed there", Fix: "move it to .env",
			})
		}
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}
