package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
)

// typist sits at a terminal in which an ssh client runs.
type typist struct {
	s   *sidecar
	tty *os.File
	cmd *exec.Cmd

	mu   sync.Mutex
	seen strings.Builder // everything that was shown so far
	read int             // how much of it has been waited for
	more chan struct{}   // something was shown
}

// sit starts a line of shell in a terminal of that size.
func (s *sidecar) sit(rows, columns uint16, line string) *typist {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	s.t.Cleanup(cancel)
	at := &typist{s: s, cmd: s.command(ctx, "bash", "-c", "exec "+line), more: make(chan struct{}, 1)}
	at.cmd.Env = append(at.cmd.Env, "TERM=xterm-256color")
	tty, err := pty.StartWithSize(at.cmd, &pty.Winsize{Rows: rows, Cols: columns})
	if err != nil {
		s.t.Fatal(err)
	}
	at.tty = tty
	go func() {
		defer close(at.more)
		for buffer := make([]byte, 4096); ; {
			n, err := tty.Read(buffer)
			at.mu.Lock()
			at.seen.Write(buffer[:n])
			at.mu.Unlock()
			if err != nil {
				return
			}
			select {
			case at.more <- struct{}{}:
			default:
			}
		}
	}()
	s.t.Cleanup(func() { at.cmd.Process.Kill(); at.cmd.Wait(); tty.Close() }) //nolint:errcheck // it may have ended
	return at
}

// types sends keys, as they are.
func (at *typist) types(keys string) {
	at.s.t.Helper()
	if _, err := at.tty.WriteString(keys); err != nil {
		at.s.t.Fatalf("typing %q: %v\n%s", keys, err, at.all())
	}
}

// sees waits until a text is shown, after what was seen before.
func (at *typist) sees(text string) {
	at.s.t.Helper()
	patience := time.After(time.Minute)
	for {
		at.mu.Lock()
		found := strings.Index(at.seen.String()[at.read:], text)
		if found >= 0 {
			at.read += found + len(text)
		}
		at.mu.Unlock()
		if found >= 0 {
			return
		}
		select {
		case _, open := <-at.more:
			if !open {
				at.s.t.Fatalf("the terminal ended without %q:\n%q", text, at.all())
			}
		case <-patience:
			at.s.t.Fatalf("the terminal does not show %q:\n%q", text, at.all())
		}
	}
}

// leaves waits for the client to end, with that code.
func (at *typist) leaves(code int) {
	at.s.t.Helper()
	err := at.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || at.cmd.ProcessState.ExitCode() != code {
		at.s.t.Errorf("the client ended with %v, want exit code %d:\n%q", err, code, at.all())
	}
}

func (at *typist) all() string {
	at.mu.Lock()
	defer at.mu.Unlock()
	return at.seen.String()
}

