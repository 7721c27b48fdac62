package codeserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/process"
	"github.com/inmanta/inmanta-docker/sidecar/release"
)

// editor is code-server as a child process.
type editor struct {
	release release.Installed
	// launcher starts a program as the account's: it is followed by the program's
	// path and its arguments, argv[0] included. None runs it as it is.
	launcher    []string
	environment []string
	// configuration is a file of code-server's, so that it looks for no other.
	configuration string
	socket        string
	// folder is what it opens first.
	folder   string
	children *process.Nursery
	journal  *journal
}

// socketPath is where code-server listens, in a folder that is the account's.
func socketPath(run string) string { return filepath.Join(run, "socket", "code-server") }

// arguments are those of code-server for every use of it.
func (e *editor) arguments() []string {
	return []string{e.release.Folder, "--config", e.configuration, "--disable-telemetry", "--disable-update-check"}
}

// serving are the arguments of the server. It needs no login of its own: nobody
// but the front, and what the account runs in this container, reaches its socket.
func (e *editor) serving() []string {
	return append(e.arguments(),
		"--auth", "none", "--socket", e.socket, "--socket-mode", "600",
		"--disable-workspace-trust", "--disable-getting-started-override",
		// What listens in this container would be on the editor's own site.
		"--disable-proxy",
		e.folder,
	)
}

// command is code-server with arguments.
func (e *editor) command(arguments ...string) *exec.Cmd {
	node := e.release.Node()
	words := append([]string{node}, arguments...)
	if len(e.launcher) > 0 {
		words = append(append([]string{}, e.launcher...), append([]string{node, node}, arguments...)...)
	}
	output := &lines{say: func(line string) { e.journal.write(event{Event: eventEditor, Text: line}) }}
	command := &exec.Cmd{
		Path: words[0], Args: words, Env: e.environment, Dir: "/",
		Stdout: output, Stderr: output,
		// What it leaves running may hold its output open.
		WaitDelay:   time.Second,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	return command
}

// start starts the server. ended gets how it ended, when it has.
func (e *editor) start() (running *exec.Cmd, ended <-chan error, err error) {
	// A socket that an earlier run left would be taken for this one's.
	if err := os.Remove(e.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("removing the socket of an earlier run: %w", err)
	}
	command := e.command(e.serving()...)
	if err := e.children.Start(command); err != nil {
		return nil, nil, fmt.Errorf("starting code-server: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- e.children.Wait(command) }()
	return command, done, nil
}

// answers returns once code-server answers at its socket, which nothing
// announces but the socket itself.
func answers(ctx context.Context, reach http.RoundTripper) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := ask(ctx, reach); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// how says how a process ended, in words.
func how(err error) string {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		if err == nil {
			return "exit code 0"
		}
		return err.Error()
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return "ended by signal " + status.Signal().String()
	}
	return fmt.Sprintf("exit code %d", exit.ExitCode())
}

// stop asks a process and what it started to end, and sees to it once hurry is done.
func stop(command *exec.Cmd, ended <-chan error, hurry context.Context) {
	_ = command.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
		return
	case <-hurry.Done():
	}
	for _, pid := range append(process.InSession(command.Process.Pid), command.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-ended
}

// lines says what is written to it, a line at a time.
type lines struct {
	say  func(line string)
	rest []byte
}

// longestLine is where a line that does not end is cut, in bytes.
const longestLine = 8 << 10

func (l *lines) Write(text []byte) (int, error) {
	l.rest = append(l.rest, text...)
	for {
		line, rest, found := strings.Cut(string(l.rest), "\n")
		if !found && len(line) < longestLine {
			return len(text), nil
		}
		l.rest = []byte(rest)
		if line = strings.TrimRight(line, "\r "); line != "" {
			l.say(line)
		}
	}
}

var _ io.Writer = (*lines)(nil)
