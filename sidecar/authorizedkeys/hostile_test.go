package authorizedkeys

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// What hostile clients and careless operators may try and what has to come of
// it, as far as it is decided here. The numbers are those of the sidecar's list
// of hostile inputs; the others of that list are the server's to show.

// One key offered, another signed with: what the other's line says counts.
func TestHostile08OfferOneKeySignWithAnother(t *testing.T) {
	t.Parallel()
	keys := must(t, keysText("ALICE\nrestrict,command=\"true\" BOB"))
	if grant, err := Decide(keys, account, from(alice.PublicKey(), "127.0.0.1")); err != nil || summary(grant) != everythingGranted {
		t.Errorf("the offer gets %s, %v", summary(grant), err)
	}
	signed := from(bob.PublicKey(), "127.0.0.1")
	signed.SignatureAlgorithm = ssh.KeyAlgoED25519
	grant, err := Decide(keys, account, signed)
	if err != nil || summary(grant) != `command="true"` || grant.Fingerprint != ssh.FingerprintSHA256(bob.PublicKey()) {
		t.Errorf("the signature gets %s, %v", summary(grant), err)
	}
}

func TestHostile09WeakKeysAndSignatures(t *testing.T) {
	t.Parallel()
	for _, bits := range []uint{512, 1024, 2047} {
		for _, options := range []string{"", "restrict ", "cert-authority "} {
			keys, faults := Parse("keys", options+written(rsaKey(bits)))
			if len(keys) != 0 || len(faults) != 1 || !strings.Contains(faults[0].What, "less than 2048 are not accepted") {
				t.Errorf("%d bits: %d keys and %v", bits, len(keys), faults)
			}
		}
	}
	// A certificate for a weak key, though a strong authority signed it.
	authorities := must(t, "cert-authority "+written(authority.PublicKey()))
	weak := certified(t, func(c *ssh.Certificate) { c.Key = rsaKey(1024) })
	if got := refusal(t, authorities, from(weak, "127.0.0.1")); !strings.Contains(got, "1024 bits") {
		t.Errorf("it is refused: %s", got)
	}
	// A strong key that signs with SHA-1, alone and in a certificate.
	attempt := from(rsaKey(2048), "127.0.0.1")
	attempt.SignatureAlgorithm = ssh.KeyAlgoRSA
	if got := refusal(t, must(t, written(rsaKey(2048))), attempt); !strings.Contains(got, "ssh-rsa") {
		t.Errorf("it is refused: %s", got)
	}
	attempt.Key = certified(t, func(c *ssh.Certificate) { c.Key = rsaKey(2048) })
	if got := refusal(t, authorities, attempt); !strings.Contains(got, "ssh-rsa") {
		t.Errorf("it is refused: %s", got)
	}
}

func TestHostile10UserNameChanges(t *testing.T) {
	t.Parallel()
	keys := must(t, keysText("ALICE"))
	attempt := from(alice.PublicKey(), "127.0.0.1")
	for _, user := range []string{"root", "", "Inmanta", "inmanta ", "inmanta\x00", "inmanta:x", "*"} {
		attempt.User = user
		if got := refusal(t, keys, attempt); !strings.Contains(got, "there is no user") {
			t.Errorf("%q is refused: %s", user, got)
		}
	}
	attempt.User = account
	if _, err := Decide(keys, account, attempt); err != nil {
		t.Error(err)
	}
	// Nor does a certificate that names another user make that one known.
	certificate := from(certified(t, func(c *ssh.Certificate) { c.ValidPrincipals = []string{account, "root"} }), "127.0.0.1")
	certificate.User = "root"
	if got := refusal(t, must(t, "cert-authority "+written(authority.PublicKey())), certificate); !strings.Contains(got, "there is no user") {
		t.Errorf("it is refused: %s", got)
	}
}

