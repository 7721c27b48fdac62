package ssh

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/passwd"
	"github.com/inmanta/inmanta-docker/sidecar/process"
)

// TestMain lets this binary be what the tests start as processes of their own:
// the file server of sessions, as the sidecar's own binary is, one that tells of
// a file as rsync does, and one that makes host keys while others do.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		var err error
		switch os.Args[1] {
		case "sftp-server":
			err = SFTP(os.Stdin, os.Stdout, os.Args[2] == "report")
		case "tell":
			err = tell(os.Args[2], os.Args[3])
		case "host-keys":
			var keys []ssh.Signer
			keys, err = HostKeys(os.Args[2])
			for _, key := range keys {
				fmt.Print(string(ssh.MarshalAuthorizedKey(key.PublicKey())))
			}
		default:
			os.Exit(m.Run())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// longEnough is how long a test waits for what has to happen. It is no
// measurement: what is late by that much does not happen.
const longEnough = 20 * time.Second

// stand is a server on loopback whose account is whoever runs the tests.
type stand struct {
	server      *Server
	address     string
	log         *journal
	hostKey     ssh.PublicKey
	stop, hurry context.CancelFunc
	served      chan struct{} // closed when Serve has returned
}

// serve starts a server that lets in those who hold a key of lines.
func serve(t *testing.T, lines string, options ...func(*Config)) *stand {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveAt(t, listener, lines, options...)
}

func serveAt(t *testing.T, listener net.Listener, lines string, options ...func(*Config)) *stand {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	account := passwd.Account{Name: me.Username, Home: home, Shell: "/bin/bash", UID: os.Getuid(), GID: os.Getgid()}
	config := Config{
		Account:     account,
		Environment: account.Environment([]string{"PATH=" + os.Getenv("PATH"), "INMANTA_SET=yes"}),
		Keys:        KeySources{Variable: lines},
		SFTP:        []string{self, "sftp-server", "report"},
		Limits:      DefaultLimits,
	}
	for _, option := range options {
		option(&config)
	}
	log := &journal{}
	hostKey := newKey(t)
	server, err := New(config, []ssh.Signer{hostKey}, NewAudit(log), &process.Nursery{})
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	s := &stand{server: server, address: net.JoinHostPort(here, strconv.Itoa(port)), log: log, hostKey: hostKey.PublicKey(), served: make(chan struct{})}
	stop, stopNow := context.WithCancel(context.Background())
	hurry, hurryNow := context.WithCancel(context.Background())
	s.stop, s.hurry = stopNow, hurryNow
	go func() {
		defer close(s.served)
		if err := server.Serve(stop, hurry, listener); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		stopNow()
		hurryNow()
		within(t, s.served, "the server to stop")
		s.endLeftovers(t)
		if wrong := log.wrong(); wrong != "" {
			t.Errorf("a line of the log is not one JSON object: %q", wrong)
		}
		if t.Failed() {
			t.Logf("the server's log:\n%s", log.text())
		}
	})
	return s
}

// endLeftovers ends what sessions have left behind: a program without a
// terminal outlives its client, as with OpenSSH.
func (s *stand) endLeftovers(t *testing.T) {
	t.Helper()
	ended := func(e Event) bool { return e.Event == EventSessionEnd && (e.ExitCode != nil || e.Signal != "") }
	if s.log.count(kind(EventSessionStart)) == s.log.count(ended) {
		return
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		environment, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ"))
		if bytes.Contains(environment, []byte("\x00HOME="+s.home()+"\x00")) || bytes.HasPrefix(environment, []byte("HOME="+s.home()+"\x00")) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// limited sets limits for a test.
func limited(change func(*Limits)) func(*Config) {
	return func(c *Config) { change(&c.Limits) }
}

// newKey is a key that nobody else has.
func newKey(t testing.TB) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// line is a line of authorized_keys; options may be empty.
func line(options string, key ssh.Signer) string {
	if options != "" {
		options += " "
	}
	return options + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey()))) + " test\n"
}

// serveOne starts a server that lets in one key, with those options.
func serveOne(t *testing.T, keyOptions string, options ...func(*Config)) (*stand, ssh.Signer) {
	t.Helper()
	key := newKey(t)
	return serve(t, line(keyOptions, key), options...), key
}

// account is the user that may log in.
func (s *stand) account() string { return s.server.config.Account.Name }

// home is the folder that sessions start in.
func (s *stand) home(path ...string) string {
	return filepath.Join(append([]string{s.server.config.Account.Home}, path...)...)
}

