package postgres

import (
	"strings"
	"testing"
)

// lastOf are the settings as a server takes them: the last line of each.
func lastOf(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		values[name] = value
	}
	return values
}

// What the volume's own configuration says comes first, and loses.
func TestServerConfig(t *testing.T) {
	t.Parallel()
	c := Config{Node: FirstNode, Peer: SecondNode, PeerHost: SecondNode, PeerPort: 5432, Data: "/data", Run: "/run"}
	text := serverConfig(c, orders{waitFor: SecondNode})
	if first, _, _ := strings.Cut(strings.SplitAfterN(text, "\n", 2)[1], "\n"); first != "include_if_exists '/data/postgresql.conf'" {
		t.Errorf("it begins with %q", first)
	}
	got := lastOf(text)
	for name, want := range map[string]string{
		// By its name, and no other: `*` would take anybody's word who copies the log.
		"synchronous_standby_names": `'FIRST 1 ("db-replica")'`,
		"synchronous_commit":        "'on'", "fsync": "'on'", "full_page_writes": "'on'",
		"hba_file": "'/run/pg_hba.conf'", "primary_conninfo": "''",
	} {
		if got[name] != want {
			t.Errorf("%s is %s, want %s", name, got[name], want)
		}
	}
	c.Certificates = map[string][]byte{}
	if got := lastOf(serverConfig(c, orders{follow: true, tls: true})); got["ssl"] != "'on'" || !strings.Contains(got["primary_conninfo"], "sslmode=verify-full") {
		t.Errorf("between two machines: ssl %s, %s", got["ssl"], got["primary_conninfo"])
	}
}

func TestHostRules(t *testing.T) {
	t.Parallel()
	rules := func(o orders) (kept []string) {
		for line := range strings.Lines(hostRules(o)) {
			if strings.HasPrefix(line, "host") {
				kept = append(kept, strings.Join(strings.Fields(line), " "))
			}
		}
		return kept
	}
	const stranger = "host all inmanta_replication all reject"
	for name, c := range map[string]struct {
		o    orders
		want string
	}{
		"open": {
			orders{source: "10.0.0.2/32"},
			"host replication inmanta_replication 10.0.0.2/32 scram-sha-256\n" + stranger + "\nhost all all all scram-sha-256",
		},
		"closed": {
			orders{source: "10.0.0.2/32", closed: true},
			"host replication inmanta_replication 10.0.0.2/32 scram-sha-256\n" + stranger + "\nhost all all all reject",
		},
		"the peer has no address": {orders{}, stranger + "\nhost all all all scram-sha-256"},
		"with TLS, an address of the other kind": {
			orders{source: "fd00::2/128", tls: true},
			"hostssl replication inmanta_replication fd00::2/128 scram-sha-256\n" + stranger + "\nhostssl all all all scram-sha-256",
		},
	} {
		if got := strings.Join(rules(c.o), "\n"); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}
