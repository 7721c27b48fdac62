package authorizedkeys

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Names of what a certificate may demand, and permit. Others that it demands
// refuse it, others that it permits mean nothing.
const (
	forceCommand  = "force-command"
	sourceAddress = "source-address"

	noTouchRequired       = "no-touch-required"
	permitAgentForwarding = "permit-agent-forwarding"
	permitPortForwarding  = "permit-port-forwarding"
	permitPTY             = "permit-pty"
	permitUserRC          = "permit-user-rc"
	permitX11Forwarding   = "permit-X11-forwarding"
)

// certify narrows what the authority's line grants down to what its certificate
// does, or gives the reason why the certificate is not accepted.
func (g *Grant) certify(user string, principals []string, attempt Attempt, certificate *ssh.Certificate) (reason string) {
	if reason := isForUser(certificate, user, principals); reason != "" {
		return reason
	}
	if reason := isValidAt(certificate, attempt.Now); reason != "" {
		return reason
	}
	if reason := g.demand(certificate, attempt.Remote); reason != "" {
		return reason
	}
	if reason := g.permit(certificate); reason != "" {
		return reason
	}
	// Last, because it is by far the most work.
	if reason := isSigned(certificate, attempt.Now); reason != "" {
		return reason
	}
	g.KeyID, g.Serial = certificate.KeyId, certificate.Serial
	g.Authority = ssh.FingerprintSHA256(certificate.SignatureKey)
	if end, ends := moment(certificate.ValidBefore); ends && (g.Expires.IsZero() || !g.Expires.Before(end)) {
		g.Expires = end.Add(-1) // ValidBefore itself is too late
	}
	return ""
}

// isForUser is why a certificate is not for a user; "" where it is. A
// certificate without principals is for nobody.
func isForUser(certificate *ssh.Certificate, user string, principals []string) string {
	switch {
	case certificate.CertType != ssh.UserCert:
		return "is not one of a user"
	case len(certificate.ValidPrincipals) == 0:
		return "names no principal"
	case len(principals) == 0 && !slices.Contains(certificate.ValidPrincipals, user):
		return "does not name " + user + " among its principals"
	case len(principals) > 0 && !slices.ContainsFunc(certificate.ValidPrincipals, func(name string) bool { return slices.Contains(principals, name) }):
		return "names none of the line's principals"
	}
	return ""
}

func isValidAt(certificate *ssh.Certificate, now time.Time) string {
	seconds := now.Unix()
	if seconds < 0 || uint64(seconds) < certificate.ValidAfter {
		return "is not valid yet"
	}
	if uint64(seconds) >= certificate.ValidBefore {
		return "is not valid any more"
	}
	return ""
}

// moment is a time as certificates have it; false where it is never, or too far
// off to be written with four digits of a year.
func moment(seconds uint64) (time.Time, bool) {
	if end := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).Unix(); seconds >= uint64(end) {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0), true
}

// demand applies the critical options.
func (g *Grant) demand(certificate *ssh.Certificate, remote netip.Addr) string {
	for _, name := range slices.Sorted(maps.Keys(certificate.CriticalOptions)) {
		switch value := certificate.CriticalOptions[name]; name {
		case forceCommand:
			if value == "" {
				return "forces an empty command"
			}
			if g.ForcedCommand != "" && g.ForcedCommand != value {
				return "forces another command than its line"
			}
			g.ForcedCommand = value
		case sourceAddress:
			if reason := isFrom(value, bare(remote)); reason != "" {
				return reason
			}
		default: // verify-required too: nothing tells the server whether a PIN was entered
			return "demands " + shown(name) + ", which cannot be enforced here"
		}
	}
	return ""
}

// isFrom is why an address is not among those a certificate may be used from.
// Unlike from= these are addresses and networks alone.
func isFrom(list string, remote netip.Addr) string {
	permitted := false
	for text := range strings.SplitSeq(list, ",") {
		prefix, fault := parsePrefix(text)
		if fault != nil {
			return "has a malformed source-address"
		}
		permitted = permitted || prefix.Contains(remote)
	}
	if !permitted {
		return "is not for " + remote.String()
	}
	return ""
}

// permit takes away what the certificate does not permit.
func (g *Grant) permit(certificate *ssh.Certificate) string {
	for _, name := range []string{noTouchRequired, permitAgentForwarding, permitPortForwarding, permitPTY, permitUserRC, permitX11Forwarding} {
		if certificate.Extensions[name] != "" {
			return "has a value for " + name + ", which takes none"
		}
	}
	permits := func(name string) bool {
		_, is := certificate.Extensions[name]
		return is
	}
	g.AgentForwarding = g.AgentForwarding && permits(permitAgentForwarding)
	g.PTY = g.PTY && permits(permitPTY)
	g.UserRC = g.UserRC && permits(permitUserRC)
	if !permits(permitPortForwarding) {
		g.Open, g.Listen = Destinations{}, Listeners{}
	}
	// The ssh library waives the touch as soon as the certificate does, where
	// sshd asks the line as well: such a certificate is refused instead.
	if permits(noTouchRequired) && !g.NoTouchRequired && strings.HasPrefix(certificate.Key.Type(), "sk-") {
		return "waives the touch of a security key, and its line does not: add no-touch-required to it if that is meant"
	}
	g.NoTouchRequired = g.NoTouchRequired && permits(noTouchRequired)
	return ""
}

// isSigned is why the authority's signature does not count; "" where it does.
func isSigned(certificate *ssh.Certificate, now time.Time) string {
	if certificate.Signature == nil || !signsWell(certificate.SignatureKey, certificate.Signature.Format) {
		return "is signed in a way that is not accepted"
	}
	// The library's check is the only way to its verifying of an authority on a
	// security key. What else it checks has been checked, and more strictly.
	checker := ssh.CertChecker{
		SupportedCriticalOptions: []string{forceCommand, sourceAddress},
		Clock:                    func() time.Time { return now },
	}
	if err := checker.CheckCert(certificate.ValidPrincipals[0], certificate); err != nil {
		return "is not accepted: " + err.Error()
	}
	return ""
}
