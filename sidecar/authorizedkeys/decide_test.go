package authorizedkeys

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func TestFirstLineThatLetsInDecides(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		text, want string
		line       int
	}{
		{"ALICE\nrestrict ALICE", everythingGranted, 1},
		{"restrict ALICE\nALICE", "exec", 1},
		{"BOB\nrestrict,pty ALICE", "pty", 2},
		{`from="10.0.0.0/8" ALICE` + "\nrestrict ALICE", "exec", 2},
		{`expiry-time="20010101Z" ALICE` + "\nno-pty ALICE\nALICE", "agent open listen rc", 2},
		{"cert-authority ALICE\nrestrict ALICE", "exec", 2},
		{"ALICE one\nALICE two", everythingGranted, 1},
		{strings.Repeat(`from="10.0.0.0/8" ALICE`+"\n", 10) + "restrict ALICE", "exec", 11},
	} {
		grant, err := Decide(must(t, keysText(one.text)), account, from(alice.PublicKey(), "127.0.0.1"))
		if err != nil || summary(grant) != one.want || grant.Line != one.line || grant.Source != "keys" {
			t.Errorf("%s\nline %d gives %s, %v; want %s of line %d", one.text, grant.Line, summary(grant), err, one.want, one.line)
		}
	}
}

// A refused line was to decide before the ones after it, perhaps to restrict: it
// does not become a permission by being refused. Other keys do not suffer.
func TestRefusedLineBarsItsKey(t *testing.T) {
	t.Parallel()
	for _, refused := range []string{
		"restict ALICE",
		`restrict,,command="true" ALICE`,
		`environment="A=b",command="true" ALICE`,
		`command="true ALICE`,
		`command="true"ALICE`,
		"cert-authority,restict ALICE",
		"restrict\u00a0ALICE",
		"restrict ssh-rsa alice64",
		"restrict ALICE \x1b",
		"restrict BOB bob\\nALICE alice",
		"restrict BOB,ALICE",
		"KEYS=ALICE",
		"restrict alice64",
		"restrict ALICE " + strings.Repeat("x", LongestLine),
		"restict ALICE\nrestict ALICE",
	} {
		refused = keysText(refused)
		other := "\n" + written(authority.PublicKey())
		keys, faults := Parse("keys", refused+keysText("\nALICE")+other)
		if len(keys) != 1 || len(faults) != 2+strings.Count(refused, "\n") {
			t.Errorf("%.80q: %d keys and %+v", refused, len(keys), faults)
			continue
		}
		refusal(t, keys, from(alice.PublicKey(), "127.0.0.1"))
		if last := faults[len(faults)-1]; !strings.Contains(last.What, "stands on line 1 too") {
			t.Errorf("%.80q: %s", refused, last.What)
		}
		// Before the refused line the key had been let in already.
		if keys, _ := Parse("keys", keysText("restrict ALICE\n")+refused+other); len(keys) != 2 {
			t.Errorf("%.80q: %d keys", refused, len(keys))
		}
	}
}

func TestKeyTypes(t *testing.T) {
	t.Parallel()
	lines := map[string]string{ // and how their keys may sign
		written(alice.PublicKey()):  "ssh-ed25519",
		written(securityKey(alice)): "sk-ssh-ed25519@openssh.com",
		written(rsaKey(2048)):       "rsa-sha2-256 rsa-sha2-512",
		written(rsaKey(16384)):      "rsa-sha2-256 rsa-sha2-512",
	}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		private, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key, err := ssh.NewPublicKey(private.Public())
		if err != nil {
			t.Fatal(err)
		}
		lines[written(key)] = key.Type()
		if curve != elliptic.P256() {
			continue
		}
		point, err := private.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		security, err := ssh.ParsePublicKey(ssh.Marshal(struct {
			Kind, Curve, Point, Application string
		}{ssh.KeyAlgoSKECDSA256, "nistp256", string(point), "ssh:"}))
		if err != nil {
			t.Fatal(err)
		}
		lines[written(security)] = security.Type()
	}
	algorithms := []string{
		"ssh-ed25519", "ssh-rsa", "rsa-sha2-256", "rsa-sha2-512", "ssh-dss", "x",
		"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
		"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
		"ssh-ed25519-cert-v01@openssh.com", "rsa-sha2-512-cert-v01@openssh.com",
	}
	for line, signs := range lines {
		keys := must(t, line)
		key := keys[0].Public
		attempt := from(key, "127.0.0.1")
		if _, err := Decide(keys, account, attempt); err != nil {
			t.Errorf("%s: %v", key.Type(), err)
		}
		for _, attempt.SignatureAlgorithm = range algorithms {
			want := strings.Contains(" "+signs+" ", " "+attempt.SignatureAlgorithm+" ")
			if _, err := Decide(keys, account, attempt); (err == nil) != want {
				t.Errorf("%s signed with %s: %v", key.Type(), attempt.SignatureAlgorithm, err)
			}
		}
	}
}

