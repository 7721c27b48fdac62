package codeserver

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/passwd"
	"github.com/inmanta/inmanta-docker/sidecar/process"
)

// clock is a time that a test sets.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func TestSessions(t *testing.T) {
	t.Parallel()
	at := &clock{time.Unix(1e9, 0)}
	s := newSessions(at.now)
	token := s.begin()
	found, done := s.use(token)
	if found == nil {
		t.Fatal("a session is not found")
	}
	if other, _ := s.use(token + "x"); other != nil {
		t.Error("a made-up token has a session")
	}
	// A websocket that is open is a use.
	at.at = at.at.Add(2 * idleTime)
	if again, finished := s.use(token); again == nil {
		t.Error("a session in use is over")
	} else {
		finished()
	}
	done()
	at.at = at.at.Add(idleTime + time.Second)
	if again, _ := s.use(token); again != nil {
		t.Error("a session that nobody uses goes on")
	}
	token = s.begin()
	found, _ = s.use(token)
	at.at = at.at.Add(longestSession + time.Second)
	if again, _ := s.use(token); again != nil {
		t.Error("a session goes on for ever")
	}
	s.begin()
	if found.Err() == nil {
		t.Error("what a session opened outlives it")
	}
	first := s.begin()
	for range mostSessions {
		at.at = at.at.Add(time.Second)
		s.begin()
	}
	if len(s.open) > mostSessions {
		t.Errorf("there are %d sessions", len(s.open))
	}
	if again, _ := s.use(first); again != nil {
		t.Error("the oldest does not make room")
	}
}

func TestGuesses(t *testing.T) {
	t.Parallel()
	at := &clock{time.Unix(1e9, 0)}
	g := newGuesses(at.now)
	stranger, owner := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("192.0.2.8")
	for range freeGuesses {
		if _, ok := g.take(stranger, ""); !ok {
			t.Fatal("the first guesses are not tried")
		}
	}
	wait, ok := g.take(stranger, "made up")
	if ok || wait <= 0 || wait > pardon {
		t.Errorf("one more: %s, %t", wait, ok)
	}
	if _, ok := g.take(owner, ""); !ok {
		t.Error("who comes from elsewhere is kept out")
	}
	known := g.forgive(owner, "")
	for range 2 * freeGuesses {
		g.take(owner, "")
	}
	if _, ok := g.take(owner, ""); ok {
		t.Error("the owner's neighbours guess without end")
	}
	if _, ok := g.take(owner, known); !ok {
		t.Error("a browser that is known is kept out by its neighbours")
	}
	if again := g.forgive(owner, known); again != known {
		t.Error("a known browser is known by another name each time")
	}
	for range freeGuesses {
		g.take(owner, known)
	}
	if _, ok := g.take(owner, known); ok {
		t.Error("a known browser guesses without end")
	}
	at.at = at.at.Add(wait)
	if _, ok := g.take(stranger, ""); !ok {
		t.Error("what was waited for is not given")
	}
	for i := range mostSources + 10 {
		g.take(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), "")
	}
	if len(g.sources) > mostSources {
		t.Errorf("%d sources are remembered", len(g.sources))
	}
	for range mostKnown + 10 {
		g.forgive(owner, "")
	}
	if len(g.known) > mostKnown {
		t.Errorf("%d browsers are remembered", len(g.known))
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		login, ip, says string
		open            bool
	}{
		"nothing":           {"", "", "", false},
		"a password":        {"password", "0.0.0.0", "", false},
		"none":              {"none", "127.0.0.1", "", true},
		"none, IPv6":        {"none", "[::1]", "", true},
		"none, everywhere":  {"none", "0.0.0.0", "takes an address", false},
		"none, nowhere":     {"none", "", "takes an address", false},
		"none, a network":   {"none", "10.0.0.8", "takes an address", false},
		"none, and a name":  {"none", "localhost", "takes an address", false},
		"something else":    {"None", "127.0.0.1", "write password, or none", false},
		"another way to go": {"false", "127.0.0.1", "write password, or none", false},
	} {
		values := map[string]string{loginVariable: c.login, ipVariable: c.ip, namesVariable: "A.example, b.example"}
		got, err := configFrom(func(name string) string { return values[name] })
		if said := fmt.Sprint(err); (err == nil) != (c.says == "") || c.says != "" && !strings.Contains(said, c.says) || got.open != c.open {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if strings.Join(got.names, " ") != "a.example b.example" {
			t.Errorf("%s: names %q", name, got.names)
		}
	}
}

