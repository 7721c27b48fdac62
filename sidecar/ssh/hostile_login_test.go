package ssh

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func TestHostile06SevenWrongKeys(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	before := s.dial(t, key)
	w := meet(t, s)
	wrong := 0
	for ; wrong < 7; wrong++ {
		stranger := newKey(t).PublicKey()
		if answer, err := w.ask(s.account(), stranger, stranger.Type()); err != nil {
			break
		} else if answer != msgAuthFailure {
			t.Fatalf("message %d for a stranger's key", answer)
		}
	}
	if wrong != 5 || !w.gone() {
		t.Errorf("%d wrong keys are answered, want 5 and the end at the sixth", wrong)
	}
	s.log.await(t, "how it ended", reason(EventRefused, "no login after 6 attempts"))
	if n := s.log.count(func(e Event) bool { return e.Event == EventRefused && e.Method == "publickey" && e.Key != "" }); n != 6 {
		t.Errorf("%d attempts are logged with their key, want 6", n)
	}
	unharmed(t, before)
}

func TestHostile07QueriesOfAnAcceptedKey(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	before := s.dial(t, key)
	w := meet(t, s)
	asked := 0
	for ; asked < 200; asked++ {
		if answer, err := w.ask(s.account(), key.PublicKey(), key.PublicKey().Type()); err != nil {
			break
		} else if answer != msgAuthKeyAccepted {
			t.Fatalf("message %d for a key that would do", answer)
		}
	}
	if asked != 128 || !w.gone() {
		t.Errorf("%d queries are answered, want 128 and then the end", asked)
	}
	unharmed(t, before)
}

func TestHostile08OfferOneKeySignWithAnother(t *testing.T) {
	t.Parallel()
	a, b := newKey(t), newKey(t)
	s := serve(t, line("", a)+line(`restrict,command="echo only this"`, b))
	before := s.dial(t, a)
	w := meet(t, s)
	for _, offered := range []ssh.Signer{b, a} {
		if answer, err := w.ask(s.account(), offered.PublicKey(), offered.PublicKey().Type()); answer != msgAuthKeyAccepted {
			t.Fatal(answer, err)
		}
	}
	if answer, err := w.sign(s.account(), b); answer != msgAuthSuccess {
		t.Fatal(answer, err)
	}
	if said, err := w.run(0, "echo what the client likes"); said != "only this\n" {
		t.Errorf("said %q (%v)", said, err)
	}
	unharmed(t, before)
}

func TestHostile09WeakKeysAndSignatures(t *testing.T) {
	t.Parallel()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	strong, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	// Nobody has to hold its other half for it to be asked about.
	small, err := ssh.NewPublicKey(&rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1023, 1), E: 65537})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, line("", strong)+string(ssh.MarshalAuthorizedKey(small)))
	s.log.await(t, "the line that is refused", func(e Event) bool {
		return e.Event == EventProblem && strings.Contains(e.Problem, "line 2") && strings.Contains(e.Problem, "1024")
	})
	before := s.dial(t, strong) // with SHA-2
	t.Run("1024 bits", func(t *testing.T) {
		w := meet(t, s)
		if answer, err := w.ask(s.account(), small, ssh.KeyAlgoRSASHA256); answer != msgAuthFailure {
			t.Error(answer, err)
		}
	})
	sha1 := func(data []byte) (*ssh.Signature, error) {
		return strong.(ssh.AlgorithmSigner).SignWithAlgorithm(rand.Reader, data, ssh.KeyAlgoRSA)
	}
	for _, algorithm := range []string{ssh.KeyAlgoRSA, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512} {
		t.Run("SHA-1 called "+algorithm, func(t *testing.T) {
			w := meet(t, s)
			if answer, err := w.signAs(s.account(), strong, algorithm, sha1); answer != msgAuthFailure {
				t.Error(answer, err)
			}
		})
	}
	unharmed(t, before)
}

