package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
)

// Result is what a command in a container did.
type Result struct {
	ExitCode       int
	Stdout, Stderr string
}

// Exec runs a command in a running container with stdin as its input, and
// waits for it. What it prints is cut off at 1 MiB.
func (e *Engine) Exec(ctx context.Context, container string, command []string, stdin string) (Result, error) {
	fail := func(err error) (Result, error) {
		return Result{}, fmt.Errorf("running %s in container %s: %w", command[0], container, why(ctx, err))
	}
	running, err := e.start(ctx, container, client.ExecCreateOptions{Cmd: command})
	if err != nil {
		return fail(err)
	}
	defer running.end()
	if _, err := io.WriteString(running.Conn, stdin); err != nil {
		return fail(err)
	}
	if err := running.CloseWrite(); err != nil {
		return fail(err)
	}
	var stdout, stderr bytes.Buffer
	if _, err := stdcopy.StdCopy(&stdout, &stderr, io.LimitReader(running.Reader, 1<<20)); err != nil {
		return fail(err)
	}
	code, err := e.exitCode(ctx, running.id)
	if err != nil {
		return fail(err)
	}
	return Result{
		ExitCode: code,
		Stdout:   strings.TrimSpace(stdout.String()), Stderr: strings.TrimSpace(stderr.String()),
	}, nil
}

// Stream runs a command in a running container as one of its users, and passes
// on what it prints while it does, however much that is: the command waits for
// whoever reads here.
//
// Its input stays open and empty until it has ended. The engine has no way to
// end a command, and lets it go on when nobody listens any more: the end of its
// input is how it learns that this process, or the interest in it, is gone.
func (e *Engine) Stream(ctx context.Context, container, user string, command []string, stdout, stderr io.Writer) (exitCode int, err error) {
	return e.Feed(ctx, container, user, command, nil, stdout, stderr)
}

// Feed is Stream with something to read for the command: its input ends when stdin
// does. With nil it stays open and empty, as it does for Stream.
func (e *Engine) Feed(ctx context.Context, container, user string, command []string, stdin io.Reader, stdout, stderr io.Writer) (exitCode int, err error) {
	fail := func(err error) (int, error) {
		return 0, fmt.Errorf("running %s in container %s: %w", command[0], container, why(ctx, err))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	running, err := e.start(ctx, container, client.ExecCreateOptions{Cmd: command, User: user})
	if err != nil {
		return fail(err)
	}
	defer running.end()
	if stdin != nil {
		go func() {
			if err := feed(running.HijackedResponse, stdin); err != nil {
				cancel(err) // it must not take what it has got for all of it
			}
		}()
	}
	if _, err := stdcopy.StdCopy(stdout, stderr, running.Reader); err != nil {
		return fail(err)
	}
	code, err := e.exitCode(ctx, running.id)
	if err != nil {
		return fail(err)
	}
	return code, nil
}

// execution is a command that runs in a container, and what it reads and prints.
type execution struct {
	client.HijackedResponse
	id  string
	end func()
}

// start starts a command. Reading what it prints stops when ctx does: closing
// the connection is all that ends it.
func (e *Engine) start(ctx context.Context, container string, options client.ExecCreateOptions) (execution, error) {
	options.AttachStdin, options.AttachStdout, options.AttachStderr = true, true, true
	created, err := e.API().ExecCreate(ctx, container, options)
	if err != nil {
		return execution{}, err
	}
	attached, err := e.API().ExecAttach(ctx, created.ID, client.ExecAttachOptions{})
	if err != nil {
		return execution{}, err
	}
	stop := context.AfterFunc(ctx, attached.Close)
	return execution{attached.HijackedResponse, created.ID, func() { stop(); attached.Close() }}, nil
}

// exitCode is a command's, whose output has ended. The engine notes the end of
// the command a moment after that, and announces it to nobody.
func (e *Engine) exitCode(ctx context.Context, id string) (int, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		inspected, err := e.API().ExecInspect(ctx, id, client.ExecInspectOptions{})
		if err != nil || !inspected.Running {
			return inspected.ExitCode, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
