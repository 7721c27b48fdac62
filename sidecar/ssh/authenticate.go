package ssh

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/inmanta/inmanta-docker/sidecar/authorizedkeys"
)

// The algorithms that are offered: no SHA-1, nothing of NIST's curves for the
// key exchange, and no ChaCha20, which costs a processor with AES instructions
// twice as much and which clients would prefer. ssh-audit checks them against
// e2e/testdata/ssh/policy.txt.
var (
	keyExchanges = []string{ssh.KeyExchangeMLKEM768X25519, ssh.KeyExchangeCurve25519, "curve25519-sha256@libssh.org"}
	ciphers      = []string{ssh.CipherAES128GCM, ssh.CipherAES256GCM, ssh.CipherAES256CTR, ssh.CipherAES128CTR}
	macs         = []string{ssh.HMACSHA256ETM, ssh.HMACSHA512ETM}
	userKeys     = []string{
		ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
	}
)

// serverVersion is what clients read first. Those of OpenSSH, and others that
// look for its name, tell a server of its kind more than they tell one they do
// not know: that nobody reads a command's output any more (eow@openssh.com), in
// which order a link's two names come over sftp. No number: it is of use only
// to those who look for one with a known hole.
const serverVersion = "SSH-2.0-OpenSSH_compatible_inmanta_docker"

// login is one connection's way in.
type login struct {
	server *Server
	id     uint64
	remote netip.AddrPort
	text   string // remote, for people
	// self says that the connection is the server's own.
	self bool
	// fresh are the keys as they were when the connection came; read once, at
	// the first attempt.
	fresh []authorizedkeys.Key
	read  bool
	// last is what is known of the latest attempt.
	last attempt
}

// attempt is one try to log in, for the log.
type attempt struct {
	user, method, key, reason string
	count                     int
}

func (s *Server) newLogin(conn net.Conn, id uint64) *login {
	l := &login{server: s, id: id, text: conn.RemoteAddr().String()}
	l.remote, _ = netip.ParseAddrPort(l.text)
	l.self = s.self.made(l.text)
	return l
}

// grantKey is where the permissions of x/crypto hold what was granted.
type grantKey struct{}

func (l *login) config() *ssh.ServerConfig {
	config := &ssh.ServerConfig{
		Config:                    ssh.Config{KeyExchanges: keyExchanges, Ciphers: ciphers, MACs: macs},
		PublicKeyAuthAlgorithms:   userKeys,
		MaxAuthTries:              l.server.config.Limits.Tries,
		ServerVersion:             serverVersion,
		PublicKeyCallback:         l.offered,
		VerifiedPublicKeyCallback: l.proven,
		AuthLogCallback:           l.tried,
	}
	for _, key := range l.server.hostKeys {
		config.AddHostKey(key)
	}
	return config
}

// errRefused is all that a client learns, whatever the reason.
var errRefused = errors.New("refused")

// offered is asked about a key that a client says it has.
func (l *login) offered(client ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	return l.decide(client, key, "")
}

// proven is asked once the client has signed with it. Only here is it known
// how it signs, and only what is decided here counts: the key that was offered
// last need not be the one that signed.
func (l *login) proven(client ssh.ConnMetadata, key ssh.PublicKey, _ *ssh.Permissions, algorithm string) (*ssh.Permissions, error) {
	return l.decide(client, key, algorithm)
}

func (l *login) decide(client ssh.ConnMetadata, key ssh.PublicKey, algorithm string) (*ssh.Permissions, error) {
	if l.self {
		if !l.server.self.holds(key) {
			return nil, errRefused
		}
		return permit(authorizedkeys.Grant{}), nil
	}
	if !l.read {
		l.fresh, _ = l.server.config.Keys.Read()
		l.read = true
	}
	// Asked whoever the user is, so that an unknown one takes as long.
	account := l.server.config.Account.Name
	grant, err := authorizedkeys.Decide(l.fresh, account, authorizedkeys.Attempt{
		User: client.User(), Key: key, Remote: l.remote.Addr(), Now: time.Now(), SignatureAlgorithm: algorithm,
	})
	l.last.key = grant.Fingerprint
	if err != nil {
		// Of a certificate it is the key's that it is for.
		var refusal authorizedkeys.Refusal
		if errors.As(err, &refusal) {
			l.last.key = refusal.Fingerprint
		}
		l.last.reason = err.Error()
		return nil, errRefused
	}
	return permit(grant), nil
}

func permit(grant authorizedkeys.Grant) *ssh.Permissions {
	permissions := &ssh.Permissions{ExtraData: map[any]any{grantKey{}: grant}}
	if grant.NoTouchRequired {
		// What x/crypto looks at when it verifies a security key's signature.
		permissions.Extensions = map[string]string{"no-touch-required": ""}
	}
	return permissions
}

// tried hears of every attempt and what became of it.
func (l *login) tried(client ssh.ConnMetadata, method string, err error) {
	if method == "none" && err != nil {
		return // how clients ask which methods there are
	}
	reason := l.last.reason
	if reason == "" && err != nil {
		reason = err.Error()
	}
	l.last = attempt{user: client.User(), method: method, key: l.last.key, reason: reason, count: l.last.count + 1}
	if method != "publickey" {
		l.last.key = ""
	}
	var partial *ssh.PartialSuccessError
	if err != nil && !errors.As(err, &partial) {
		l.server.audit.write(Event{
			Event: EventRefused, Connection: l.id, Remote: l.text, User: client.User(), Client: string(client.ClientVersion()),
			Method: method, Key: l.last.key, Reason: reason,
		})
	}
	l.last.reason = ""
}

// failed says how a connection ended without a login.
func (l *login) failed(err error, evicted bool) {
	reason := err.Error()
	var timeout net.Error
	switch {
	case evicted:
		reason = "too many clients were logging in at once; this was the oldest of them"
	case errors.As(err, &timeout) && timeout.Timeout():
		reason = fmt.Sprintf("no login within %s", l.server.config.Limits.Login)
	case l.last.count > 0:
		reason = fmt.Sprintf("no login after %d attempts", l.last.count)
	}
	if more, ok := l.server.refusals.say(reason, time.Now()); ok {
		if more > 0 {
			reason = fmt.Sprintf("%s (and %d more like it)", reason, more)
		}
		l.server.audit.write(Event{Event: EventRefused, Connection: l.id, Remote: l.text, Reason: reason})
	}
}

// grantOf is what the client that logged in may do.
func grantOf(client *ssh.ServerConn) authorizedkeys.Grant {
	grant, ok := client.Permissions.ExtraData[grantKey{}].(authorizedkeys.Grant)
	if !ok {
		// A zero grant permits nothing but a session; no login is without one.
		return authorizedkeys.Grant{}
	}
	return grant
}

// source is the line that let a client in; "" for the server's own.
func source(grant authorizedkeys.Grant) string {
	if grant.Source == "" {
		return ""
	}
	return fmt.Sprintf("%s, line %d", grant.Source, grant.Line)
}

// forwardable are the kinds of channel that -L and -D open.
var forwardable = []string{"direct-tcpip", "direct-streamlocal@openssh.com"}

func isForward(kind string) bool { return slices.Contains(forwardable, kind) }