// reach connects from source, an address of 127.0.0.0/8.
func (s *stand) reach(t *testing.T, source string) net.Conn {
	t.Helper()
	conn, err := s.connect(source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (s *stand) connect(source string) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	ctx, cancel := context.WithTimeout(context.Background(), longEnough)
	defer cancel()
	return dialer.DialContext(ctx, "tcp4", s.address)
}

// here is where tests come from that are not about addresses.
const here = "127.0.0.1"

// login logs in over a connection.
func (s *stand) login(conn net.Conn, name string, auth ...ssh.AuthMethod) (*ssh.Client, error) {
	client, channels, requests, err := ssh.NewClientConn(conn, s.address, &ssh.ClientConfig{
		User: name, Auth: auth, HostKeyCallback: ssh.FixedHostKey(s.hostKey),
	})
	if err != nil {
		return nil, err
	}
	return ssh.NewClient(client, channels, requests), nil
}

// dial logs in with a key, from source.
func (s *stand) dial(t *testing.T, key ssh.Signer, source ...string) *ssh.Client {
	t.Helper()
	client, err := s.login(s.reach(t, append(source, here)[0]), s.account(), ssh.PublicKeys(key))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// refused tries to log in, and expects not to be let in.
func (s *stand) refused(t *testing.T, name string, auth ...ssh.AuthMethod) {
	t.Helper()
	client, err := s.login(s.reach(t, here), name, auth...)
	if err == nil {
		_ = client.Close()
		t.Error("logged in")
	}
}

// open opens a session.
func open(t *testing.T, client *ssh.Client) *ssh.Session {
	t.Helper()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

// run runs a command and returns what it says, and how it ends.
func run(t *testing.T, client *ssh.Client, command string) (string, error) {
	t.Helper()
	output, err := open(t, client).CombinedOutput(command)
	return string(output), err
}

// says runs a command and expects its output, and that it succeeds.
func says(t *testing.T, client *ssh.Client, command, want string) {
	t.Helper()
	if got, err := run(t, client, command); err != nil || got != want {
		t.Errorf("%s said %q (%v), want %q", command, got, err, want)
	}
}

// unharmed is whether a session that was there before goes on.
func unharmed(t *testing.T, client *ssh.Client) {
	t.Helper()
	says(t, client, "echo $((6*7))", "42\n")
}

// within waits for a channel to be closed.
func within(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(longEnough):
		t.Fatalf("waited in vain for %s\n%s", what, stacks())
	}
}

// eventually waits until a condition holds that nothing announces.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(longEnough); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s\n%s", what, stacks())
		}
	}
}

// stacks is what everybody does, and how many of them.
func stacks() string {
	var text strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&text, 1)
	return text.String()
}

// journal is the server's log.
type journal struct {
	mu     sync.Mutex
	raw    bytes.Buffer
	events []Event
	bad    string
	more   chan struct{} // closed at the next event
}

func (j *journal) Write(text []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.raw.Write(text)
	if !bytes.HasSuffix(text, []byte("\n")) {
		j.bad = string(text)
	}
	for line := range bytes.Lines(text) {
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			j.bad = string(line)
		}
		j.events = append(j.events, e)
	}
	if j.more != nil {
		close(j.more)
		j.more = nil
	}
	return len(text), nil
}

func (j *journal) wrong() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.bad
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	text := j.raw.String()
	return text[max(0, len(text)-8<<10):]
}

// await waits for an event.
func (j *journal) await(t *testing.T, what string, is func(Event) bool) Event {
	t.Helper()
	late := time.After(longEnough)
	for {
		j.mu.Lock()
		for _, e := range j.events {
			if is(e) {
				j.mu.Unlock()
				return e
			}
		}
		if j.more == nil {
			j.more = make(chan struct{})
		}
		more := j.more
		j.mu.Unlock()
		select {
		case <-more:
		case <-late:
			t.Fatalf("the log does not say: %s\n%s", what, j.text())
		}
	}
}

// count is how many events there are of a kind.
func (j *journal) count(is func(Event) bool) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := 0
	for _, e := range j.events {
		if is(e) {
			n++
		}
	}
	return n
}

// kind is of events of one kind.
func kind(name string) func(Event) bool {
	return func(e Event) bool { return e.Event == name }
}

// reason is of events with a reason that contains the words.
func reason(name, words string) func(Event) bool {
	return func(e Event) bool { return e.Event == name && strings.Contains(e.Reason, words) }
}

func makeFIFO(t *testing.T, path string) {
	t.Helper()
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}
