// Package database asks the deployment's PostgreSQL questions, through the
// engine and psql in its own container: that works the same for an engine on
// this host, on another one and in a virtual machine, and publishes no port.
package database

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/inmanta/inmanta-docker/engine"
)

// User is the database user and database that the compose files set.
const User = "inmanta"

// ErrPassword says that the server refuses the password.
var ErrPassword = errors.New("password authentication failed")

// Container runs commands in containers.
type Container interface {
	// Exec waits for the command; an exit code other than 0 is no error.
	Exec(ctx context.Context, container string, command []string, stdin string) (engine.Result, error)
}

// Login tries the password over the network address that the orchestrator
// uses, where it counts: connections from inside, over loopback or the socket,
// are trusted. host is the container's own name for itself (its hostname).
// It returns ErrPassword when the server refuses the password.
func Login(ctx context.Context, c Container, container, host, password string) error {
	// The password travels on standard input: in no argument list, in nothing that the engine records.
	const script = `IFS= read -r PGPASSWORD && export PGPASSWORD &&
exec psql --no-psqlrc --no-password --quiet --host="$1" --username="$2" --dbname="$2" --command='select 1'`
	result, err := c.Exec(ctx, container, []string{"sh", "-c", script, "login", host, User}, password+"\n")
	if err != nil {
		return err
	}
	switch {
	case result.ExitCode == 0:
		return nil
	case strings.Contains(result.Stderr, "password authentication failed"):
		return ErrPassword
	default:
		return fmt.Errorf("connecting to the database: %s", result.Stderr)
	}
}

// Status is what a running database says of itself.
type Status struct {
	// Version is the server's, such as "17.6".
	Version string `json:"version"`
	// Bytes is the size of the orchestrator's database.
	Bytes int64 `json:"bytes"`
	// Connections counts those of clients, to any database; MaxConnections is their limit.
	Connections    int `json:"connections"`
	MaxConnections int `json:"max_connections"`
}

// Ask queries the database's own view of itself.
func Ask(ctx context.Context, c Container, container string) (Status, error) {
	const query = `select json_build_object(
 'version', split_part(current_setting('server_version'), ' ', 1),
 'bytes', pg_database_size(current_database()),
 'connections', (select count(*) from pg_stat_activity where backend_type = 'client backend'),
 'max_connections', current_setting('max_connections')::int)`
	result, err := c.Exec(ctx, container, []string{
		"psql", "--no-psqlrc", "--no-password", "--tuples-only", "--no-align",
		"--username=" + User, "--dbname=" + User, "--command=" + query,
	}, "")
	if err != nil {
		return Status{}, err
	}
	if result.ExitCode != 0 {
		return Status{}, fmt.Errorf("asking the database: %s", result.Stderr)
	}
	var s Status
	if err := json.Unmarshal([]byte(result.Stdout), &s); err != nil {
		return Status{}, fmt.Errorf("reading the database's answer: %w", err)
	}
	return s, nil
}