func TestExpiryIsTheLastMoment(t *testing.T) {
	t.Parallel()
	keys := must(t, `expiry-time="20260601120000Z" `+written(alice.PublicKey()))
	certified := certified(t, func(c *ssh.Certificate) { c.ValidBefore = uint64(noon.Unix()) + 1 })
	authorities := must(t, "cert-authority "+written(authority.PublicKey()))
	for after, want := range map[time.Duration]bool{-time.Hour: true, 0: true, time.Nanosecond: false, time.Second: false} {
		attempt := from(alice.PublicKey(), "127.0.0.1")
		attempt.Now = noon.Add(after)
		if _, err := Decide(keys, account, attempt); (err == nil) != want {
			t.Errorf("a line, %s after: %v", after, err)
		}
	}
	for after, want := range map[time.Duration]bool{0: true, time.Second - 1: true, time.Second: false} {
		attempt := from(certified, "127.0.0.1")
		attempt.Now = noon.Add(after)
		grant, err := Decide(authorities, account, attempt)
		if (err == nil) != want {
			t.Errorf("a certificate, %s after: %v", after, err)
		}
		if err == nil && attempt.Now.After(grant.Expires) {
			t.Errorf("at %s it is let in until %s", attempt.Now, grant.Expires)
		}
	}
}

func TestExpiryWithoutZIsLocal(t *testing.T) {
	t.Parallel()
	keys := must(t, `expiry-time="203006011200" `+written(alice.PublicKey()))
	if want := time.Date(2030, 6, 1, 12, 0, 0, 0, time.Local); !keys[0].Options.Expires.Equal(want) {
		t.Errorf("it expires at %s, want %s", keys[0].Options.Expires, want)
	}
}

func TestAttemptsWithoutSense(t *testing.T) {
	t.Parallel()
	keys := must(t, keysText("ALICE"))
	for name, attempt := range map[string]Attempt{
		"no key":      {User: account, Now: noon},
		"no user":     {Key: alice.PublicKey(), Now: noon},
		"nothing":     {},
		"another key": from(bob.PublicKey(), "127.0.0.1"),
	} {
		if got := refusal(t, keys, attempt); got == "" {
			t.Errorf("%s: it is refused without a reason", name)
		}
	}
	// Without an address only lines that do not ask for one let in.
	nowhere := Attempt{User: account, Key: alice.PublicKey(), Now: noon}
	if _, err := Decide(keys, account, nowhere); err != nil {
		t.Error(err)
	}
	refusal(t, must(t, keysText(`from="*" ALICE`)), nowhere)
	refusal(t, must(t, keysText(`from="!10.0.0.1,0.0.0.0/0,::/0" ALICE`)), nowhere)
}

func TestKeyThatParseDidNotMake(t *testing.T) {
	t.Parallel()
	refusal(t, []Key{{Public: alice.PublicKey()}}, from(alice.PublicKey(), "127.0.0.1"))
}

func TestRefusalsSayWhich(t *testing.T) {
	t.Parallel()
	keys := must(t, keysText(strings.Repeat(`from="10.0.0.0/8" ALICE`+"\n", 1000)))
	attempt := from(alice.PublicKey(), "192.0.2.7")
	_, err := Decide(keys, account, attempt)
	refused := err.(Refusal)
	if refused.Fingerprint != ssh.FingerprintSHA256(alice.PublicKey()) {
		t.Errorf("the fingerprint is %s", refused.Fingerprint)
	}
	if !strings.HasPrefix(refused.What, "keys, line 1: from= does not permit 192.0.2.7; keys, line 2: ") || len(refused.What) > 500 {
		t.Errorf("it is refused: %s", refused.What)
	}
}

func TestAddressesAreBare(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"::ffff:192.0.2.1":     "192.0.2.1",
		"fe80::1%eth0":         "fe80::1",
		"::ffff:192.0.2.1%eth": "192.0.2.1",
		"2001:db8::1":          "2001:db8::1",
	} {
		if got := bare(netip.MustParseAddr(given)).String(); got != want {
			t.Errorf("%s is %s, want %s", given, got, want)
		}
	}
}
