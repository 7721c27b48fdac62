package postgres

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The names of the two nodes: of the services, their host names on the
// deployment's network, and what PostgreSQL calls them.
const (
	FirstNode  = "db"
	SecondNode = "db-replica"
)

// replicationUser is who the standby is on its primary.
const replicationUser = "inmanta_replication"

// AgentPort is where the nodes ask each other how they are.
const AgentPort = 5433

// Config is what the overlay says.
type Config struct {
	// Node is this one, Peer the other.
	Node, Peer string
	// PeerHost, PeerPort and PeerAgentPort are where the other one is reached.
	PeerHost                string
	PeerPort, PeerAgentPort int
	// PeerSource limits where replication may come from, as host-based rules
	// write it; empty for whatever PeerHost resolves to.
	PeerSource string
	// Degrade goes on alone, with a standby that is away. Commits are then lost
	// when this node is.
	Degrade bool
	// Secret is what the nodes know each other by.
	Secret string
	// Superuser is the cluster's, as POSTGRES_USER has it.
	Superuser string
	// Data is the cluster's place, Run that of what its server is told.
	Data, Run string
	// Major is the server's version, as PG_VERSION has it.
	Major string
	// Server are the operator's own arguments for the server.
	Server []string
	// Certificates are what the node proves itself by, and knows others by: ca.crt,
	// server.crt and server.key. Nil without TLS.
	Certificates map[string][]byte
	// Init is the environment for the image's own entrypoint.
	Init []string
}

// told is a file of what the server is told.
func (c Config) told(name string) string { return filepath.Join(c.Run, name) }

// FromEnvironment reads the container's variables and arguments, and says all
// that is wrong with them at once. It reads the files that `…_FILE` variables
// name, which only root may.
func FromEnvironment(environ, server []string) (Config, error) {
	values := map[string]string{}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		values[name] = value
	}
	var wrong []error
	get := func(name, preset string) string {
		value := values[name]
		if file := values[name+"_FILE"]; file != "" {
			text, err := os.ReadFile(file)
			if err != nil {
				wrong = append(wrong, fmt.Errorf("%s_FILE: %w", name, err))
			}
			if value != "" {
				wrong = append(wrong, fmt.Errorf("%s and %s_FILE are both set: keep one of them", name, name))
			}
			value = strings.TrimRight(string(text), "\n")
		}
		if value == "" {
			return preset
		}
		return value
	}
	port := func(name string, preset int) int {
		text := get(name, strconv.Itoa(preset))
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			wrong = append(wrong, fmt.Errorf("%s: %q is no port", name, text))
		}
		return int(n)
	}
	c := Config{
		Node: get("INMANTA_PAIR_NODE", ""), Peer: get("INMANTA_PAIR_PEER", ""),
		PeerSource: get("INMANTA_PAIR_PEER_SOURCE", ""), Secret: get("INMANTA_PAIR_SECRET", ""),
		PeerPort: port("INMANTA_PAIR_PEER_PORT", 5432), PeerAgentPort: port("INMANTA_PAIR_PEER_AGENT_PORT", AgentPort),
		Superuser: get("POSTGRES_USER", "postgres"), Data: get("PGDATA", "/var/lib/postgresql/data"), Run: runFolder,
		Major: get("PG_MAJOR", ""), Server: server,
	}
	c.PeerHost = strings.Trim(get("INMANTA_PAIR_PEER_HOST", c.Peer), "[]")
	for _, name := range []string{"INMANTA_PAIR_NODE", "INMANTA_PAIR_PEER", "INMANTA_PAIR_SECRET"} {
		if get(name, "") == "" {
			wrong = append(wrong, fmt.Errorf("%s is not set", name))
		}
	}
	if c.Node != "" && c.Node == c.Peer {
		wrong = append(wrong, fmt.Errorf("INMANTA_PAIR_PEER: %s is this node itself", c.Peer))
	}
	switch mode := get("INMANTA_PAIR_WHEN_ALONE", "wait"); mode {
	case "wait":
	case "degrade":
		c.Degrade = true
	default:
		wrong = append(wrong, fmt.Errorf("INMANTA_PAIR_WHEN_ALONE: %q is neither wait nor degrade", mode))
	}
	if folder := get("INMANTA_PAIR_TLS", ""); folder != "" && c.Node != "" {
		var err error
		if c.Certificates, err = certificates(folder, c.Node); err != nil {
			wrong = append(wrong, fmt.Errorf("INMANTA_PAIR_TLS: %w; make them with `inmanta-docker db certificates`", err))
		}
	}
	for name := range values {
		base := strings.TrimSuffix(name, "_FILE")
		if strings.HasPrefix(name, "POSTGRES_") && base != name && values[name] != "" {
			c.Init = append(c.Init, base+"="+get(base, ""))
		}
	}
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, "INMANTA_PAIR_") && (!strings.HasPrefix(name, "POSTGRES_") || !strings.HasSuffix(name, "_FILE")) {
			c.Init = append(c.Init, variable)
		}
	}
	return c, errors.Join(wrong...)
}

// certificates reads a node's, and makes sure that they belong together.
func certificates(folder, node string) (map[string][]byte, error) {
	read := map[string][]byte{}
	for as, file := range map[string]string{"ca.crt": "ca.crt", "server.crt": node + ".crt", "server.key": node + ".key"} {
		text, err := os.ReadFile(filepath.Join(folder, file))
		if err != nil {
			return nil, err
		}
		read[as] = text
	}
	pair, err := tls.X509KeyPair(read["server.crt"], read["server.key"])
	if err != nil {
		return nil, fmt.Errorf("%s.crt and %s.key: %w", node, node, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(read["ca.crt"]) {
		return nil, errors.New("ca.crt holds no certificate")
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool}); err != nil {
		return nil, fmt.Errorf("%s.crt: %w", node, err)
	}
	return read, nil
}

// serverEnvironment is what the server and its tools get: no password.
func (c Config) serverEnvironment() []string {
	var kept []string
	for _, variable := range c.Init {
		if !strings.HasPrefix(variable, "POSTGRES_") && !strings.HasPrefix(variable, "PGPASS") {
			kept = append(kept, variable)
		}
	}
	return append(kept, "HOME=/var/lib/postgresql", "PGDATA="+c.Data)
}
