package authorizedkeys

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Attempt is one try to log in with one key.
type Attempt struct {
	// User is the name the client wants to log in as.
	User string
	// Key is the key or certificate presented, as ssh.ParsePublicKey gives it.
	// Its signature over the session is not Decide's to verify.
	Key ssh.PublicKey
	// Remote is where the client connects from.
	Remote netip.Addr
	Now    time.Time
	// SignatureAlgorithm is how the client signed, as in ssh.Signature.Format;
	// empty while it only asks whether the key would do. A grant that was given
	// then says nothing about the signature to come: decide again.
	SignatureAlgorithm string
}

// Grant is what an attempt that was let in may do. Whatever is not in it is not
// granted; its zero value grants nothing but to run commands.
type Grant struct {
	// Fingerprint is "SHA256:…" of the key that logs in, a certificate's own key included.
	Fingerprint string
	// Comment, Source and Line are of the line that lets it in.
	Comment string
	Source  string
	Line    int

	// Of a certificate: its name and number, which whoever presents it chose
	// together with its authority, and the fingerprint of that. Empty for a plain key.
	KeyID     string
	Serial    uint64
	Authority string

	// ForcedCommand runs instead of whatever the client asks for, be it a
	// command, a shell or a subsystem; empty where none is forced.
	ForcedCommand string
	// PTY, AgentForwarding and UserRC are whether those are permitted.
	PTY, AgentForwarding, UserRC bool
	// Open and Listen are what may be forwarded.
	Open   Destinations
	Listen Listeners
	// NoTouchRequired is whether a security key may sign without being touched:
	// only then may ssh.Permissions.Extensions say "no-touch-required".
	NoTouchRequired bool
	// Expires is the last moment this very attempt would be let in; zero where
	// there is none, or none before the year 10000.
	Expires time.Time
}

// Refusal is why an attempt was not let in. It is for the server's log, not for
// the client, and names the lines that hold the key. What a client chose is
// quoted in it, and shortened.
type Refusal struct {
	// Fingerprint is "SHA256:…" of the key presented; empty where there was none.
	Fingerprint string
	// What is a sentence without its full stop.
	What string
}

// Error implements error.
func (r Refusal) Error() string { return r.What }

// mostReasons bounds a refusal where many lines hold the same key.
const mostReasons = 4

// Decide says what an attempt to log in as user, the only one there is, may do.
// The first line that lets it in decides, whatever the others say. The error is
// always a Refusal.
func Decide(keys []Key, user string, attempt Attempt) (Grant, error) {
	if attempt.Key == nil {
		return Grant{}, Refusal{What: "no key was presented"}
	}
	grant, reason := weigh(keys, user, attempt)
	// Only now, so that it takes no less time to refuse a user that there is not.
	if attempt.User != user {
		reason = fmt.Sprintf("there is no user %s here, only %s", shown(attempt.User), user)
	}
	fingerprint := ssh.FingerprintSHA256(holder(attempt.Key))
	if reason != "" {
		return Grant{}, Refusal{Fingerprint: fingerprint, What: reason}
	}
	grant.Fingerprint = fingerprint
	return grant, nil
}

// holder is the key that signs: a certificate's own.
func holder(key ssh.PublicKey) ssh.PublicKey {
	if certificate, is := key.(*ssh.Certificate); is {
		return certificate.Key
	}
	return key
}

// weigh is what an attempt may do that is of the user, or the reason why it is refused.
func weigh(keys []Key, user string, attempt Attempt) (grant Grant, reason string) {
	signer := holder(attempt.Key)
	if weakness := weak(signer); weakness != "" {
		return Grant{}, weakness
	}
	if used := attempt.SignatureAlgorithm; used != "" && !signsWell(signer, used) {
		return Grant{}, fmt.Sprintf("a signature of the kind %s is not accepted of a key of type %s", shown(used), signer.Type())
	}
	listed := attempt.Key // what a line has to hold
	certificate, isCertificate := attempt.Key.(*ssh.Certificate)
	if isCertificate {
		listed = certificate.SignatureKey
	}
	blob := string(listed.Marshal())
	var reasons []string
	for _, key := range keys {
		if key.blob != blob || key.Authority != isCertificate {
			continue
		}
		grant, reason := key.admit(user, attempt, certificate)
		if reason == "" {
			return grant, ""
		}
		switch { // and on, whatever there is: a later line may let in
		case len(reasons) < mostReasons:
			reasons = append(reasons, key.Where()+": "+reason)
		case len(reasons) == mostReasons:
			reasons = append(reasons, "and more")
		}
	}
	switch {
	case len(reasons) > 0:
		return Grant{}, strings.Join(reasons, "; ")
	case isCertificate:
		return Grant{}, "no line has the authority " + ssh.FingerprintSHA256(listed) + " that signed the certificate"
	}
	return Grant{}, "no line has the key"
}

// signsWell is whether a signature made in that way is accepted of a key: for
// RSA not with SHA-1, for all others in the only way there is.
func signsWell(key ssh.PublicKey, algorithm string) bool {
	if key.Type() == ssh.KeyAlgoRSA {
		return algorithm == ssh.KeyAlgoRSASHA256 || algorithm == ssh.KeyAlgoRSASHA512
	}
	return algorithm == key.Type()
}

// admit is what one line that holds the key grants, or the reason why it does not.
func (k Key) admit(user string, attempt Attempt, certificate *ssh.Certificate) (grant Grant, reason string) {
	if end := k.Options.Expires; !end.IsZero() && attempt.Now.After(end) {
		return Grant{}, "it expired at " + end.UTC().Format(time.RFC3339)
	}
	if !k.Options.from.allow(attempt.Remote) {
		return Grant{}, "from= does not permit " + bare(attempt.Remote).String()
	}
	grant = Grant{
		Comment: k.Comment, Source: k.Source, Line: k.Line,
		ForcedCommand: k.Options.Command,
		PTY:           k.Options.PTY, AgentForwarding: k.Options.AgentForwarding, UserRC: k.Options.UserRC,
		Open: k.Options.destinations(), Listen: k.Options.listeners(),
		NoTouchRequired: k.Options.NoTouchRequired,
		Expires:         k.Options.Expires,
	}
	if certificate == nil {
		return grant, ""
	}
	if reason := grant.certify(user, k.Options.Principals, attempt, certificate); reason != "" {
		return Grant{}, "the certificate " + shown(certificate.KeyId) + " " + reason
	}
	return grant, ""
}
