package ssh

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// What these tests count is the whole process's, so none of them is parallel.

func TestHostile23ClientThatNeverReads(t *testing.T) {
	s, key := serveOne(t, "")
	client := s.dial(t, key)
	before := resting(t)
	w := enter(t, s, key)
	// No window at all: not a byte may be sent.
	channel, err := w.open("session", 0, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := w.request(channel, "exec", textOf(recorded(s, "exec cat /dev/zero"))); !ok {
		t.Fatal(err)
	}
	pid := s.recorded(t)
	unharmed(t, client)
	_ = w.conn.Close()
	eventually(t, "the program ends", func() bool { return dead(pid) })
	returns(t, before)
	unharmed(t, client)
}

func TestHostile23ClientThatNeverCloses(t *testing.T) {
	s, key := serveOne(t, "")
	client := s.dial(t, key)
	w := enter(t, s, key)
	before := resting(t)
	const many = 5
	for n := range uint32(2 * many) {
		channel, err := w.open("session", n, 1<<20, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n%2 == 0 {
			if ok, err := w.request(channel, "pty-req", ssh.Marshal(ptyRequest{Term: "xterm"})); !ok {
				t.Fatal(err)
			}
		}
		if ok, err := w.request(channel, "exec", textOf("echo done")); !ok {
			t.Fatal(err)
		}
		if said, err := w.ended(n); strings.TrimSpace(said) != "done" {
			t.Errorf("it said %q (%v)", said, err)
		}
	}
	// The client has the channels still; what was behind them is gone.
	eventually(t, "what was used is given back", func() bool {
		now := holding(t)
		return now.descriptors <= before.descriptors && now.terminals <= before.terminals && now.children == 0
	})
	unharmed(t, client)
	_ = w.conn.Close()
	s.log.await(t, "its end", kind(EventDisconnected))
	unharmed(t, client)
}

func TestHostile24ResetOfATerminal(t *testing.T) {
	s, key := serveOne(t, "")
	client := s.dial(t, key)
	for name, program := range map[string]string{
		"foreground": "exec sleep 1000",
		"background": "sleep 1000 & disown; echo $! >> pids; sleep 1000",
		"own group":  "set -m; sleep 1000 & echo $! >> pids; sleep 1000",
		"nothing":    "exit",
	} {
		t.Run(name, func(t *testing.T) {
			before := resting(t)
			w := enter(t, s, key)
			channel, err := w.open("session", 0, 1<<20, nil)
			if err != nil {
				t.Fatal(err)
			}
			for kind, about := range map[string][]byte{"pty-req": ssh.Marshal(ptyRequest{Term: "xterm"})} {
				if ok, err := w.request(channel, kind, about); !ok {
					t.Fatal(kind, err)
				}
			}
			_ = os.Remove(s.home("pids"))
			if ok, err := w.request(channel, "exec", textOf(recorded(s, program+" & echo ready; wait"))); !ok {
				t.Fatal(err)
			}
			leader := s.recorded(t)
			if name != "nothing" {
				eventually(t, "the program runs", func() bool { return !strings.Contains(program, "pids") || len(s.pids()) > 0 })
			}
			reset(w.conn)
			eventually(t, "all of it ends", func() bool {
				for _, pid := range append(s.pids(), leader) {
					if !dead(pid) {
						return false
					}
				}
				return true
			})
			returns(t, before)
		})
	}
	unharmed(t, client)
}

// recorded is a command that writes down its number before it becomes another.
func recorded(s *stand, command string) string {
	return fmt.Sprintf("echo $$ > %s.new && mv %[1]s.new %[1]s && %s", s.home("pid"), command)
}

// recorded waits for that number.
func (s *stand) recorded(t *testing.T) int {
	t.Helper()
	pid := 0
	eventually(t, "the program runs", func() bool {
		text, err := os.ReadFile(s.home("pid"))
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil
	})
	_ = os.Remove(s.home("pid"))
	return pid
}

// pids are the numbers that programs have added to a file.
func (s *stand) pids() []int {
	text, _ := os.ReadFile(s.home("pids"))
	var all []int
	for field := range strings.FieldsSeq(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

func kill(pid int) { _ = unix.Kill(pid, unix.SIGKILL) }

// dead is whether a process has ended: one that nobody has buried yet has.
func dead(pid int) bool {
	if unix.Kill(pid, 0) == syscall.ESRCH {
		return true
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(text), ") Z ")
}
