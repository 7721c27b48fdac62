package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/inmanta/inmanta-docker/engine"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/readiness"
)

// asked is a sidecar that says itself what it does: its service, the user that
// it is asked as, and the verb of its binary.
type asked struct{ service, user, verb string }

// askSidecar has a sidecar do what the arguments say, and passes on what it prints.
// One that is unhealthy is asked all the same: that is when somebody wants to know.
func (a *app) askSidecar(ctx context.Context, who asked, args []string) error {
	s, c, err := a.sidecar(ctx, who.service)
	if err != nil {
		return err
	}
	defer s.engine.Close()
	if err := unhealthySidecar(c); err != nil {
		a.ui().Note(progress.Warning, err.Error())
	}
	if err := s.settled(ctx, c); err != nil {
		a.ui().Note(progress.Warning, "the "+who.service+" sidecar is not ready: "+firstLine(err))
	}
	code, err := who.run(ctx, s.engine, c, args, a.streams.Out, a.streams.Err)
	switch {
	case ctx.Err() != nil:
		return exit(ExitInterrupted)
	case err != nil:
		return err
	case code != 0:
		return exit(code)
	}
	return nil
}

// run runs a verb of the sidecar in its container, for as long as somebody waits
// for it here.
func (who asked) run(ctx context.Context, e *engine.Engine, c readiness.Container, args []string, stdout, stderr io.Writer) (exitCode int, err error) {
	command := slices.Concat([]string{sidecarPath, "attached", who.verb}, args)
	return e.Stream(ctx, c.ID, who.user, command, stdout, stderr)
}

// longestList is more than a sidecar has to say of five thousand logs with a
// hundred archives each, in bytes.
const longestList = 128 << 20

// list asks the sidecar what it has, into found.
func (who asked) list(ctx context.Context, e *engine.Engine, c readiness.Container, found any) error {
	stdout, stderr := bounded{most: longestList}, bounded{most: 1 << 20}
	code, err := who.run(ctx, e, c, []string{"ls", "--json"}, &stdout, &stderr)
	if err == nil && code != 0 {
		err = errors.New(strings.TrimSpace(stderr.String()))
	}
	if err == nil {
		err = json.Unmarshal(stdout.Bytes(), found)
	}
	if err != nil {
		return problem.Problem{
			ID: who.service + "-silent", Where: c.Name, What: fmt.Sprintf("what it has could not be had: %v", err),
			Fix: "see what it says: inmanta-docker logs " + who.service, Err: err,
		}
	}
	return nil
}

// tell is what a sidecar says that it has; nil where none runs, or it does not
// answer.
func tell[List any](ctx context.Context, s survey, containers []readiness.Container, who asked) (*List, error) {
	for _, c := range containers {
		if c.Service != who.service || c.State != "running" {
			continue
		}
		var found List
		if err := who.list(ctx, s.engine, c, &found); err != nil {
			return nil, err
		}
		return &found, nil
	}
	return nil, nil
}

// bounded is a buffer that refuses more than so many bytes.
type bounded struct {
	bytes.Buffer
	most int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.most {
		return 0, fmt.Errorf("it says more than %d bytes", b.most)
	}
	return b.Buffer.Write(p)
}
