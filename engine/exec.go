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
		return Result{}, fmt.Errorf("running %s in container %s: %w", command[0], container, err)
	}
	api := e.API()
	created, err := api.ExecCreate(ctx, container, client.ExecCreateOptions{
		Cmd: command, AttachStdin: true, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return fail(err)
	}
	attached, err := api.ExecAttach(ctx, created.ID, client.ExecAttachOptions{})
	if err != nil {
		return fail(err)
	}
	defer attached.Close()
	// Reading stops when ctx does: closing the connection is all that ends it.
	defer context.AfterFunc(ctx, attached.Close)()
	if _, err := io.WriteString(attached.Conn, stdin); err != nil {
		return fail(err)
	}
	if err := attached.CloseWrite(); err != nil {
		return fail(err)
	}
	var stdout, stderr bytes.Buffer
	if _, err := stdcopy.StdCopy(&stdout, &stderr, io.LimitReader(attached.Reader, 1<<20)); err != nil {
		return fail(err)
	}
	code, err := e.exitCode(ctx, created.ID)
	if err != nil {
		return fail(err)
	}
	return Result{
		ExitCode: code,
		Stdout:   strings.TrimSpace(stdout.String()), Stderr: strings.TrimSpace(stderr.String()),
	}, nil
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