func TestHostile11MisspeltOption(t *testing.T) {
	t.Parallel()
	keys, faults := Parse("keys", keysText("restict ALICE"))
	if len(keys) != 0 || len(faults) != 1 || faults[0].What != `there is no option "restict"` || !strings.HasPrefix(faults[0].Fix, "write restrict,") {
		t.Errorf("%d keys and %+v", len(keys), faults)
	}
}

func TestHostile12UnbalancedQuoteAndEnvironment(t *testing.T) {
	t.Parallel()
	for _, options := range []string{
		`command="true `, `command="true\" `, `from="127.0.0.1,no-pty `, `"`, `no-pty" `,
		`environment="LD_PRELOAD=/tmp/x.so" `, `restrict,Environment="A=b",pty `,
	} {
		keys, faults := Parse("keys", keysText(options+"ALICE"))
		if len(keys) != 0 || len(faults) != 1 {
			t.Errorf("%s: %d keys and %+v", options, len(keys), faults)
		}
	}
}

func TestHostile13SourceAddress(t *testing.T) {
	t.Parallel()
	keys := must(t, keysText(`from="192.0.2.0/24,!192.0.2.66,2001:db8::/32" ALICE`))
	for remote, want := range map[string]bool{
		"192.0.2.7": true, "::ffff:192.0.2.7": true, "2001:db8::7": true,
		"192.0.2.66": false, "::ffff:192.0.2.66": false, "198.51.100.7": false, "::ffff:198.51.100.7": false, "2001:db9::7": false, "::192.0.2.7": false,
	} {
		if _, err := Decide(keys, account, from(alice.PublicKey(), remote)); (err == nil) != want {
			t.Errorf("from %s: %v", remote, err)
		}
	}
}

// What happens to a session whose key expires is the server's policy; when that
// is, the grant says.
func TestHostile14Expiry(t *testing.T) {
	t.Parallel()
	end := noon.Add(time.Hour)
	keys := must(t, keysText(`expiry-time="`+end.Format("20060102150405")+`Z" ALICE`))
	attempt := from(alice.PublicKey(), "127.0.0.1")
	if grant, err := Decide(keys, account, attempt); err != nil || !grant.Expires.Equal(end) {
		t.Errorf("before, it is let in until %s, %v", grant.Expires, err)
	}
	attempt.Now = end.Add(time.Second)
	if got := refusal(t, keys, attempt); !strings.Contains(got, "it expired at 2026-06-01T13:00:00Z") {
		t.Errorf("after, it is refused: %s", got)
	}
}

func TestHostile15Certificates(t *testing.T) {
	t.Parallel()
	keys := must(t, "cert-authority "+written(authority.PublicKey()))
	for name, change := range map[string]func(*ssh.Certificate){
		"names no principal":              func(c *ssh.Certificate) { c.ValidPrincipals = nil },
		"is not valid any more":           func(c *ssh.Certificate) { c.ValidBefore = uint64(noon.Unix()) },
		"is not one of a user":            func(c *ssh.Certificate) { c.CertType = ssh.HostCert },
		"demands \"x@example.com\"":       func(c *ssh.Certificate) { c.CriticalOptions["x@example.com"] = "" },
		"does not name inmanta among its": func(c *ssh.Certificate) { c.ValidPrincipals = []string{"root"} },
	} {
		if got := refusal(t, keys, from(certified(t, change), "127.0.0.1")); !strings.Contains(got, name) {
			t.Errorf("%s: it is refused: %s", name, got)
		}
	}
	good := certified(t, func(*ssh.Certificate) {})
	if got := refusal(t, must(t, keysText("ALICE")), from(good, "127.0.0.1")); !strings.Contains(got, "no line has the authority") {
		t.Errorf("without an authority it is refused: %s", got)
	}
	if _, err := Decide(keys, account, from(good, "127.0.0.1")); err != nil {
		t.Errorf("and what is right with all of them is refused: %v", err)
	}
}

