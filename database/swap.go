package database

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/printed"
)

// Names of the databases that a restore has besides the orchestrator's own.
const (
	// Loaded is what a backup is loaded into, while the other one is in use.
	Loaded = "inmanta_restore"
	// Before is what was there, until what was restored serves.
	Before = "inmanta_before"
)

// Present says which of the three there are.
type Present struct{ Current, Loaded, Before bool }

// Look says which of the three databases the server has.
func Look(ctx context.Context, c Container, container string) (Present, error) {
	names, err := sql(ctx, c, container, maintenance, "select datname from pg_database")
	if err != nil {
		return Present{}, fmt.Errorf("listing the databases: %w", err)
	}
	var p Present
	for _, name := range strings.Fields(names) {
		p.Current = p.Current || name == User
		p.Loaded = p.Loaded || name == Loaded
		p.Before = p.Before || name == Before
	}
	return p, nil
}

// Prepare makes an empty database to load a backup into. One of that name that is
// there already is what an earlier attempt left, and goes.
func Prepare(ctx context.Context, c Container, container string) error {
	if err := Drop(ctx, c, container, Loaded); err != nil {
		return err
	}
	if _, err := sql(ctx, c, container, maintenance, "create database "+Loaded+" template template0"); err != nil {
		return fmt.Errorf("making a database for what is restored: %w", err)
	}
	return nil
}

// Drop drops a database, if it is there, whoever is connected to it.
func Drop(ctx context.Context, c Container, container, name string) error {
	if _, err := sql(ctx, c, container, maintenance, "set client_min_messages = error; drop database if exists "+name+" with (force)"); err != nil {
		return fmt.Errorf("dropping the database %s: %w", name, err)
	}
	return nil
}

// SwapIn gives the loaded database the place of the current one, which becomes
// Before: both at once, or none. Connections to them are ended; whoever uses them
// must be down.
func SwapIn(ctx context.Context, c Container, container string) error {
	return rename(ctx, c, container, User, Before, Loaded, User)
}

// SwapOut undoes SwapIn.
func SwapOut(ctx context.Context, c Container, container string) error {
	return rename(ctx, c, container, User, Loaded, Before, User)
}

// renamePatience is how long somebody who connects in between may be in the way,
// such as a health check.
const renamePatience = 30 * time.Second

// rename gives two databases other names, in one transaction.
func rename(ctx context.Context, c Container, container, from, to, from2, to2 string) error {
	ctx, cancel := context.WithTimeout(ctx, renamePatience)
	defer cancel()
	statements := fmt.Sprintf(`do 'begin perform pg_terminate_backend(pid, 5000) from pg_stat_activity where datname in (''%s'', ''%s''); end';
begin;
alter database %s rename to %s;
alter database %s rename to %s;
commit;
`, from, from2, from, to, from2, to2)
	for {
		_, err := sql(ctx, c, container, maintenance, statements)
		if err == nil {
			return nil
		}
		if !strings.Contains(err.Error(), "being accessed by other users") || ctx.Err() != nil {
			return fmt.Errorf("giving the databases other names: %w", err)
		}
	}
}

// Environments are the names of the orchestrator's environments, as its database
// has them; none before its first start.
func Environments(ctx context.Context, c Container, container string) ([]string, error) {
	const question = `select to_regclass('public.environment') is not null as started \gset
\if :started
select name from environment order by name;
\endif
`
	names, err := sql(ctx, c, container, User, question)
	if err != nil {
		return nil, fmt.Errorf("listing the environments: %w", err)
	}
	if names == "" {
		return nil, nil
	}
	return strings.Split(names, "\n"), nil
}

// Place is the encoding of the orchestrator's database, and how many bytes there is
// room for in the folder that the server has.
func Place(ctx context.Context, c Container, container, folder string) (encoding string, free int64, err error) {
	encoding, err = sql(ctx, c, container, User, "select pg_encoding_to_char(encoding) from pg_database where datname = current_database()")
	if err != nil {
		return "", 0, fmt.Errorf("asking for the encoding: %w", err)
	}
	result, err := c.Exec(ctx, container, []string{"df", "-P", "-k", folder}, "")
	if err != nil {
		return "", 0, err
	}
	fields := strings.Fields(printed.LastLine(result.Stdout))
	if result.ExitCode != 0 || len(fields) < 6 {
		return "", 0, fmt.Errorf("asking for the room in %s: %s%s", folder, result.Stdout, result.Stderr)
	}
	if _, err := fmt.Sscan(fields[3], &free); err != nil {
		return "", 0, fmt.Errorf("asking for the room in %s: %w", folder, err)
	}
	return encoding, free * 1024, nil
}

// HaltAll halts every environment in the database of that name, which no
// orchestrator uses yet.
func HaltAll(ctx context.Context, c Container, container, name string) error {
	const statements = `select to_regclass('public.environment') is not null as started \gset
\if :started
update environment set halted = true where not halted;
\endif
`
	if _, err := sql(ctx, c, container, name, statements); err != nil {
		return fmt.Errorf("halting the environments: %w", err)
	}
	return nil
}