func TestHostile10UserNameChanges(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	before := s.dial(t, key)
	w := meet(t, s)
	ask := func(user string, want byte) {
		t.Helper()
		if answer, err := w.ask(user, key.PublicKey(), key.PublicKey().Type()); answer != want {
			t.Errorf("message %d for %s (%v), want %d", answer, user, err, want)
		}
	}
	ask("nobody-here", msgAuthFailure)
	ask(s.account(), msgAuthKeyAccepted)
	// What was accepted of one name is not of another.
	if answer, err := w.sign("somebody-else", key); answer != msgAuthFailure {
		t.Errorf("message %d (%v)", answer, err)
	}
	if answer, err := w.sign(s.account(), key); answer != msgAuthSuccess {
		t.Fatal(answer, err)
	}
	for _, name := range []string{"nobody-here", "somebody-else"} {
		s.log.await(t, name, func(e Event) bool { return e.Event == EventRefused && e.User == name && e.Connection == 2 })
	}
	s.log.await(t, "the login", func(e Event) bool { return e.Event == EventAuthenticated && e.Connection == 2 && e.User == s.account() })
	unharmed(t, before)
}

func TestHostile11MisspeltOption(t *testing.T) {
	t.Parallel()
	good, bad := newKey(t), newKey(t)
	s := serve(t, line("", good)+line("restict", bad))
	s.log.await(t, "the line", func(e Event) bool {
		return e.Event == EventProblem && strings.Contains(e.Problem, "line 2") && strings.Contains(e.Problem, "restict") && e.Fix != ""
	})
	before := s.dial(t, good)
	s.refused(t, s.account(), ssh.PublicKeys(bad))
	unharmed(t, before)
}

func TestHostile12UnbalancedQuoteAndEnvironment(t *testing.T) {
	t.Parallel()
	good, quote, environment := newKey(t), newKey(t), newKey(t)
	s := serve(t, line("", good)+line(`command="true`, quote)+line(`environment="LD_PRELOAD=/tmp/x.so"`, environment))
	for _, where := range []string{"line 2", "line 3"} {
		s.log.await(t, where, func(e Event) bool { return e.Event == EventProblem && strings.Contains(e.Problem, where) })
	}
	before := s.dial(t, good)
	s.refused(t, s.account(), ssh.PublicKeys(quote))
	s.refused(t, s.account(), ssh.PublicKeys(environment))
	unharmed(t, before)
}

func TestHostile13SourceAddress(t *testing.T) {
	t.Parallel()
	// Where there is IPv6, clients of IPv4 have addresses of it here.
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	key, other := newKey(t), newKey(t)
	s := serveAt(t, listener, line(`from="127.0.0.9,!127.0.0.8,127.0.0.0/29"`, key)+line(`from="::ffff:127.0.0.9,192.0.2.0/24"`, other))
	before := s.dial(t, key)
	for source, in := range map[string]bool{"127.0.0.9": true, "127.0.0.5": true, "127.0.0.8": false, "127.0.0.10": false} {
		client, err := s.login(s.reach(t, source), s.account(), ssh.PublicKeys(key))
		if (err == nil) != in {
			t.Errorf("from %s: let in %t, want %t (%v)", source, err == nil, in, err)
		}
		if err == nil {
			_ = client.Close()
		}
	}
	s.log.await(t, "why", reason(EventRefused, "from= does not permit 127.0.0.10"))
	s.refused(t, s.account(), ssh.PublicKeys(other))
	unharmed(t, before)
}

// A key that expires lets nobody in from then on; who is in stays.
func TestHostile14Expiry(t *testing.T) {
	t.Parallel()
	past, soon := newKey(t), newKey(t)
	end := time.Now().UTC().Add(2 * time.Second).Format("20060102150405Z")
	s := serve(t, line(`expiry-time="20200101Z"`, past)+line(fmt.Sprintf("expiry-time=%q", end), soon))
	s.refused(t, s.account(), ssh.PublicKeys(past))
	s.log.await(t, "why", reason(EventRefused, "expired at 2020-01-01"))
	before := s.dial(t, soon)
	eventually(t, "the key expires", func() bool {
		client, err := s.login(s.reach(t, here), s.account(), ssh.PublicKeys(soon))
		if err == nil {
			_ = client.Close()
		}
		return err != nil
	})
	unharmed(t, before)
}

