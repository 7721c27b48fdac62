// Package engine is the container engine as this CLI uses it: the Docker
// client and, above it, the Compose SDK in this process. Nothing here decides
// what should run; see packages topology and plan.
package engine

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/flags"
	"github.com/docker/compose/v5/pkg/api"
	"github.com/docker/compose/v5/pkg/compose"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/progress"
)

// Engine is a configured way to reach a container engine: the same one the
// docker command line would (DOCKER_HOST, contexts, TLS). It connects on first use.
type Engine struct {
	cli *command.DockerCli
	// used says that something of ours asked for its client.
	used atomic.Bool
	// Parallel is how many things Compose may have the engine do at once; as many
	// as there are if it is not above 0.
	Parallel int
}

// Streams are where containers' output and prompts go.
type Streams struct {
	In       io.ReadCloser
	Out, Err io.Writer
}

// Open reads the Docker configuration. It does not contact the engine; see Ping.
func Open(streams Streams) (*Engine, error) {
	cli, err := command.NewDockerCli(
		command.WithInputStream(streams.In),
		command.WithOutputStream(streams.Out),
		command.WithErrorStream(streams.Err),
	)
	if err != nil {
		return nil, fmt.Errorf("reading the Docker configuration: %w", err)
	}
	if err := cli.Initialize(flags.NewClientOptions()); err != nil {
		return nil, fmt.Errorf("reading the Docker configuration: %w", err)
	}
	return &Engine{cli: cli}, nil
}

// CLI is the Docker command line's own object, for the parts of Compose that need one.
func (e *Engine) CLI() command.Cli { return e.cli }

// API is the engine's API client.
func (e *Engine) API() client.APIClient {
	e.used.Store(true)
	return e.cli.Client()
}

// Host is how the engine is reached: "unix:///var/run/docker.sock".
func (e *Engine) Host() string { return e.cli.DockerEndpoint().Host }

// Compose is the Compose SDK on this engine, telling report what it does. What
// it asks is answered with no: it asks before it deletes data, such as a volume
// whose definition has changed, and no flag of ours means that.
func (e *Engine) Compose(report progress.Report) (api.Compose, error) {
	options := []compose.Option{
		compose.WithEventProcessor(events(report)),
		compose.WithPrompt(func(string, bool) (bool, error) { return false, nil }),
	}
	if e.Parallel > 0 {
		options = append(options, compose.WithMaxConcurrency(e.Parallel))
	}
	service, err := compose.NewComposeService(e.cli, options...)
	if err != nil {
		return nil, fmt.Errorf("preparing Compose: %w", err)
	}
	return service, nil
}

// Close releases the connection, if there is one: to ask for the client is to
// make one.
func (e *Engine) Close() error {
	if !e.used.Load() {
		return nil
	}
	return e.cli.Client().Close()
}

// events passes the SDK's events on.
type events progress.Report

func (events) Start(context.Context, string) {}

func (events) Done(string, bool) {}

var statuses = map[api.EventStatus]progress.Status{
	api.Working: progress.Working,
	api.Done:    progress.Done,
	api.Warning: progress.Warning,
	api.Error:   progress.Failed,
}

func (e events) On(resources ...api.Resource) {
	for _, r := range resources {
		event := progress.Event{
			ID: r.ID, Text: r.Text, Detail: r.Details, Status: statuses[r.Status],
			Current: r.Current, Total: r.Total,
		}
		switch {
		case r.Text == api.StatusRunning:
			continue // nothing was done to it
		case r.Status == api.Error && strings.HasSuffix(r.Details, context.Canceled.Error()):
			event.Text, event.Detail, event.Status = "Interrupted", "", progress.Warning
		}
		e(event)
	}
}
