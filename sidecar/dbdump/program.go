package dbdump

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/printed"
	"github.com/inmanta/inmanta-docker/sidecar/process"
)

// programs runs PostgreSQL's own programs.
type programs struct {
	nursery     *process.Nursery
	environment []string
}

// endPatience is how long a program that is told to end may take: pg_dump tells
// the server to stop.
const endPatience = 2 * time.Second

// lookPeriod is how often somebody looks at a program that runs.
const lookPeriod = 5 * time.Second

// errStalled is that a program did nothing for too long.
var errStalled = errors.New("it made no progress")

// run runs a program and returns what it printed. When the context is done, or
// going says so, it is ended with all that it started. going is asked every five
// seconds.
func (p programs) run(ctx context.Context, going func() bool, name string, arguments ...string) (output string, err error) {
	out, said := &printed.Tail{Most: mostPrinted}, &printed.Tail{Most: mostPrinted}
	command := exec.Command(name, arguments...)
	command.Env = p.environment
	command.Stdout, command.Stderr = out, said
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.WaitDelay = endPatience
	if err := p.nursery.Start(command); err != nil {
		return "", fmt.Errorf("starting %s: %w", name, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.nursery.Wait(command) }()
	// Its group is its own number, which is nobody else's before it was waited for.
	end := func(why error) (string, error) {
		_ = unix.Kill(-command.Process.Pid, unix.SIGTERM)
		select {
		case <-ended:
			return "", why
		case <-time.After(endPatience):
		}
		_ = unix.Kill(-command.Process.Pid, unix.SIGKILL)
		<-ended
		return "", why
	}
	tick := time.NewTicker(lookPeriod)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if err == nil {
				return out.String(), nil
			}
			if text := sentence(said.String()); text != "" {
				return "", errors.New(text)
			}
			return "", fmt.Errorf("%s: %w", name, err)
		case <-ctx.Done():
			return end(ctx.Err())
		case <-tick.C:
			if !going() {
				return end(errStalled)
			}
		}
	}
}

// mostPrinted is how much of what a program prints is kept, in bytes.
const mostPrinted = 4 << 20

// longestSentence is in bytes.
const longestSentence = 500

// sentence is what a program complained about, in one line: its first error, or
// all that it said where it called nothing an error.
func sentence(said string) string {
	text := strings.TrimSpace(said)
	if _, after, is := strings.Cut(text, "error: "); is {
		text = after
	}
	// What follows, it says of what it was doing.
	text, _, _ = strings.Cut(text, "\npg_")
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if len(text) > longestSentence {
		text = strings.ToValidUTF8(text[:longestSentence], "") + "…"
	}
	return text
}
