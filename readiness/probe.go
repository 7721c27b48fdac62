package readiness

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
)

// Health checks are run from here because the engine runs the first one only
// after a whole interval. Starting a process in a container costs some 50 ms of
// a CPU, which the container itself needs while it starts. So it is done when
// something has happened, and else not too often.

const (
	// soon is when a container is first tried that shows no sign of life.
	soon = 100 * time.Millisecond
	// tight is the gap between two looks at something that announces nothing.
	tight = 10 * time.Millisecond
)

// pause is how long to wait after a health check that failed and took as long
// as took. With news, such as a line in the log, as long again; without, four times
// that: a fifth of one CPU at most.
func pause(took time.Duration, news bool) time.Duration {
	if news {
		return min(max(took, tight), time.Second)
	}
	return min(max(4*took, soon), 2*time.Second)
}

// check runs the container's own health check until it passes, ctx ends, or the
// engine will not run it. listens is closed when one of the container's ports
// begins to answer; news has a value whenever it has printed something. report
// is told of each result.
func check(ctx context.Context, engine Engine, c Container, listens <-chan struct{}, news <-chan struct{}, report func(passed bool)) {
	began, took := time.Now(), time.Duration(0)
	for {
		heard := false
		timer := time.NewTimer(pause(took, false))
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-timer.C:
				waiting = false
			case <-listens:
				listens, waiting = nil, false
			case <-news:
				if !heard {
					heard = true
					timer.Reset(max(0, pause(took, true)-time.Since(began)))
				}
			}
		}
		timer.Stop()
		started := time.Now()
		code, _, err := runIn(ctx, engine, c.ID, c.test)
		if err != nil {
			return // it has ended, or ctx has: the events tell
		}
		began, took = time.Now(), time.Since(started)
		report(code == 0)
		if code == 0 {
			return
		}
	}
}

// sshPort is the one that is not tried: an ssh server logs everybody who comes
// and goes without a word, and says in its log when it listens.
const sshPort = 22

// listening closes the channel it returns when a TCP port of the container
// begins to take connections. Where its addresses cannot be reached from here,
// or it names no ports, that never happens.
func listening(ctx context.Context, c Container) <-chan struct{} {
	listens := make(chan struct{})
	ports := slices.DeleteFunc(slices.Clone(c.exposed), func(port uint16) bool { return port == sshPort })
	if len(c.addresses) == 0 || len(ports) == 0 {
		return listens
	}
	var dialer net.Dialer
	go func() {
		for ctx.Err() == nil {
			for _, port := range ports {
				dial, cancel := context.WithTimeout(ctx, time.Second)
				connection, err := dialer.DialContext(dial, "tcp", net.JoinHostPort(c.addresses[0].String(), strconv.Itoa(int(port))))
				cancel()
				if err == nil {
					_ = connection.Close()
					close(listens)
					return
				}
				if !refused(err) {
					return // no way there from here
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(tight):
			}
		}
	}()
	return listens
}

// maxOutput is the longest output of a command that is kept, in bytes.
const maxOutput = 16 << 20

// runIn runs one command in a running container and waits for its end.
func runIn(ctx context.Context, engine Engine, container string, command []string) (code int, stdout []byte, err error) {
	fail := func(err error) (int, []byte, error) {
		return 0, nil, fmt.Errorf("running %s in container %s: %w", command[0], container, err)
	}
	created, err := engine.ExecCreate(ctx, container, client.ExecCreateOptions{Cmd: command, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return fail(err)
	}
	attached, err := engine.ExecAttach(ctx, created.ID, client.ExecAttachOptions{})
	if err != nil {
		return fail(err)
	}
	defer attached.Close()
	// Closing the connection is all that ends a read.
	defer context.AfterFunc(ctx, attached.Close)()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, io.Discard, io.LimitReader(attached.Reader, maxOutput)); err != nil {
		return fail(err)
	}
	for {
		ended, err := engine.ExecInspect(ctx, created.ID, client.ExecInspectOptions{})
		if err != nil {
			return fail(err)
		}
		if !ended.Running {
			return ended.ExitCode, out.Bytes(), nil
		}
		// Its output ends a moment before the engine has seen it end.
		select {
		case <-ctx.Done():
			return fail(ctx.Err())
		case <-time.After(tight):
		}
	}
}
