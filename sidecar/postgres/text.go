package postgres

import (
	"fmt"
	"path/filepath"
	"strings"
)

// What the server is told is outside the volume, in a folder that is gone with
// the container: the volume stays one that the stock image starts as it is, and
// a copy of it carries nothing of the node that it was made from.
const (
	runFolder  = "/run/inmanta-postgres"
	configFile = "postgresql.conf"
	hbaFile    = "pg_hba.conf"
	identFile  = "pg_ident.conf"
	passFile   = "pgpass"
	// socketFolder is the image's own, where `psql` in the container looks.
	socketFolder = "/var/run/postgresql"
)

// orders are what a server is to do, as far as that changes while it runs.
type orders struct {
	// waitFor is the standby whose word a commit waits for; empty for nobody.
	waitFor string
	// closed lets nobody in over the network but the standby.
	closed bool
	// source is where the standby connects from; empty while that is not known.
	source string
	// follow connects a standby to its primary.
	follow bool
	// tls demands it of everybody who connects.
	tls bool
}

// keptSegments bounds what a primary keeps for a standby that is away: enough
// for hours, not enough to fill a disk. Beyond it the standby is copied anew.
const keptSegments = "16GB"

// serverConfig is the server's configuration file.
func serverConfig(c Config, o orders) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by inmanta-sidecar at every start and change.\n")
	fmt.Fprintf(&b, "include_if_exists %s\n", quote(filepath.Join(c.Data, "postgresql.conf")))
	set := func(name, value string) { fmt.Fprintf(&b, "%s = %s\n", name, quote(value)) }
	set("data_directory", c.Data)
	set("hba_file", c.told(hbaFile))
	set("ident_file", c.told(identFile))
	set("listen_addresses", "*")
	set("port", "5432")
	set("unix_socket_directories", socketFolder)
	set("cluster_name", c.Node)
	set("password_encryption", "scram-sha-256")
	// What an acknowledgement is worth.
	set("fsync", "on")
	set("full_page_writes", "on")
	set("synchronous_commit", "on")
	name := ""
	if o.waitFor != "" {
		// By its name: `*` would take anybody's word who copies the log.
		name = fmt.Sprintf(`FIRST 1 ("%s")`, o.waitFor)
	}
	set("synchronous_standby_names", name)
	set("wal_level", "replica")
	set("hot_standby", "on")
	set("max_slot_wal_keep_size", keptSegments)
	set("wal_log_hints", "on")
	// Dead links are found in seconds, by both ends.
	set("wal_sender_timeout", "10s")
	set("wal_receiver_timeout", "10s")
	set("wal_receiver_status_interval", "1s")
	set("wal_retrieve_retry_interval", "500ms")
	set("recovery_target_timeline", "latest")
	set("primary_slot_name", "")
	set("primary_conninfo", "")
	if o.follow {
		set("primary_slot_name", slotName(c.Node))
		set("primary_conninfo", connection(c, c.Node))
	}
	if o.tls {
		set("ssl", "on")
		set("ssl_min_protocol_version", "TLSv1.2")
		set("ssl_cert_file", c.told("server.crt"))
		set("ssl_key_file", c.told("server.key"))
		set("ssl_ca_file", c.told("ca.crt"))
	}
	return b.String()
}

// connection is how the peer's server is reached as the replication user, in
// libpq's words. The receiver of the log does not mind connect_timeout, and no other
// time limit is in force before it streams: tcp_user_timeout, in milliseconds, ends
// what hangs there when the link was cut (tcp(7)).
func connection(c Config, name string) string {
	mode := "sslmode=prefer"
	if c.Certificates != nil {
		mode = "sslmode=verify-full sslrootcert=" + c.told("ca.crt")
	}
	return fmt.Sprintf("host=%s port=%d user=%s passfile=%s application_name=%s connect_timeout=5 keepalives_idle=5 keepalives_interval=2 keepalives_count=3 tcp_user_timeout=10000 %s",
		c.PeerHost, c.PeerPort, replicationUser, c.told(passFile), name, mode)
}

// slotName is a node's replication slot on its primary: no dash is allowed.
func slotName(node string) string { return strings.ReplaceAll(node, "-", "_") }

// hostRules say who may connect from where.
func hostRules(o orders) string {
	host, everyone := "host   ", "all    "
	if o.tls {
		host = "hostssl"
	}
	var b strings.Builder
	b.WriteString("# Written by inmanta-sidecar at every start and change.\n")
	b.WriteString("local   all         all                    peer map=inside\n")
	b.WriteString("local   replication all                    peer map=inside\n")
	if o.source != "" {
		fmt.Fprintf(&b, "%s replication %s %s scram-sha-256\n", host, replicationUser, o.source)
	}
	fmt.Fprintf(&b, "host    all         %s all reject\n", replicationUser)
	if o.closed {
		b.WriteString("# Closed until the standby has all that was here at the start.\n")
		b.WriteString("host    all         all all reject\n")
		return b.String()
	}
	fmt.Fprintf(&b, "%s %s     all all scram-sha-256\n", host, everyone)
	return b.String()
}

// userMap lets root and postgres be any user of the database, inside the
// container: whoever is one of them there owns the files anyway.
func userMap(superuser string) string {
	var b strings.Builder
	for _, user := range []string{"root", "postgres"} {
		for _, role := range []string{superuser, replicationUser, "inmanta", "postgres"} {
			fmt.Fprintf(&b, "inside %s %s\n", user, role)
		}
	}
	return b.String()
}

// passwords is the file that libpq reads the replication user's from.
func passwords(c Config) string {
	escape := strings.NewReplacer(`\`, `\\`, ":", `\:`)
	return fmt.Sprintf("*:*:*:%s:%s\n", replicationUser, escape.Replace(c.Secret))
}

// quote is a value in the server's configuration file.
func quote(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", "''").Replace(value) + "'"
}