// Whether for a shell, a command or a subsystem, the grant forces the command.
func TestHostile16ForcedCommand(t *testing.T) {
	t.Parallel()
	grant, err := Decide(must(t, keysText(`command="inmanta-cli \"$SSH_ORIGINAL_COMMAND\"" ALICE`)), account, from(alice.PublicKey(), "127.0.0.1"))
	if err != nil || grant.ForcedCommand != `inmanta-cli "$SSH_ORIGINAL_COMMAND"` {
		t.Errorf("it forces %q, %v", grant.ForcedCommand, err)
	}
}

func TestHostile17Restrict(t *testing.T) {
	t.Parallel()
	grant, err := Decide(must(t, keysText("restrict ALICE")), account, from(alice.PublicKey(), "127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	for name, granted := range map[string]bool{
		"a terminal": grant.PTY, "the agent": grant.AgentForwarding, "rc": grant.UserRC,
		"-L": grant.Open.Host("127.0.0.1", 80), "-L to a socket": grant.Open.Socket(),
		"-R": grant.Listen.Host("localhost", 8080), "-R of any port": grant.Listen.Host("", 0), "-R of a socket": grant.Listen.Socket(),
	} {
		if granted {
			t.Errorf("it grants %s", name)
		}
	}
}

func TestHostile18PermitOpen(t *testing.T) {
	t.Parallel()
	grant, err := Decide(must(t, keysText(`permitopen="127.0.0.1:8888" ALICE`)), account, from(alice.PublicKey(), "127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	for destination, want := range map[netip.AddrPort]bool{
		netip.MustParseAddrPort("127.0.0.1:8888"):          true,
		netip.MustParseAddrPort("127.0.0.1:8889"):          false,
		netip.MustParseAddrPort("127.0.0.2:8888"):          false,
		netip.MustParseAddrPort("[::1]:8888"):              false,
		netip.MustParseAddrPort("[::ffff:127.0.0.1]:8888"): false,
	} {
		if got := grant.Open.Host(destination.Addr().String(), uint32(destination.Port())); got != want {
			t.Errorf("to %s it is %t", destination, got)
		}
	}
	for _, name := range []string{"localhost", "LOCALHOST", "127.1", "0177.0.0.1", "127.0.0.1.", ""} {
		if grant.Open.Host(name, 8888) {
			t.Errorf("it opens %q", name)
		}
	}
}

// What a client chose is told escaped and short.
func TestHostile31LogInjection(t *testing.T) {
	t.Parallel()
	evil := "x\n{\"event\":\"accepted\"}\x1b[2J" + strings.Repeat("y", 100_000)
	named := from(alice.PublicKey(), "127.0.0.1")
	named.User = evil
	signed := from(alice.PublicKey(), "127.0.0.1")
	signed.SignatureAlgorithm = evil
	authorities := "\ncert-authority " + written(authority.PublicKey())
	for _, attempt := range []Attempt{
		named, signed,
		from(certified(t, func(c *ssh.Certificate) { c.KeyId, c.ValidPrincipals = evil, []string{evil} }), "127.0.0.1"),
		from(certified(t, func(c *ssh.Certificate) { c.CriticalOptions[evil] = evil }), "127.0.0.1"),
		from(certified(t, func(c *ssh.Certificate) { c.CriticalOptions[sourceAddress] = evil }), "127.0.0.1"),
		from(certified(t, func(c *ssh.Certificate) { c.Extensions[permitPTY] = evil }), "127.0.0.1"),
	} {
		got := refusal(t, must(t, keysText("ALICE")+authorities), attempt)
		if len(got) > 300 || strings.ContainsAny(got, "\n\x1b") {
			t.Errorf("%.300q", got)
		}
	}
	_, faults := Parse("keys", evil+written(alice.PublicKey()))
	for _, fault := range faults {
		if strings.ContainsAny(fault.What+fault.Fix, "\n\x1b") {
			t.Errorf("%+v", fault)
		}
	}
}
