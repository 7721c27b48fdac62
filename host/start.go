package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/inmanta/inmanta-docker/problem"
)

const (
	// tick is how often a condition is looked at that nothing announces.
	tick = 10 * time.Millisecond
	// wordPause is how long a person waits without a word.
	wordPause = 3 * time.Second
	// stopGrace is how long a containerd gets to end before it is killed.
	stopGrace = 10 * time.Second
	// logLimit is the size in bytes from which on the log of the detached
	// daemon is put aside when a new one starts.
	logLimit = 16 << 20
)

// What a wait for a daemon came to: errEnded when its process ended first,
// errSlow when it did not answer in time and still runs.
var (
	errEnded = errors.New("it ended before it answered")
	errSlow  = errors.New("it does not answer")
)

// startDaemon starts a dockerd that outlives this process and its terminal,
// and returns when it answers.
func (m machine) startDaemon(ctx context.Context, program string, say say) error {
	if info, err := os.Stat(m.daemon.Log); err == nil && info.Size() > logLimit {
		if err := os.Rename(m.daemon.Log, m.daemon.Log+".1"); err != nil {
			return fmt.Errorf("putting the old log aside: %w", err)
		}
	}
	log, err := os.OpenFile(m.daemon.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("opening the daemon's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	from, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("opening the daemon's log: %w", err)
	}
	daemon := exec.Command(program)
	// dockerd refuses to be given a file that is not there.
	if _, err := os.Stat(m.daemon.Config); err == nil {
		daemon.Args = append(daemon.Args, "--config-file", m.daemon.Config)
	}
	daemon.Env, daemon.Dir = environment(), "/"
	daemon.Stdout, daemon.Stderr = log, log
	daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := daemon.Start(); err != nil {
		return fmt.Errorf("starting dockerd: %w", err)
	}
	ended := make(chan struct{})
	var status error
	go func() { status = daemon.Wait(); close(ended) }()
	say(fmt.Sprintf("process %d, which writes to %s", daemon.Process.Pid, m.daemon.Log))
	written := func() []string { return readLog(m.daemon.Log, from) }

	err = m.await(ctx, ended, func() { say(last(written())) })
	switch {
	case errors.Is(err, errEnded):
		return notStarted(fmt.Sprintf("dockerd ended before it answered (%v)", status), Output{m.daemon.Log, written(), err})
	case errors.Is(err, errSlow):
		return notStarted(fmt.Sprintf("dockerd (process %d) runs and does not answer after %s", daemon.Process.Pid, m.limit), Output{m.daemon.Log, written(), err})
	}
	return err
}

// awaitDaemon returns when a dockerd that another started answers.
func (m machine) awaitDaemon(ctx context.Context, p process, say say) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Its log is where its standard error goes, if that is a file.
	log, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/2", p.pid))
	if info, err := os.Stat(log); err != nil || !info.Mode().IsRegular() {
		log = ""
	}
	ended := make(chan struct{})
	go func() {
		if until(ctx, p.gone) == nil {
			close(ended)
		}
	}()
	err := m.await(ctx, ended, func() { say(last(readLog(log, 0))) })
	if !errors.Is(err, errSlow) {
		return err
	}
	fix := fmt.Sprintf("look at its log, then end it with `kill %d` (containers stop with it) and run the command again", p.pid)
	if p.state == 'T' {
		fix = fmt.Sprintf("let it go on with `kill -CONT %d`", p.pid)
	}
	return problem.Problem{
		ID: "engine-silent", Where: m.endpoint.String(), Fix: fix,
		What: fmt.Sprintf("the dockerd that runs, %s, does not answer after %s; it was started as: %s", p, m.limit, strings.Join(p.arguments, " ")),
		Err:  Output{log, readLog(log, 0), err},
	}
}