func TestHostile15Certificates(t *testing.T) {
	t.Parallel()
	authority, stranger, subject, plain := newKey(t), newKey(t), newKey(t), newKey(t)
	s := serve(t, line("cert-authority", authority)+line("", plain))
	before := s.dial(t, plain)
	certificate := func(change func(*ssh.Certificate), signer ssh.Signer) ssh.Signer {
		c := &ssh.Certificate{
			Key: subject.PublicKey(), KeyId: "who", CertType: ssh.UserCert, ValidPrincipals: []string{s.account()},
			ValidAfter: 1, ValidBefore: ssh.CertTimeInfinity,
			Permissions: ssh.Permissions{CriticalOptions: map[string]string{}, Extensions: map[string]string{}},
		}
		change(c)
		if err := c.SignCert(rand.Reader, signer); err != nil {
			t.Fatal(err)
		}
		presented, err := ssh.NewCertSigner(c, subject)
		if err != nil {
			t.Fatal(err)
		}
		return presented
	}
	as := func(*ssh.Certificate) {}
	for name, presented := range map[string]ssh.Signer{
		"no principals":           certificate(func(c *ssh.Certificate) { c.ValidPrincipals = nil }, authority),
		"somebody else":           certificate(func(c *ssh.Certificate) { c.ValidPrincipals = []string{"somebody"} }, authority),
		"expired":                 certificate(func(c *ssh.Certificate) { c.ValidBefore = 2 }, authority),
		"not yet valid":           certificate(func(c *ssh.Certificate) { c.ValidAfter = ssh.CertTimeInfinity - 1 }, authority),
		"of a host":               certificate(func(c *ssh.Certificate) { c.CertType = ssh.HostCert }, authority),
		"unknown critical option": certificate(func(c *ssh.Certificate) { c.CriticalOptions["no-such"] = "" }, authority),
		"another place":           certificate(func(c *ssh.Certificate) { c.CriticalOptions["source-address"] = "192.0.2.1" }, authority),
		"unknown authority":       certificate(as, stranger),
		"signed by a plain key":   certificate(as, plain),
		"signed by itself":        certificate(as, subject),
		"not a certificate":       subject,
		"the authority's own key": authority,
	} {
		t.Run(name, func(t *testing.T) { s.refused(t, s.account(), ssh.PublicKeys(presented)) })
	}
	client := s.dial(t, certificate(as, authority))
	unharmed(t, client)
	s.log.await(t, "whose it is", func(e Event) bool { return e.Event == EventAuthenticated && e.Certificate == "who" })
	if err := open(t, client).RequestPty("xterm", 24, 80, nil); err == nil {
		t.Error("a terminal is granted that the certificate does not permit")
	}
	forced := s.dial(t, certificate(func(c *ssh.Certificate) { c.CriticalOptions["force-command"] = "echo forced" }, authority))
	says(t, forced, "true", "forced\n")
	unharmed(t, before)
}

// Every way in but a key's is refused, and in the same shape whoever asks.
func TestOtherWaysInAreRefused(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	before := s.dial(t, key)
	stranger := newKey(t)
	shape := map[string][]byte{}
	for _, name := range []string{s.account(), "nobody-here", "", strings.Repeat("x", 100_000), "a\x00b\nc"} {
		w := meet(t, s)
		for _, method := range []string{"none", "password", "keyboard-interactive", "hostbased", "gssapi-with-mic"} {
			_ = w.send(append(ssh.Marshal(struct {
				Number                byte
				User, Service, Method string
			}{msgAuthRequest, name, "ssh-connection", method}), "\x00\x00\x00\x00\x06secret"...))
			packet, err := w.await(msgAuthFailure, msgAuthSuccess)
			if err != nil {
				t.Fatalf("%.20q, %s: %v", name, method, err)
			}
			if want, known := shape[method]; known && string(packet) != string(want) {
				t.Errorf("%.20q, %s: %q, and for others %q", name, method, packet, want)
			}
			shape[method] = packet
			if string(packet) != "\x33\x00\x00\x00\x09publickey\x00" {
				t.Errorf("%.20q, %s: %q", name, method, packet)
			}
		}
		answer, err := w.ask(name, stranger.PublicKey(), stranger.PublicKey().Type())
		if answer != msgAuthFailure {
			t.Errorf("%.20q: %d (%v)", name, answer, err)
		}
	}
	unharmed(t, before)
}