func TestReadPassword(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	configured := filepath.Join(data, "configured")
	made, where, err := readPassword(configured, data)
	if err != nil || len(made) < 40 || where == configured {
		t.Fatalf("%q in %q, %v", made, where, err)
	}
	if info, err := os.Stat(where); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("what was made up is %v, %v", info.Mode(), err)
	}
	if again, _, err := readPassword(configured, data); err != nil || again != made {
		t.Errorf("the next time it is %q, %v", again, err)
	}
	for text, want := range map[string]string{"\n": made, "": made, "open sesame\n": "open sesame", "with \"quotes\" \r\n": "with \"quotes\" "} {
		if err := os.WriteFile(configured, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, _, err := readPassword(configured, data); err != nil || got != want {
			t.Errorf("of %q it is %q, %v", text, got, err)
		}
	}
	if !newPassword("x").is("x") || newPassword("x").is("") || newPassword("x").is("X") {
		t.Error("a password is not what it is")
	}
}

func TestHome(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	me := passwd.Account{UID: os.Getuid(), GID: os.Getgid()}
	for range 2 {
		if err := errors.Join(prepareHome(data, me), tryHome(data), writeFirstSettings(home(data))); err != nil {
			t.Fatal(err)
		}
	}
	settings := filepath.Join(home(data), ".local/share/code-server/User/settings.json")
	if err := os.WriteFile(settings, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeFirstSettings(home(data)); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(settings); err != nil || string(text) != "{}" {
		t.Errorf("the user's settings became %s, %v", text, err)
	}
	other := t.TempDir()
	if err := os.Symlink("/etc", home(other)); err != nil {
		t.Fatal(err)
	}
	if err := prepareHome(other, me); err == nil || !strings.Contains(err.Error(), "no folder") {
		t.Errorf("a link for a home: %v", err)
	}
}

func TestJournal(t *testing.T) {
	t.Parallel()
	var log record
	j := &journal{out: &log}
	j.write(event{Event: eventEditor, Text: "\x1b[31mred\u202e\n" + strings.Repeat("x", 2*longestText)})
	for range 100 {
		j.refused("192.0.2.7:1", "wrong password")
	}
	got := log.String()
	if strings.ContainsAny(got, "\x1b\u202e") || len(got) > 2*longestText || strings.Count(got, "\n") != 2 {
		t.Errorf("the log is\n%q", got)
	}
}

func TestHow(t *testing.T) {
	t.Parallel()
	children := &process.Nursery{}
	for line, want := range map[string]string{"exit 3": "exit code 3", "kill -9 $$": "ended by signal killed", "true": "exit code 0"} {
		command := exec.Command("/bin/sh", "-c", line)
		if err := children.Start(command); err != nil {
			t.Fatal(err)
		}
		if got := how(children.Wait(command)); got != want {
			t.Errorf("%s: %s", line, got)
		}
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	var said []string
	l := &lines{say: func(line string) { said = append(said, line) }}
	for _, text := range []string{"one\ntw", "o\r\n\n", strings.Repeat("x", 3*longestLine), "\nlast"} {
		if n, err := l.Write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if len(said) < 3 || said[0] != "one" || said[1] != "two" || len(l.rest) > longestLine {
		t.Errorf("%d lines, %d bytes left", len(said), len(l.rest))
	}
}

func TestCertificateAlone(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	certificate, key := filepath.Join(folder, "c"), filepath.Join(folder, "k")
	if https, _, err := readTLS(certificate, "/dev/null", time.Now()); https != nil || err != nil {
		t.Errorf("without either: %v, %v", https, err)
	}
	if err := os.WriteFile(certificate, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readTLS(certificate, key, time.Now()); err == nil || !strings.Contains(err.Error(), "no key") {
		t.Errorf("without a key: %v", err)
	}
	if _, _, err := readTLS("/dev/null", certificate, time.Now()); err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Errorf("without a certificate: %v", err)
	}
	if _, _, err := readTLS(certificate, certificate, time.Now()); err == nil || !strings.Contains(err.Error(), "reading the certificate") {
		t.Errorf("a certificate that is none: %v", err)
	}
}
