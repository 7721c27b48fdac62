package authorizedkeys

import (
	"crypto/rand"
	"crypto/rsa"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// permitted is all a certificate can permit.
func permitted() map[string]string {
	return map[string]string{
		permitAgentForwarding: "", permitPortForwarding: "", permitPTY: "", permitUserRC: "", permitX11Forwarding: "",
	}
}

// certified is alice's key with a certificate of the authority that lets the
// account in, changed before it is signed and read back from the wire.
func certified(t testing.TB, change func(*ssh.Certificate)) *ssh.Certificate {
	t.Helper()
	certificate := &ssh.Certificate{
		Key: alice.PublicKey(), CertType: ssh.UserCert, KeyId: "alice", Serial: 7,
		ValidPrincipals: []string{account},
		ValidAfter:      uint64(noon.Add(-20 * 365 * 24 * time.Hour).Unix()),
		ValidBefore:     ssh.CertTimeInfinity,
		Permissions:     ssh.Permissions{CriticalOptions: map[string]string{}, Extensions: permitted()},
	}
	change(certificate)
	return signed(t, certificate, authority)
}

func signed(t testing.TB, certificate *ssh.Certificate, by ssh.Signer) *ssh.Certificate {
	t.Helper()
	if err := certificate.SignCert(rand.Reader, by); err != nil {
		t.Fatal(err)
	}
	return wired(t, certificate)
}

// wired is a certificate as a server reads it.
func wired(t testing.TB, certificate *ssh.Certificate) *ssh.Certificate {
	t.Helper()
	read, err := ssh.ParsePublicKey(certificate.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	return read.(*ssh.Certificate)
}

// certificates are the options of an authority's line, after cert-authority, a
// certificate of it, and what that gets from 127.0.0.1: a summary, or
// "refused: " with a part of the reason.
var certificates = []struct {
	name    string
	options string
	change  func(*ssh.Certificate)
	want    string
	sshd    string // what OpenSSH 9.2 did, where it was something else
}{
	{name: "plain", want: everythingGranted},
	{name: "restricted by the line", options: "restrict", want: "exec"},
	{name: "restricted by the line but for the terminal", options: "restrict,pty", want: "pty"},
	{
		name:   "permits nothing",
		change: func(c *ssh.Certificate) { c.Extensions = nil },
		want:   "exec",
	},
	{
		name:   "permits a terminal",
		change: func(c *ssh.Certificate) { c.Extensions = map[string]string{permitPTY: ""} },
		want:   "pty",
	},
	{
		name:    "permits a terminal that the line does not",
		options: "no-pty",
		change:  func(c *ssh.Certificate) { c.Extensions = map[string]string{permitPTY: ""} },
		want:    "exec",
	},
	{
		name:   "permits forwarding",
		change: func(c *ssh.Certificate) { c.Extensions = map[string]string{permitPortForwarding: ""} },
		want:   "open listen",
	},
	{
		name:    "permits forwarding where the line says",
		options: `permitopen="a:1",permitlisten="2"`,
		change:  func(c *ssh.Certificate) { c.Extensions = map[string]string{permitPortForwarding: ""} },
		want:    "open=a:1 listen=*:2",
	},
	{
		name:    "does not permit forwarding where the line says",
		options: `permitopen="a:1"`,
		change:  func(c *ssh.Certificate) { delete(c.Extensions, permitPortForwarding) },
		want:    "pty agent rc",
	},
	{
		name: "permits the agent and what is unknown",
		change: func(c *ssh.Certificate) {
			c.Extensions = map[string]string{permitAgentForwarding: "", "login@example.com": "x"}
		},
		want: "agent",
	},
	{
		name:   "permits with another case",
		change: func(c *ssh.Certificate) { c.Extensions = map[string]string{"PERMIT-PTY": ""} },
		want:   "exec",
	},
	{
		name:   "permits a terminal of some value",
		change: func(c *ssh.Certificate) { c.Extensions[permitPTY] = "x" },
		want:   "refused: value for permit-pty",
	},

	// Whom it is for.
	{
		name:   "for nobody",
		change: func(c *ssh.Certificate) { c.ValidPrincipals = nil },
		want:   "refused: names no principal",
		sshd:   "lets in: releases before 10.3 take it as for everybody",
	},
	{
		name:    "for nobody where the line names somebody",
		options: `principals="ops"`,
		change:  func(c *ssh.Certificate) { c.ValidPrincipals = nil },
		want:    "refused: names no principal",
	},
	{
		name:   "for another",
		change: func(c *ssh.Certificate) { c.ValidPrincipals = []string{"other"} },
		want:   "refused: does not name inmanta",
	},
	{
		name:   "for the same in capitals",
		change: func(c *ssh.Certificate) { c.ValidPrincipals = []string{strings.ToUpper(account)} },
		want:   "refused: does not name inmanta",
	},
	{
		name:   "for whoever there is",
		change: func(c *ssh.Certificate) { c.ValidPrincipals = []string{"*"} },
		want:   "refused: does not name inmanta",
	},
	{
		name:   "for several",
		change: func(c *ssh.Certificate) { c.ValidPrincipals = []string{"other", account} },
		want:   everythingGranted,
	},
	{
		name:    "for one the line names",
		options: `principals="dev,ops"`,
		change:  func(c *ssh.Certificate) { c.ValidPrincipals = []string{"ops"} },
		want:    everythingGranted,
	},
	{
		name:    "for the account, which the line does not name",
		options: `principals="dev,ops"`,
		want:    "refused: names none of the line's principals",
	},
	{
		name:   "of a host",
		change: func(c *ssh.Certificate) { c.CertType = ssh.HostCert },
		want:   "refused: not one of a user",
	},
	{
		name:   "of neither a user nor a host",
		change: func(c *ssh.Certificate) { c.CertType = 3 },
		want:   "refused: not one of a user",
	},

	// When.
	{
		name:   "expired",
		change: func(c *ssh.Certificate) { c.ValidBefore = 1_000_000_000 },
		want:   "refused: not valid any more",
	},
	{
		name:   "not yet",
		change: func(c *ssh.Certificate) { c.ValidAfter = 7_226_582_400 },
		want:   "refused: not valid yet",
	},
	{
		name:   "never",
		change: func(c *ssh.Certificate) { c.ValidAfter, c.ValidBefore = 0, 0 },
		want:   "refused: not valid any more",
	},
	{
		name:   "until 2199",
		change: func(c *ssh.Certificate) { c.ValidBefore = 7_226_582_400 },
		want:   everythingGranted + " expires=2198-12-31T23:59:59Z",
	},
	{
		name:    "until 2199 on a line until 2198",
		options: `expiry-time="21980101Z"`,
		change:  func(c *ssh.Certificate) { c.ValidBefore = 7_226_582_400 },
		want:    everythingGranted + " expires=2198-01-01T00:00:00Z",
	},
	{
		name:    "until 2199 on a line until 2200",
		options: `expiry-time="22000101Z"`,
		change:  func(c *ssh.Certificate) { c.ValidBefore = 7_226_582_400 },
		want:    everythingGranted + " expires=2198-12-31T23:59:59Z",
	},
	{name: "on an expired line", options: `expiry-time="20010101Z"`, want: "refused: it expired at 2001-01-01"},
	{
		name:   "until the year 10000",
		change: func(c *ssh.Certificate) { c.ValidBefore = 253_402_300_800 },
		want:   everythingGranted,
	},
	{
		name:   "from beyond what a clock counts",
		change: func(c *ssh.Certificate) { c.ValidAfter = ssh.CertTimeInfinity },
		want:   "refused: not valid yet",
	},

	// What it demands.
	{
		name:   "forces a command",
		change: func(c *ssh.Certificate) { c.CriticalOptions[forceCommand] = "true" },
		want:   everythingGranted + ` command="true"`,
	},
	{
		name:    "forces the line's command",
		options: `command="true"`,
		change:  func(c *ssh.Certificate) { c.CriticalOptions[forceCommand] = "true" },
		want:    everythingGranted + ` command="true"`,
	},
	{
		name:    "forces another command than the line",
		options: `command="true"`,
		change:  func(c *ssh.Certificate) { c.CriticalOptions[forceCommand] = "true " },
		want:    "refused: forces another command",
	},
	{name: "on a line that forces a command", options: `command="true"`, want: everythingGranted + ` command="true"`},
	{
		name:   "forces nothing",
		change: func(c *ssh.Certificate) { c.CriticalOptions[forceCommand] = "" },
		want:   "refused: forces an empty command",
	},
	{
		name:   "from here",
		change: func(c *ssh.Certificate) { c.CriticalOptions[sourceAddress] = "10.0.0.0/8,127.0.0.0/8" },
		want:   everythingGranted,
	},
	{
		name:   "from elsewhere",
		change: func(c *ssh.Certificate) { c.CriticalOptions[sourceAddress] = "10.0.0.0/8" },
		want:   "refused: is not for 127.0.0.1",
	},
	{
		name:    "from here, on a line from elsewhere",
		options: `from="10.0.0.0/8"`,
		change:  func(c *ssh.Certificate) { c.CriticalOptions[sourceAddress] = "127.0.0.1" },
		want:    "refused: from= does not permit 127.0.0.1",
	},
	{
		name:   "from a pattern",
		change: func(c *ssh.Certificate) { c.CriticalOptions[sourceAddress] = "127.*" },
		want:   "refused: malformed source-address",
	},
	{
		name:   "from here but not from there",
		change: func(c *ssh.Certificate) { c.CriticalOptions[sourceAddress] = "127.0.0.1,!10.0.0.1" },
		want:   "refused: malformed source-address",
	},
	{
		name:   "from here and a network that is none",
		change: func(c *ssh.Certificate) { c.CriticalOptions[sourceAddress] = "127.0.0.1,10.0.0.1/8" },
		want:   "refused: malformed source-address",
	},
	{
		name:   "from nowhere",
		change: func(c *ssh.Certificate) { c.CriticalOptions[sourceAddress] = "" },
		want:   "refused: malformed source-address",
	},
	{
		name:   "demands what is unknown",
		change: func(c *ssh.Certificate) { c.CriticalOptions["launch@example.com"] = "" },
		want:   `refused: demands "launch@example.com"`,
	},
	{
		name:   "demands a PIN",
		change: func(c *ssh.Certificate) { c.CriticalOptions["verify-required"] = "" },
		want:   `refused: demands "verify-required"`,
		sshd:   "lets in, as the key is no security key",
	},
	{
		name:   "demands what may only be permitted",
		change: func(c *ssh.Certificate) { c.CriticalOptions[permitPTY] = "" },
		want:   `refused: demands "permit-pty"`,
	},
	{
		name:   "permits what has to be demanded",
		change: func(c *ssh.Certificate) { c.Extensions[forceCommand] = "true" },
		want:   everythingGranted,
	},
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	for _, one := range certificates {
		t.Run(strings.ReplaceAll(one.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			if one.change == nil {
				one.change = func(*ssh.Certificate) {}
			}
			options := strings.TrimSuffix("cert-authority,"+one.options, ",")
			keys := must(t, options+" "+written(authority.PublicKey())+" the authority")
			attempt := from(certified(t, one.change), "127.0.0.1")
			if reason, is := strings.CutPrefix(one.want, "refused: "); is {
				if got := refusal(t, keys, attempt); !strings.Contains(got, reason) || !strings.Contains(got, "keys, line 1: ") {
					t.Errorf("it is refused: %s\nwant %s", got, reason)
				}
				return
			}
			grant, err := Decide(keys, account, attempt)
			if err != nil {
				t.Fatal(err)
			}
			if got := summary(grant); got != one.want {
				t.Errorf("it gets %s\nwant %s", got, one.want)
			}
			if grant.KeyID != "alice" || grant.Serial != 7 || grant.Comment != "the authority" ||
				grant.Authority != ssh.FingerprintSHA256(authority.PublicKey()) ||
				grant.Fingerprint != ssh.FingerprintSHA256(alice.PublicKey()) {
				t.Errorf("it is recorded as %+v", grant)
			}
		})
	}
}

func TestCertificateIsOfAnAuthorityOnALine(t *testing.T) {
	t.Parallel()
	certificate := certified(t, func(*ssh.Certificate) {})
	for name, text := range map[string]string{
		"no line":                     "",
		"another authority":           "cert-authority " + written(bob.PublicKey()),
		"the authority as a user":     written(authority.PublicKey()),
		"the user's key":              written(alice.PublicKey()),
		"the user's key as authority": "cert-authority " + written(alice.PublicKey()),
	} {
		if got := refusal(t, must(t, text), from(certificate, "127.0.0.1")); !strings.Contains(got, "no line has the authority") {
			t.Errorf("%s: it is refused: %s", name, got)
		}
	}
	// Nor is an authority let in with its own key, or a certificate's key alone.
	keys := must(t, "cert-authority "+written(authority.PublicKey()))
	for _, key := range []ssh.Signer{authority, alice} {
		if got := refusal(t, keys, from(key.PublicKey(), "127.0.0.1")); got != "no line has the key" {
			t.Errorf("it is refused: %s", got)
		}
	}
}

func TestCertificateThatWasAltered(t *testing.T) {
	t.Parallel()
	keys := must(t, "cert-authority "+written(authority.PublicKey()))
	for name, alter := range map[string]func(*ssh.Certificate){
		"principal":  func(c *ssh.Certificate) { c.ValidPrincipals = []string{account, "more"} },
		"key":        func(c *ssh.Certificate) { c.Key = bob.PublicKey() },
		"serial":     func(c *ssh.Certificate) { c.Serial++ },
		"permission": func(c *ssh.Certificate) { delete(c.Extensions, permitPTY) },
		"signature":  func(c *ssh.Certificate) { c.Signature.Blob[0] ^= 1 },
	} {
		certificate := certified(t, func(*ssh.Certificate) {})
		alter(certificate)
		if got := refusal(t, keys, from(wired(t, certificate), "127.0.0.1")); !strings.Contains(got, "does not verify") {
			t.Errorf("%s: it is refused: %s", name, got)
		}
	}
}

// An authority's RSA signature counts with SHA-2 and not with SHA-1, which the
// library would still verify.
func TestCertificateSignedWithRSA(t *testing.T) {
	t.Parallel()
	private, err := rsa.GenerateKey(rand.Reader, SmallestRSA)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	keys := must(t, "cert-authority "+written(signer.PublicKey()))
	for algorithm, want := range map[string]bool{
		ssh.KeyAlgoRSA: false, ssh.KeyAlgoRSASHA256: true, ssh.KeyAlgoRSASHA512: true,
	} {
		with, err := ssh.NewSignerWithAlgorithms(signer.(ssh.AlgorithmSigner), []string{algorithm})
		if err != nil {
			t.Fatal(err)
		}
		certificate := certified(t, func(*ssh.Certificate) {})
		attempt := from(signed(t, certificate, with), "127.0.0.1")
		if _, err := Decide(keys, account, attempt); (err == nil) != want {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
}

// The library takes a certificate's word for it that a security key need not be
// touched; here the line has to say so too.
func TestTouchOfCertifiedSecurityKey(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		options, extension string
		want               string
	}{
		{"", "", everythingGranted},
		{",no-touch-required", "", everythingGranted},
		{",no-touch-required", noTouchRequired, everythingGranted + " untouched"},
		{"", noTouchRequired, ""},
		{",no-touch-required,touch-required", noTouchRequired, ""},
	} {
		keys := must(t, "cert-authority"+one.options+" "+written(authority.PublicKey()))
		attempt := from(certified(t, func(c *ssh.Certificate) {
			c.Key = securityKey(alice)
			if one.extension != "" {
				c.Extensions[one.extension] = ""
			}
		}), "127.0.0.1")
		if one.want == "" {
			if got := refusal(t, keys, attempt); !strings.Contains(got, "waives the touch") {
				t.Errorf("%+v: it is refused: %s", one, got)
			}
			continue
		}
		grant, err := Decide(keys, account, attempt)
		if err != nil || summary(grant) != one.want {
			t.Errorf("%+v: it gets %s, %v", one, summary(grant), err)
		}
	}
}

func TestCertificateOverIPv6SocketFromIPv4(t *testing.T) {
	t.Parallel()
	keys := must(t, "cert-authority "+written(authority.PublicKey()))
	attempt := from(certified(t, func(c *ssh.Certificate) { c.CriticalOptions[sourceAddress] = "192.0.2.0/24" }), "::ffff:192.0.2.9")
	if _, err := Decide(keys, account, attempt); err != nil {
		t.Error(err)
	}
	attempt.Remote = netip.Addr{}
	if got := refusal(t, keys, attempt); !strings.Contains(got, "is not for") {
		t.Errorf("without an address it is refused: %s", got)
	}
}
