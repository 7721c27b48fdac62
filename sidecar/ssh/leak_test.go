package ssh

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// What these tests count is the whole process's, so none of them is parallel.

// held is what a process can run out of.
type held struct{ goroutines, descriptors, terminals, children int }

func holding(t *testing.T) held {
	t.Helper()
	now := held{goroutines: runtime.NumGoroutine()}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		target, err := os.Readlink("/proc/self/fd/" + entry.Name())
		if err != nil {
			continue // that of the listing itself
		}
		now.descriptors++
		if strings.Contains(target, "ptmx") {
			now.terminals++
		}
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		text, _ := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		now.children += len(strings.Fields(string(text)))
	}
	return now
}

// resting is what is held once that has stopped changing.
func resting(t *testing.T) held {
	t.Helper()
	var before, now held
	same := 0
	eventually(t, "nothing changes", func() bool {
		if before, now = now, holding(t); now != before {
			same = 0
		}
		same++
		return same > 10
	})
	return now
}

// returns waits until no more is held than before.
func returns(t *testing.T, before held) {
	t.Helper()
	var now held
	defer func() {
		if t.Failed() {
			t.Logf("held %+v, before %+v", now, before)
		}
	}()
	eventually(t, "what was used is given back", func() bool {
		now = holding(t)
		return now.goroutines <= before.goroutines && now.descriptors <= before.descriptors &&
			now.terminals <= before.terminals && now.children <= before.children
	})
}

// reset ends a connection without a word.
func reset(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

// converse opens a session in which requests, a kind and a text each, are
// granted, and reads the first that it says, if anything.
func converse(client *ssh.Client, reads bool, requests ...string) error {
	channel, incoming, err := client.OpenChannel("session", nil)
	if err != nil {
		return err
	}
	go ssh.DiscardRequests(incoming)
	for _, request := range requests {
		kind, text, _ := strings.Cut(request, " ")
		payload := textOf(text)
		switch kind {
		case "pty-req":
			payload = ssh.Marshal(ptyRequest{Term: "xterm", Columns: 80, Rows: 24})
		case "shell", "auth-agent-req@openssh.com":
			payload = nil
		}
		if ok, err := channel.SendRequest(kind, true, payload); !ok {
			return fmt.Errorf("%s is refused (%w)", request, err)
		}
	}
	if !reads {
		return nil
	}
	_, err = channel.Read(make([]byte, 1))
	return err
}

// pass sends a byte through a forward, and reads one.
func pass(client *ssh.Client, network, address string) error {
	conn, err := client.Dial(network, address)
	if err != nil {
		return err
	}
	if _, err := conn.Write([]byte("x")); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

func TestNothingIsLeftOf200Connections(t *testing.T) {
	const many, atOnce = 200, 10
	s, key := serveOne(t, "", limited(func(l *Limits) { l.Failures = 100 * many }))
	stranger := newKey(t)
	tcp, unix := echoing(t, "tcp", "127.0.0.1:0"), echoing(t, "unix", s.home("goal"))
	for name, use := range map[string]func(n int, client *ssh.Client) error{
		"idle":            func(int, *ssh.Client) error { return nil },
		"command":         func(_ int, c *ssh.Client) error { return converse(c, true, "exec echo") },
		"running command": func(_ int, c *ssh.Client) error { return converse(c, true, "exec echo; cat") },
		"talking command": func(_ int, c *ssh.Client) error { return converse(c, true, "exec cat /dev/zero") },
		"shell": func(_ int, c *ssh.Client) error {
			return converse(c, true, "pty-req", "exec echo; read")
		},
		"unused terminal": func(_ int, c *ssh.Client) error { return converse(c, false, "pty-req") },
		"file server":     func(_ int, c *ssh.Client) error { return converse(c, false, "subsystem sftp") },
		"forward":         func(_ int, c *ssh.Client) error { return pass(c, "tcp", tcp) },
		"socket forward":  func(_ int, c *ssh.Client) error { return pass(c, "unix", unix) },
		"listener":        func(_ int, c *ssh.Client) error { _, err := c.Listen("tcp", "127.0.0.1:0"); return err },
		"socket listener": func(n int, c *ssh.Client) error { _, err := c.ListenUnix(s.home("l" + strconv.Itoa(n))); return err },
		"socket listener whose file is gone": func(n int, c *ssh.Client) error {
			path := s.home("g" + strconv.Itoa(n))
			if _, err := c.ListenUnix(path); err != nil {
				return err
			}
			if err := os.Remove(path); err != nil {
				return err
			}
			if ok, _, err := c.SendRequest("streamlocal-forward@openssh.com", true, textOf(path)); ok || err != nil {
				return fmt.Errorf("listening there twice: %t (%w)", ok, err)
			}
			return nil
		},
		"agent": func(_ int, c *ssh.Client) error {
			if err := agent.ForwardToAgent(c, agent.NewKeyring()); err != nil {
				return err
			}
			return converse(c, true, "auth-agent-req@openssh.com", "exec echo; cat")
		},
		"refused channel": func(_ int, c *ssh.Client) error {
			if _, _, err := c.OpenChannel("no-such", nil); err == nil {
				return errors.New("a channel that there is not")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := resting(t)
			inTurn(many, atOnce, func(n int) {
				conn, err := s.connect(here)
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				client, err := s.login(conn, s.account(), ssh.PublicKeys(key))
				if err != nil {
					t.Error(err)
					return
				}
				if err := use(n, client); err != nil {
					t.Error(err)
				}
				if n%2 == 0 {
					reset(conn)
				}
				_ = client.Close()
				_ = client.Wait()
			})
			returns(t, before)
		})
	}
	for name, use := range map[string]func(net.Conn){
		"silent":       func(net.Conn) {},
		"half a hello": func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0") },
		"reset":        reset,
		"wrong key":    func(c net.Conn) { _, _ = s.login(c, s.account(), ssh.PublicKeys(stranger)) },
	} {
		t.Run(name, func(t *testing.T) {
			before := resting(t)
			inTurn(many, atOnce, func(int) {
				conn, err := s.connect(here)
				if err != nil {
					t.Error(err)
					return
				}
				use(conn)
				_ = conn.Close()
			})
			returns(t, before)
		})
	}
	if left, _ := os.ReadDir(os.TempDir()); slicesContainPrefix(left, "ssh-agent-") {
		t.Error("the folder of an agent is left")
	}
}

// What a client asked for before it left is not begun after, or nothing would
// ever end it.
func TestNothingIsLeftOfRequestsInFlight(t *testing.T) {
	s, key := serveOne(t, "")
	for name, packets := range map[string][][]byte{
		"listeners": repeat(globalRequest("tcpip-forward", false, ssh.Marshal(listenTCP{"", 0})), 16),
		"agents": {
			channelOpen("session", 0, 1<<20, nil), channelRequest(0, "auth-agent-req@openssh.com", false, nil),
			channelRequest(0, "exec", false, textOf("true")),
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := resting(t)
			for range 100 {
				w := enter(t, s, key)
				_ = w.sendAll(packets...)
				_ = w.conn.Close()
			}
			returns(t, before)
		})
	}
}

func inTurn(many, atOnce int, do func(n int)) {
	var running sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for n := range many {
		places <- struct{}{}
		running.Go(func() {
			defer func() { <-places }()
			do(n)
		})
	}
	running.Wait()
}

func slicesContainPrefix(entries []os.DirEntry, prefix string) bool {
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), prefix) {
			return true
		}
	}
	return false
}