// await returns nil when the endpoint answers, errEnded when the daemon's
// process ends first, and errSlow after m.limit. In between it gives a word to
// the person who waits.
func (m machine) await(ctx context.Context, ended <-chan struct{}, word func()) error {
	waiting, cancel := context.WithTimeoutCause(ctx, m.limit, errSlow)
	defer cancel()
	waiting, end := context.WithCancelCause(waiting)
	defer end(nil)
	go func() {
		select {
		case <-ended:
			end(errEnded)
		case <-waiting.Done():
		}
	}()
	go func() {
		pause := time.NewTicker(wordPause)
		defer pause.Stop()
		for {
			select {
			case <-pause.C:
				word()
			case <-waiting.Done():
				return
			}
		}
	}()
	// A socket that nobody listens on yet says so at once. From the moment
	// the daemon listens, the request itself waits in its queue and is
	// answered when the daemon is ready.
	err := until(waiting, func() bool { return ask(waiting, m.endpoint, 0).reply == answers })
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// until polls a condition nothing announces; its error is the cause of ctx's end.
func until(ctx context.Context, condition func() bool) error {
	poll := time.NewTicker(tick)
	defer poll.Stop()
	for {
		if condition() {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// stop ends a process: asks it to, and kills it after stopGrace.
func stop(ctx context.Context, p process) error {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if p.gone() {
			return nil
		}
		if err := syscall.Kill(p.pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stopping %s: %w", p, err)
		}
		grace, cancel := context.WithTimeout(ctx, stopGrace)
		err := until(grace, p.gone)
		cancel()
		if err == nil || ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return problem.Problem{
		ID: "process-stuck", What: fmt.Sprintf("%s does not end, not even when it is killed", p),
		Fix: "restart the machine: a process that cannot be killed waits for hardware or for a file system",
	}
}

// startUnit starts docker.service, and returns when it answers.
func (m machine) startUnit(ctx context.Context, say say) error {
	since := fmt.Sprintf("--since=@%d", time.Now().Unix())
	// A service that failed too often in a row is not started again until
	// someone says so. There may be nothing to reset.
	_ = command(ctx, "systemctl", "reset-failed", "docker.service", "docker.socket").Run()
	output, err := command(ctx, "systemctl", "start", "docker.service").CombinedOutput()
	if err == nil {
		err = m.await(ctx, nil, func() { say("systemd has started it; it does not answer yet") })
	}
	if err == nil {
		return nil
	}
	journal, _ := command(ctx, "journalctl", "--unit=docker.service", "--identifier=dockerd", since, "--lines=20", "--no-pager", "--output=cat").Output()
	lines := tail(journal)
	if len(lines) == 0 {
		lines = tail(output)
	}
	return notStarted("docker.service does not start", Output{"`journalctl --unit=docker`", lines, err})
}

// Output is the last lines a program wrote before it failed: the error behind
// a problem, for a person to read.
type Output struct {
	// From is the log the lines are the last of, or the command.
	From string
	// Lines are the last ones, oldest first.
	Lines []string
	// Err is how it failed.
	Err error
}

// Error implements error.
func (o Output) Error() string { return strings.Join(append(o.Lines, o.Err.Error()), "\n") }

// Unwrap gives the error behind it.
func (o Output) Unwrap() error { return o.Err }

// notStarted is the problem of a daemon that did not come to answer.
func notStarted(what string, output Output) error {
	line := last(output.Lines)
	if line != "" {
		what += ": " + line
	}
	return problem.Problem{ID: "engine-start", Where: output.From, What: what, Fix: remedy(line), Err: output}
}

// remedy is what to do about a daemon's last words.
func remedy(line string) string {
	switch {
	case strings.Contains(line, "cgroup") && strings.Contains(line, "mounted"):
		return "mount the control groups with `apt-get install cgroupfs-mount && cgroupfs-mount`, then run the command again"
	case strings.Contains(line, "iptables") && (strings.Contains(line, "Permission denied") || strings.Contains(line, "not permitted")):
		return "this machine (a container, perhaps) may not set up networks: use one that may, or set DOCKER_HOST to an engine elsewhere"
	case strings.Contains(line, "no space left on device"):
		return "make room on the disk of /var/lib/docker, then run the command again"
	case strings.Contains(line, "daemon.json") || strings.Contains(line, "configuration file") || strings.Contains(line, "configure the Docker daemon"):
		return "mend the daemon's configuration file, then run the command again"
	}
	return "mend what these last lines of its log name, then run the command again"
}

// The last lines of a log: how many are kept, of how much of its end in bytes,
// and how long a line may be.
const (
	tailLines = 12
	tailBytes = 64 << 10
	lineBytes = 400
)

// readLog is the last lines of a log file, of what was written after an
// offset; none when there is no such file.
func readLog(path string, from int64) []string {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err == nil {
		from = max(from, info.Size()-tailBytes)
	}
	text, _ := io.ReadAll(io.NewSectionReader(file, from, tailBytes))
	return tail(text)
}

// tail is the last lines of a text, without what dockerd's connection library
// says about every connection it makes.
func tail(text []byte) []string {
	var lines []string
	for line := range bytes.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || bytes.HasSuffix(line, []byte("module=grpc")) {
			continue
		}
		lines = append(lines, strings.ToValidUTF8(string(line[:min(len(line), lineBytes)]), "?"))
	}
	return lines[max(0, len(lines)-tailLines):]
}

// last is the last of some lines: empty when there is none.
func last(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[len(lines)-1]
}
