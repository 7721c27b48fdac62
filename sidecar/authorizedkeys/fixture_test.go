package authorizedkeys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// account is the user of the server in all tests.
const account = "inmanta"

// noon is when attempts of the tests are made.
var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// The keys of the tests, the same in every run.
var (
	alice     = signerOf(1)
	bob       = signerOf(2)
	authority = signerOf(3)
)

func signerOf(seed byte) ssh.Signer {
	signer, err := ssh.NewSignerFromSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	if err != nil {
		panic(err)
	}
	return signer
}

// written is a key as its .pub file has it, without a comment.
func written(key ssh.PublicKey) string {
	return strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(key)), "\n")
}

// rsaKey is a public key of so many bits, which nobody has the private half of.
func rsaKey(bits uint) ssh.PublicKey {
	modulus := new(big.Int).SetBit(big.NewInt(1), int(bits)-1, 1)
	key, err := ssh.NewPublicKey(&rsa.PublicKey{N: modulus, E: 65537})
	if err != nil {
		panic(err)
	}
	return key
}

// securityKey is the public half of an sk-ssh-ed25519 key made of a plain one.
func securityKey(of ssh.Signer) ssh.PublicKey {
	plain := of.PublicKey().(ssh.CryptoPublicKey).CryptoPublicKey().(ed25519.PublicKey)
	key, err := ssh.ParsePublicKey(ssh.Marshal(struct {
		Kind, Key, Application string
	}{ssh.KeyAlgoSKED25519, string(plain), "ssh:"}))
	if err != nil {
		panic(err)
	}
	return key
}

// from is an attempt of the account at noon.
func from(key ssh.PublicKey, remote string) Attempt {
	return Attempt{User: account, Key: key, Remote: netip.MustParseAddr(remote), Now: noon}
}

// must are the keys of a text without faults.
func must(t testing.TB, text string) []Key {
	t.Helper()
	keys, faults := Parse("keys", text)
	for _, fault := range faults {
		t.Fatalf("%s: %s; %s", fault.Where(), fault.What, fault.Fix)
	}
	return keys
}

// summary is a grant in one line: "pty agent open listen rc" for all there is,
// "exec" for nothing but commands.
func summary(grant Grant) string {
	words := []string{}
	add := func(is bool, word string, values ...any) {
		if is {
			words = append(words, fmt.Sprintf(word, values...))
		}
	}
	add(grant.PTY, "pty")
	add(grant.AgentForwarding, "agent")
	add(grant.Open.any, "open")
	for _, one := range grant.Open.only {
		add(true, "open=%s:%d", one.host, one.port)
	}
	add(grant.Listen.any, "listen")
	for _, one := range grant.Listen.only {
		add(true, "listen=%s:%d", one.host, one.port)
	}
	add(grant.UserRC, "rc")
	add(grant.NoTouchRequired, "untouched")
	add(grant.ForcedCommand != "", "command=%q", grant.ForcedCommand)
	add(!grant.Expires.IsZero(), "expires=%s", grant.Expires.UTC().Format(time.RFC3339))
	if len(words) == 0 {
		return "exec"
	}
	return strings.Join(words, " ")
}

// refusal is why an attempt is refused, and fails the test where it is not.
func refusal(t testing.TB, keys []Key, attempt Attempt) string {
	t.Helper()
	grant, err := Decide(keys, account, attempt)
	if err == nil {
		t.Fatalf("it is let in, with %s", summary(grant))
	}
	if grant.Fingerprint != "" || summary(grant) != "exec" {
		t.Fatalf("what is refused is granted %s", summary(grant))
	}
	return err.(Refusal).What
}
