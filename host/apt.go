package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/inmanta/inmanta-docker/problem"
)

// listsLock is what one apt holds while it fetches the package lists. Other
// than for its further locks, apt has no setting that makes it wait for this.
const listsLock = "/var/lib/apt/lists/lock"

// aptOptions make apt wait for another one that installs (seconds), and keep
// its output fit for a pipe.
var aptOptions = []string{"-q", "-o", "DPkg::Lock::Timeout=600", "-o", "Dpkg::Use-Pty=0"}

// hasCandidate is whether apt's lists know the package. A failure to ask is
// the same as not knowing it: the lists are then fetched.
func hasCandidate(ctx context.Context) bool {
	output, _ := command(ctx, "apt-cache", "policy", packageName).Output()
	return parseCandidate(output)
}

// parseCandidate reads `apt-cache policy`.
func parseCandidate(output []byte) bool {
	for line := range strings.Lines(string(output)) {
		if version, ok := strings.CutPrefix(strings.TrimSpace(line), "Candidate:"); ok {
			version = strings.TrimSpace(version)
			return version != "" && version != "(none)"
		}
	}
	return false
}

// fetchLists fetches the package lists. Lists that cannot be fetched are an
// error, which apt by itself only warns of.
func fetchLists(ctx context.Context, say say) error {
	if err := awaitLock(ctx, listsLock, say); err != nil {
		return err
	}
	return apt(ctx, say, "update", "-o", "APT::Update::Error-Mode=any")
}

// install installs the engine without what it merely recommends, and never at
// the price of another package.
func install(ctx context.Context, say say) error {
	return apt(ctx, say, "install", "-y", "--no-install-recommends", "--no-remove", packageName)
}

// apt runs apt-get and tells what it does. Interrupted, it is asked to stop,
// and gets to finish the package it is at.
func apt(ctx context.Context, say say, verb string, arguments ...string) error {
	arguments = append(append([]string{verb}, arguments...), aptOptions...)
	get := command(context.WithoutCancel(ctx), "apt-get", arguments...)
	// A daemon that a package starts must not be waited for.
	get.WaitDelay = time.Second
	output := &aptOutput{say: say}
	get.Stdout, get.Stderr = output, output
	if err := get.Start(); err != nil {
		return fmt.Errorf("starting apt-get: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = get.Process.Signal(syscall.SIGINT) })()
	err := get.Wait()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	lines := tail(output.text.Bytes())
	return problem.Problem{
		ID: "engine-install", Where: "apt-get " + verb,
		What: fmt.Sprintf("%s could not be installed: %s", packageName, aptCause(lines)),
		Fix:  "mend what apt-get says and run the command again, or install an engine another way (https://docs.docker.com/engine/install/)",
		Err:  Output{"apt-get " + verb, lines, err},
	}
}

// aptOutput keeps what apt-get writes, and says the lines worth it.
type aptOutput struct {
	say  say
	text bytes.Buffer
	// said is how much of text was looked at.
	said int
}

// Write implements io.Writer.
func (o *aptOutput) Write(p []byte) (int, error) {
	o.text.Write(p)
	for {
		rest := o.text.Bytes()[o.said:]
		end := bytes.IndexAny(rest, "\r\n")
		if end < 0 {
			return len(p), nil
		}
		if line := strings.TrimSpace(string(rest[:end])); worthSaying(line) {
			o.say(line)
		}
		o.said += end + 1
	}
}

// worthSaying is whether a line of apt's is a step a person may want to see.
func worthSaying(line string) bool {
	for _, start := range []string{"Get:", "Setting up ", "Waiting for ", "E: ", "W: "} {
		if strings.HasPrefix(line, start) {
			return true
		}
	}
	return false
}

// aptCause is the line of apt's that says why: its first error.
func aptCause(lines []string) string {
	for _, line := range lines {
		if cause, ok := strings.CutPrefix(line, "E: "); ok {
			return cause
		}
	}
	return last(lines)
}

// awaitLock returns when no other apt holds the lock. Another may take it right
// after: apt then says so itself.
func awaitLock(ctx context.Context, path string, say say) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking whether another apt is at work: %w", err)
	}
	defer func() { _ = file.Close() }()
	whole := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart}
	err = syscall.FcntlFlock(file.Fd(), syscall.F_SETLK, &whole)
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		say("another apt is fetching them")
		err = blocking(ctx, func() error { return syscall.FcntlFlock(file.Fd(), syscall.F_SETLKW, &whole) })
	}
	if err != nil {
		return fmt.Errorf("waiting for another apt to finish: %w", err)
	}
	return nil
}
