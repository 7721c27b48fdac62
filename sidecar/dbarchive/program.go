package dbarchive

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/printed"
	"github.com/inmanta/inmanta-docker/sidecar/process"
)

// endPatience is how long a program that is told to end may take.
const endPatience = 3 * time.Second

// run runs one of PostgreSQL's programs until it ends, or, when the context is
// done, ends it. The error is what it complained about.
func run(ctx context.Context, nursery *process.Nursery, name string, arguments ...string) error {
	said := &printed.Tail{Most: mostSaid}
	command := exec.Command(name, arguments...)
	command.Env = []string{"PATH=" + path, "LC_ALL=C.UTF-8", "HOME=/nonexistent", "PGHOST=" + socketFolder, "PGUSER=" + user}
	command.Stderr = said
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.WaitDelay = endPatience
	if err := nursery.Start(command); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- nursery.Wait(command) }()
	select {
	case err := <-ended:
		if text := sentence(said.String()); err != nil && text != "" {
			return errors.New(text)
		}
		return err
	case <-ctx.Done():
	}
	// Its group is its own number, which is nobody else's before it was waited for.
	_ = unix.Kill(-command.Process.Pid, unix.SIGINT)
	select {
	case <-ended:
	case <-time.After(endPatience):
		_ = unix.Kill(-command.Process.Pid, unix.SIGKILL)
		<-ended
	}
	return ctx.Err()
}

// mostSaid is how much of what a program complains about is kept, in bytes.
const mostSaid = 64 << 10

// noise is what a server that starts says to whoever asks whether it has.
var noise = []string{"the database system is starting up", "the database system is not yet accepting connections", "the database system is shutting down"}

// sentence is what a program complained about, in one line: its first error or, of
// a server, what was fatal to it.
func sentence(said string) string {
	text := strings.TrimSpace(said)
	if _, after, is := strings.Cut(text, "error: "); is {
		text, _, _ = strings.Cut(after, "\n")
	}
	for line := range strings.Lines(said) {
		if _, after, is := strings.Cut(line, "FATAL:  "); is && !slices.Contains(noise, strings.TrimSpace(after)) {
			text = after
		}
	}
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	const longest = 500
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}
