package dbdump

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/dumps"
)

// Where things are in the container.
const (
	// Folder is that of the dumps, on the host.
	Folder = "/db-dumps"
	// stateFolder is the volume of the sidecar's own state, runFolder one in memory.
	stateFolder = "/var/lib/inmanta-sidecar/db-dump"
	runFolder   = "/run/inmanta-db-dump"
	// passwordFile is the database's password, for root alone.
	passwordFile = "/run/secrets/inmanta-database-password"
)

// Config is all that the daemon is told.
type Config struct {
	// Folder is that of the dumps, which the operator knows as Shown; State is one
	// for what is remembered, Run one for the password.
	Folder, Shown, State, Run string
	// Deployment is what the names of the dumps begin with.
	Deployment string
	Policy     dumps.Policy
	// Problems are what is wrong with how it was configured: with any, it dumps
	// nothing and is unhealthy.
	Problems []string
	// Servers are where the database may be, in the order of preference among equals.
	Servers        []address
	User, Database string
	Password       string
	// Tools is the environment of PostgreSQL's programs.
	Tools []string
	// Address is the unix socket it answers on.
	Address string
	// Log is written what happens, one JSON object a line.
	Log io.Writer
	// Now tells the time; nil is the clock. Step is called between any two effects,
	// with the name of the next: tests end the process there.
	Now  func() time.Time
	Step func(name string)
	// inquire asks a server how it is; nil does so over the network.
	inquire func(context.Context, address) server
	// comeback is how long a folder that cannot be used is left alone; 0 is ten seconds.
	comeback time.Duration
}

// address is where a server of the database may be.
type address struct {
	Host, Port string
	// Optional is one that the topology need not have: it is only looked for on
	// the container's own networks.
	Optional bool
}

// replicaHost is the service of the second database, where there is one.
const replicaHost = "db-replica"

// FromEnvironment is the configuration in the container. What is wrong with it is
// in Problems. Servers are PGHOST and PGPORT, lists as libpq has them, and the
// second database unless it is among them; PGSSL… mean what they mean there.
func FromEnvironment(environ []string, log io.Writer) Config {
	values := map[string]string{}
	var tools []string
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		values[name] = value
		if name == "PATH" || strings.HasPrefix(name, "PGSSL") {
			tools = append(tools, variable)
		}
	}
	get := func(name, preset string) string {
		if value := strings.TrimSpace(values[name]); value != "" {
			return value
		}
		return preset
	}
	c := Config{
		Folder: Folder, Shown: get("INMANTA_DB_DUMP_FOLDER", Folder), State: stateFolder, Run: runFolder,
		Deployment: get("INMANTA_NAME", "inmanta"),
		User:       get("PGUSER", "inmanta"), Database: get("PGDATABASE", "inmanta"),
		// Their messages are looked at here.
		Tools:   append(tools, "LC_ALL=C.UTF-8", "HOME=/nonexistent", "PGPASSFILE="+runFolder+"/"+passFile),
		Address: socket, Log: log,
	}
	var err error
	if c.Servers, err = addresses(get("PGHOST", "db"), get("PGPORT", "5432")); err != nil {
		c.Problems = append(c.Problems, err.Error())
	}
	policy, wrong := dumps.FromSettings(func(name string) string { return values[name] })
	c.Policy = policy
	for _, p := range wrong {
		c.Problems = append(c.Problems, fmt.Sprintf("%s: %s; %s", p.Where, p.What, p.Fix))
	}
	return c
}

// addresses are the servers that PGHOST and PGPORT list.
func addresses(hosts, ports string) ([]address, error) {
	var all []address
	names, numbers := strings.Split(hosts, ","), strings.Split(ports, ",")
	if len(numbers) != 1 && len(numbers) != len(names) {
		return nil, fmt.Errorf("PGHOST lists %d hosts and PGPORT %d ports: write one port, or one for each host", len(names), len(numbers))
	}
	known := false
	for i, name := range names {
		if name = strings.TrimSpace(name); name == "" {
			continue // of another machine that this deployment does not have
		}
		known = known || name == replicaHost
		all = append(all, address{Host: name, Port: strings.TrimSpace(numbers[min(i, len(numbers)-1)])})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("PGHOST names no host")
	}
	if !known {
		all = append(all, address{Host: replicaHost, Port: "5432", Optional: true})
	}
	return all, nil
}
