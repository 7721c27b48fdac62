package postgres

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/process"
)

// server is a server that was started.
type server struct {
	command *exec.Cmd
	data    string
	// ended is closed when it has; err is then why.
	ended chan struct{}
	err   error
}

// startServer starts the server on the cluster in its place. What it prints goes
// to log, each line of it to said as well.
func startServer(nursery *process.Nursery, c Config, log io.Writer, said func(line string)) (*server, error) {
	arguments := append([]string{"-c", "config_file=" + c.told(configFile)}, c.Server...)
	command := exec.Command("postgres", arguments...)
	command.Env = c.serverEnvironment()
	command.Dir = c.Data
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	command.Stdout, command.Stderr = write, write
	for _, left := range leftovers(c.Data) {
		if err := os.Remove(left); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	err = nursery.Start(command)
	_ = write.Close()
	if err != nil {
		_ = read.Close()
		return nil, fmt.Errorf("starting the server: %w", err)
	}
	s := &server{command: command, data: c.Data, ended: make(chan struct{})}
	passed := make(chan struct{})
	go func() {
		defer close(passed)
		passOn(read, log, said)
		_ = read.Close()
	}()
	go func() {
		s.err = nursery.Wait(command)
		// Its children hold the pipe until they have ended, too.
		<-passed
		close(s.ended)
	}()
	return s, nil
}

// leftovers are where a server that was killed left its number. It may be anybody's
// in here by now, even that of a thread of this process, and a server that finds
// somebody there does not start. Nobody else starts one on this volume, or in
// this container.
func leftovers(data string) []string {
	socket := filepath.Join(socketFolder, ".s.PGSQL.5432")
	return []string{filepath.Join(data, "postmaster.pid"), socket + ".lock", socket}
}

// passOn copies lines to log as they come.
func passOn(from io.Reader, log io.Writer, said func(line string)) {
	lines := bufio.NewReaderSize(from, 64<<10)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			_, _ = io.WriteString(log, line) // nobody is left to tell
			said(strings.TrimRight(line, "\n"))
		}
		if err != nil {
			return
		}
	}
}

// stop stops the server in its own time: clients are cut off, what they had not
// committed is undone, a standby gets all there is. Once hurry is done it is
// stopped without that, and recovers at its next start.
func (s *server) stop(hurry context.Context) {
	_ = s.command.Process.Signal(unix.SIGINT)
	select {
	case <-s.ended:
		return
	case <-hurry.Done():
	}
	_ = s.command.Process.Signal(unix.SIGQUIT)
	<-s.ended
}

// reload has it read its configuration again.
func (s *server) reload() { _ = s.command.Process.Signal(unix.SIGHUP) }

// ready returns once the server takes connections, or why it does not.
func (s *server) ready(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, word := postmaster(s.data); word == "ready" || word == "standby" {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("the server ended at its start: %w", cmpError(s.err))
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// postmaster is what a server says of itself in its own file, which is what
// pg_ctl goes by, too: its process, and a word for how it is.
func postmaster(data string) (pid int, word string) {
	text, _ := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	lines := strings.Split(string(text), "\n")
	if len(lines) < 8 {
		return 0, ""
	}
	pid, _ = strconv.Atoi(strings.TrimSpace(lines[0])) // 0 is nobody's
	return pid, strings.TrimSpace(lines[7])
}

// cmpError is err, or that there is none to tell.
func cmpError(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// control reads the cluster's control file. The process that reads it is the
// nursery's: the one that buries orphans would take its end for that of one.
func control(ctx context.Context, nursery *process.Nursery, c Config, data string) (controlData, error) {
	command := exec.CommandContext(ctx, "pg_controldata", "--pgdata="+data)
	command.Env = append(c.serverEnvironment(), "LC_ALL=C")
	var text, said bytes.Buffer
	command.Stdout, command.Stderr = &text, &said
	err := nursery.Start(command)
	if err == nil {
		err = nursery.Wait(command)
	}
	var exited *exec.ExitError
	switch {
	case errors.As(err, &exited):
		return controlData{}, fmt.Errorf("reading the control file: %s", strings.TrimSpace(said.String()))
	case err != nil:
		return controlData{}, fmt.Errorf("reading the control file: %w", err)
	}
	return parseControlData(text.String())
}
