package modelinit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

const (
	// longestLine is the longest line of a program's that is read as one, in bytes.
	longestLine = 64 << 10
	// mostLines is how many of the last lines are kept to find a cause in.
	mostLines = 2000
	// farewell is how long a program has to end by itself once it is told to.
	farewell = 5 * time.Second
)

// program is one program to run to its end.
type program struct {
	// path and args are what exec(2) takes, args[0] included.
	path string
	args []string
	dir  string
	// environment is all that it gets, as NAME=value.
	environment []string
	// line is told of each line that it prints; nil for nobody.
	line func(string)
	// report, if any, is its descriptor 3.
	report *os.File
}

// run runs a program and returns the last lines it printed, on both its streams.
// What it started and left behind is killed. The error is an *exec.ExitError
// when it ended with anything but 0.
func (j *job) run(ctx context.Context, p program) (lines []string, err error) {
	argv := append([]string{p.path}, p.args...)
	command := exec.CommandContext(ctx, argv[0], argv[2:]...)
	command.Args = argv[1:]
	if launcher := j.config.Launcher; len(launcher) > 0 {
		command = exec.CommandContext(ctx, launcher[0], slices.Concat(launcher[1:], argv)...)
	}
	command.Dir, command.Env = p.dir, p.environment
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGTERM) }
	command.WaitDelay = farewell
	if p.report != nil {
		command.ExtraFiles = []*os.File{p.report}
	}
	output, input, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe for %s: %w", p.path, err)
	}
	defer output.Close()
	command.Stdout, command.Stderr = input, input
	if err := j.children.Start(command); err != nil {
		input.Close()
		return nil, fmt.Errorf("starting %s: %w", p.path, err)
	}
	input.Close()
	read := make(chan []string, 1)
	go func() { read <- readLines(output, p.line) }()
	err = j.children.Wait(command)
	// All that it started is of its group, and may hold its output open.
	_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
	select {
	case lines = <-read:
	case <-time.After(farewell): // somebody left the group and holds on to it
		output.Close()
		lines = <-read
	}
	if ctx.Err() != nil {
		return lines, ctx.Err()
	}
	return lines, err
}

// readLines tells each line, and returns the last of them.
func readLines(from io.Reader, tell func(string)) (lines []string) {
	in := bufio.NewReaderSize(from, longestLine)
	for {
		text, _, err := in.ReadLine()
		if err != nil {
			return lines
		}
		line := string(text)
		if tell != nil {
			tell(line)
		}
		if lines = append(lines, line); len(lines) > 2*mostLines {
			lines = slices.Clone(lines[mostLines:])
		}
	}
}

// exitCode is how a program ended that ran; ok is false when it did not run.
func exitCode(err error) (code int, ok bool) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, true
	case errors.As(err, &exit):
		return exit.ExitCode(), true
	}
	return 0, false
}
