package ssh

import (
	"context"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func (s *stand) listenerAddress(t *testing.T) net.Addr {
	t.Helper()
	address, err := net.ResolveTCPAddr("tcp4", s.address)
	if err != nil {
		t.Fatal(err)
	}
	return address
}

func TestCheckLogsInAndLeavesNoTrace(t *testing.T) {
	t.Parallel()
	// Even with all places taken: it takes none.
	s, key := serveOne(t, "", limited(func(l *Limits) { l.Connections = 1 }))
	before := s.dial(t, key)
	unharmed(t, before)
	s.log.await(t, "the session's end", kind(EventSessionEnd))
	lines := s.log.count(func(Event) bool { return true })
	for range 3 {
		if err := s.server.Check(t.Context(), s.listenerAddress(t)); err != nil {
			t.Error(err)
		}
	}
	if n := s.log.count(func(Event) bool { return true }); n != lines {
		t.Errorf("%d lines of log for it", n-lines)
	}
	s.server.self.mu.Lock()
	if n := len(s.server.self.ports); n > 0 {
		t.Errorf("%d addresses are taken for its own still", n)
	}
	s.server.self.mu.Unlock()
	unharmed(t, before)
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	t.Run("no key", func(t *testing.T) {
		s := serve(t, "")
		if err := s.server.Check(t.Context(), s.listenerAddress(t)); err == nil || !strings.Contains(err.Error(), "INMANTA_AUTHORIZED_KEYS") {
			t.Error(err)
		}
	})
	t.Run("no listener", func(t *testing.T) {
		s, _ := serveOne(t, "")
		s.stop()
		within(t, s.served, "the server to stop")
		if err := s.server.Check(t.Context(), s.listenerAddress(t)); err == nil || !strings.Contains(err.Error(), "connecting") {
			t.Error(err)
		}
	})
	t.Run("another server", func(t *testing.T) {
		s, _ := serveOne(t, "")
		other, _ := serveOne(t, "")
		if err := s.server.Check(t.Context(), other.listenerAddress(t)); err == nil || !strings.Contains(err.Error(), "logging in") {
			t.Error(err)
		}
	})
	t.Run("one that says nothing", func(t *testing.T) {
		s, _ := serveOne(t, "")
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if err := s.server.Check(ctx, listen(t).Addr()); err == nil {
			t.Error("it is healthy")
		}
	})
	t.Run("a shell that does not run", func(t *testing.T) {
		s, _ := serveOne(t, "", func(c *Config) { c.Account.Shell = "/bin/false" })
		if err := s.server.Check(t.Context(), s.listenerAddress(t)); err == nil || !strings.Contains(err.Error(), "running a command") {
			t.Error(err)
		}
	})
}

// The key of the check opens nothing but from the check's own end, and from
// there nothing else does.
func TestKeyOfTheCheckIsTheServersAlone(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	before := s.dial(t, key)
	s.refused(t, s.account(), ssh.PublicKeys(s.server.self.signer))
	conn, forget, err := s.server.self.dial(t.Context(), s.listenerAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	defer forget()
	if client, err := s.login(conn, s.account(), ssh.PublicKeys(key)); err == nil {
		_ = client.Close()
		t.Error("a person's key is let in at the check's end")
	}
	unharmed(t, before)
}

func TestHealthIsAnswered(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	before := s.dial(t, key)
	path := s.home("health")
	socket, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	answered := make(chan error, 1)
	go func() {
		answered <- s.server.answerHealth(ctx, &failing{Listener: socket, with: []error{syscall.EMFILE}}, s.listenerAddress(t))
	}()
	for range 3 {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := io.ReadAll(conn); err != nil || string(answer) != "ok" {
			t.Errorf("%q (%v)", answer, err)
		}
		_ = conn.Close()
	}
	stop()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	unharmed(t, before)
}

// While processes are started, as for sessions, each of them has this one's
// descriptors for a moment, and with them the ports.
func TestCheckFindsAPort(t *testing.T) {
	t.Parallel()
	goal, err := net.ResolveTCPAddr("tcp4", echoing(t, "tcp4", "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	check, err := newSelfCheck()
	if err != nil {
		t.Fatal(err)
	}
	var starting sync.WaitGroup
	over := make(chan struct{})
	starting.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
				_ = exec.Command("/bin/true").Run()
			}
		}
	})
	for range 500 {
		conn, forget, err := check.dial(t.Context(), goal)
		if err != nil {
			t.Error(err)
			break
		}
		if !check.made(conn.LocalAddr().String()) {
			t.Errorf("%s is not known to be its own", conn.LocalAddr())
		}
		forget()
		reset(conn)
	}
	close(over)
	starting.Wait()
	if len(check.ports) > 0 {
		t.Errorf("%v is known still", check.ports)
	}
}