// terminal is a person at a shell. What is typed is spelt so that its echo is
// not what is waited for.
func terminal(s *sidecar) {
	at := s.sit(31, 97, "ssh sidecar")
	at.types("PS1='$'; echo ready$((40+2))\r")
	at.sees("ready42\r\n")
	at.types("shopt -q login_shell && echo log''in $TERM $(tty) $SSH_TTY $(whoami)\r")
	at.sees("login xterm-256color /dev/pts/")
	at.types("test $(tty) = $SSH_TTY && echo sa''me\r")
	at.sees("same\r\n")
	at.types("stty size\r")
	at.sees("31 97\r\n")

	// A window that is pulled larger, and a program that is told.
	at.types("trap 'echo chan''ged $(stty size)' WINCH; echo re''ady\r")
	at.sees("ready\r\n")
	if err := pty.Setsize(at.tty, &pty.Winsize{Rows: 52, Cols: 140}); err != nil {
		s.t.Fatal(err)
	}
	// Bash runs its trap at the next line.
	at.s.until("the size arrives", func() bool {
		at.types("\r")
		return strings.Contains(at.all(), "changed 52 140")
	})
	at.types("trap - WINCH; stty si''ze\r")
	at.sees("52 140\r\n")

	// Control characters are the far terminal's business.
	at.types("sleep 1000; echo en''ded $?\r")
	at.sees("\r\n")
	at.s.until("sleep runs", func() bool { return strings.Contains(s.inside(), "sleep 1000") })
	at.types("\x03")
	at.types("echo inter''rupted $?\r")
	at.sees("interrupted 130\r\n")
	at.types("cat > /dev/null; echo end of fi''le\r")
	at.sees("\r\n")
	at.types("\x04")
	at.sees("end of file\r\n")
	at.types("exit 3\r")
	at.leaves(3)

	// A command with a terminal, and one whose client asks for none.
	at = s.sit(24, 80, "ssh -t sidecar 'test -t 0 && test -t 1 && stty size; exit 4'")
	at.sees("24 80\r\n")
	at.leaves(4)
	at = s.sit(24, 80, "ssh sidecar 'test -t 0 || echo no terminal'")
	at.sees("no terminal")
	at.leaves(0)
	// -tt asks for one where the client has none itself.
	if r := s.ends(0, "ssh -tt sidecar 'tty; printenv TERM' </dev/null"); !strings.HasPrefix(r.stdout, "/dev/pts/") {
		s.t.Errorf("ssh -tt without a terminal prints %q", r.stdout)
	}
	// The terminal's settings go along: here the interrupt character is Ctrl-B.
	at = s.sit(24, 80, "sh -c 'stty intr ^B; exec ssh -t sidecar \"trap \\\"exit 6\\\" INT; stty -a; sleep 1000; exit 7\"'")
	at.sees("intr = ^B")
	at.types("\x02")
	at.leaves(6)
	// ~. is the client's own way out.
	at = s.sit(24, 80, "ssh sidecar")
	at.types("echo re''ady\r")
	at.sees("ready\r\n")
	at.types("~.")
	at.leaves(255)
}

// terminalEnds is a terminal that goes away: what runs at it is told, and the
// terminal is given back even when something was told not to care.
func terminalEnds(s *sidecar) {
	begin := func(mark string) *typist {
		at := s.sit(24, 80, "ssh sidecar")
		at.types(mark + " & echo le''ft\r")
		at.sees("left\r\n")
		at.types("setsid " + mark + "0 & echo le''ft\r")
		at.sees("left\r\n")
		return at
	}
	gone := func(after, mark, terminal string) {
		s.t.Helper()
		s.until("after "+after+", "+mark+" is gone", func() bool { return !strings.Contains(s.inside(), mark+"\n") })
		s.until("after "+after+", "+terminal+" is given back", func() bool { return s.sh("ssh sidecar test -e "+terminal).code == 1 })
		s.ok("ssh sidecar 'for p in /proc/[0-9]*; do grep -qszx " + strings.Fields(mark)[1] + `0 $p/cmdline && kill ${p#/proc/}; done; true'`)
	}
	at := begin("sleep 771")
	terminal := s.terminalOf("sleep 771")
	at.cmd.Process.Kill() //nolint:errcheck // it is waited for at the end
	gone("the client is killed", "sleep 771", terminal)

	at = begin("sleep 772")
	terminal = s.terminalOf("sleep 772")
	at.cmd.Process.Signal(syscall.SIGHUP) //nolint:errcheck // it is waited for at the end
	gone("the client's terminal is closed", "sleep 772", terminal)

	connection, client := s.dialRaw()
	session, err := client.NewSession()
	if err == nil {
		err = session.RequestPty("xterm", 24, 80, nil)
	}
	if err == nil {
		err = session.Start("sleep 773; true")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.until("the command runs", func() bool { return strings.Contains(s.inside(), " sleep 773\n") })
	terminal = s.terminalOf("sleep 773")
	if err := connection.SetLinger(0); err != nil { // closing it is then a reset
		s.t.Fatal(err)
	}
	connection.Close()
	gone("the connection is reset", "sleep 773", terminal)
}

// inside is the command lines of the sidecar's processes, one a line.
func (s *sidecar) inside() string {
	s.t.Helper()
	return s.docker("top", s.container(), "-eo", "pid,args") + "\n"
}

// terminalOf is the terminal at which a command runs.
func (s *sidecar) terminalOf(command string) string {
	s.t.Helper()
	for line := range strings.Lines(s.docker("top", s.container(), "-eo", "pid,tty,args")) {
		fields := strings.Fields(line)
		if len(fields) > 2 && strings.Join(fields[2:], " ") == command {
			return "/dev/" + fields[1]
		}
	}
	s.t.Fatalf("%s does not run", command)
	return ""
}
