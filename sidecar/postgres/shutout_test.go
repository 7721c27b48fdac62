package postgres

import (
	"strings"
	"testing"
)

func TestShutOut(t *testing.T) {
	t.Parallel()
	c := Config{Peer: "db", PeerHost: "10.0.0.1"}
	const begin = `2026-11-27 12:23:07.648 UTC [102] FATAL:  could not connect to the primary server: connection to server at "10.0.0.1", port 5432 failed: `
	for line, want := range map[string]string{
		begin + "SSL error: certificate verify failed":                                               "not of the authority",
		begin + `server certificate for "db" (and 1 other name) does not match host name "10.0.0.1"`: "not good for 10.0.0.1",
		begin + `FATAL:  password authentication failed for user "inmanta_replication"`:              "refuses the replication password",
		begin + `FATAL:  no pg_hba.conf entry for replication connection from host "10.0.0.9"`:       "does not expect this node",
		begin + `FATAL:  pg_hba.conf rejects replication connection for host "10.0.0.9"`:             "does not expect this node",
		begin + "Connection refused":                                 "",
		"LOG:  certificate verify failed":                            "",
		"STATEMENT:  SELECT 'could not connect to the primary', 'a'": "",
	} {
		why, fix := shutOut(c, line)
		if (why == "") != (want == "") || !strings.Contains(why, want) || (why == "") != (fix == "") {
			t.Errorf("%s: %q, %q; want %q", line, why, fix, want)
		}
	}
}
