package postgres

import "strings"

// shutOut is what a line of a standby's log says of why its primary, which is
// there, does not let it in, and what to do; empty for other lines.
func shutOut(c Config, line string) (why, fix string) {
	_, reason, ok := strings.Cut(line, "could not connect to the primary server:")
	if !ok {
		return "", ""
	}
	const renew = "give both certificates of one authority, for the addresses they reach each other by: inmanta-docker db certificates"
	switch {
	case strings.Contains(reason, "certificate verify failed"):
		return c.Peer + "'s certificate is not of the authority in ca.crt, or has ended", renew
	case strings.Contains(reason, "does not match host name"):
		return c.Peer + "'s certificate is not good for " + c.PeerHost, renew
	case strings.Contains(reason, "password authentication failed"):
		return c.Peer + " refuses the replication password", "set one and the same for both"
	case strings.Contains(reason, "pg_hba.conf"):
		return c.Peer + " does not expect this node at the address that it connects from", "set INMANTA_DATABASE_PEER_SOURCE there"
	}
	return "", ""
}
