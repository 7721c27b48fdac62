package dbarchive

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/moments"
)

// Where things are in the container.
const (
	// Folder is that of the archive, on the host.
	Folder = "/db-archive"
	// socketFolder is where the server of the database listens.
	socketFolder = "/var/run/postgresql"
	// slot is the server's note of what the archive does not have yet.
	slot = "db_archive"
	// user is the database's, maintenance a database that is always there.
	user, maintenance = "inmanta", "postgres"
)

// Config is all that the daemon is told.
type Config struct {
	// Folder is that of the archive, which the operator knows as Shown.
	Folder, Shown string
	// Deployment is what the names in it begin with.
	Deployment string
	Policy     moments.Policy
	// Problems are what is wrong with how it was configured: with any, it archives
	// nothing and is unhealthy.
	Problems []string
	// Log is written what happens, one JSON object a line.
	Log io.Writer
}

// FromEnvironment is the configuration in the container. What is wrong with it is
// in Problems.
func FromEnvironment(environ []string, log io.Writer) Config {
	values := map[string]string{}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		values[name] = strings.TrimSpace(value)
	}
	get := func(name, preset string) string {
		if value := values[name]; value != "" {
			return value
		}
		return preset
	}
	c := Config{Folder: Folder, Shown: get(moments.Prefix+"FOLDER", Folder), Deployment: get("INMANTA_NAME", "inmanta"), Log: log}
	policy, wrong := moments.FromSettings(func(name string) string { return values[name] })
	c.Policy = policy
	for _, p := range wrong {
		c.Problems = append(c.Problems, fmt.Sprintf("%s: %s; %s", p.Where, p.What, p.Fix))
	}
	return c
}

// Patiences: how often the server is asked how far it is, how long it may take to
// answer, and how long the archive may be behind before that is a fault.
const (
	lookPeriod  = 2 * time.Second
	askPatience = 10 * time.Second
	lagPatience = time.Minute
)

// mostHeld is how much of the log the server may have to keep for the archive
// before that is a fault, in bytes.
const mostHeld = 1 << 30
