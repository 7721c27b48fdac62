package e2e

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// What a FIDO authenticator says of a signature: that somebody touched it, and
// that it made sure of who it was.
const (
	touched  = 0x01
	verified = 0x04
)

// authenticator is a FIDO authenticator without the plastic: an ssh agent that
// signs as OpenSSH's PROTOCOL.u2f has it.
type authenticator struct {
	agent.Agent // of what is not asked of it
	public      ssh.PublicKey
	sign        func(digest []byte) ([]byte, error)
	flags       byte
}

const skApplication = "ssh:"

func newEd25519Authenticator() (*authenticator, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	parsed, err := ssh.ParsePublicKey(ssh.Marshal(struct {
		Name        string
		Key         []byte
		Application string
	}{ssh.KeyAlgoSKED25519, public, skApplication}))
	return &authenticator{public: parsed, sign: func(message []byte) ([]byte, error) {
		return ed25519.Sign(private, message), nil
	}}, err
}

func newECDSAAuthenticator() (*authenticator, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	parsed, err := ssh.ParsePublicKey(ssh.Marshal(struct {
		Name, Curve string
		Point       []byte
		Application string
	}{ssh.KeyAlgoSKECDSA256, "nistp256", point, skApplication}))
	return &authenticator{public: parsed, sign: func(message []byte) ([]byte, error) {
		digest := sha256.Sum256(message)
		r, s, err := ecdsa.Sign(rand.Reader, private, digest[:])
		return ssh.Marshal(struct{ R, S *big.Int }{r, s}), err
	}}, err
}

func (a *authenticator) List() ([]*agent.Key, error) {
	return []*agent.Key{{Format: a.public.Type(), Blob: a.public.Marshal(), Comment: "in software"}}, nil
}

func (a *authenticator) Sign(key ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	application, message := sha256.Sum256([]byte(skApplication)), sha256.Sum256(data)
	said := append([]byte{a.flags}, 0, 0, 0, 1) // and a counter
	signature, err := a.sign(append(append(application[:], said...), message[:]...))
	return &ssh.Signature{Format: a.public.Type(), Blob: signature, Rest: said}, err
}

// securityKey is ssh with keys that live in an authenticator.
func securityKey(s *sidecar) {
	for name, make := range map[string]func() (*authenticator, error){"sk-ed25519": newEd25519Authenticator, "sk-ecdsa": newECDSAAuthenticator} {
		authenticator, err := make()
		if err != nil {
			s.t.Fatal(err)
		}
		socket := s.serveAgent(authenticator)
		public := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(authenticator.public)))
		login := func(options string, flags byte) bool {
			s.t.Helper()
			s.allow("security-key", strings.TrimSpace(options+" "+public))
			authenticator.flags = flags
			r := s.sh("ssh -F client/stranger -o IdentitiesOnly=no -o IdentityAgent=" + socket + " sidecar whoami")
			return r.code == 0 && r.stdout == "inmanta\n"
		}
		for _, try := range []struct {
			options string
			flags   byte
			in      bool
		}{
			{"", touched, true},
			{"", touched | verified, true},
			{"", 0, false}, // nobody touched it: some program signed by itself
			{"no-touch-required", 0, true},
			// Nothing tells the server of the PIN, so a line that wants it lets nobody in.
			{"verify-required", touched, false},
			{"verify-required", touched | verified, false},
		} {
			if in := login(try.options, try.flags); in != try.in {
				s.t.Errorf("a line %q %s, and a signature with flags %#x: let in %v, want %v", try.options, name, try.flags, in, try.in)
			}
		}
	}
}

// serveAgent serves an ssh agent on a socket until the scenario ends.
func (s *sidecar) serveAgent(served agent.Agent) (socket string) {
	s.t.Helper()
	socket = s.shortDir() + "/a"
	listener, err := net.Listen("unix", socket)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if err := agent.ServeAgent(served, c); err != nil && !errors.Is(err, io.EOF) {
					s.t.Errorf("the agent: %v", err)
				}
			}()
		}
	}()
	return socket
}
