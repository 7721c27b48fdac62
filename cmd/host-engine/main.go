// Command host-engine sees to it that a container engine answers on this
// machine: it takes the one that does, or installs and starts one. It says
// what it does on standard error, and names the engine on standard output.
// Exit codes: 0 an engine answers, 1 none does, 130 interrupted.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/inmanta/inmanta-docker/host"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/ui"
)

func main() { os.Exit(run()) }

func run() int {
	// The second interrupt ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)

	screen := ui.Open(os.Stdout, os.Stderr, os.Getenv, ui.Asked{})
	engine, err := ensure(ctx, screen)
	if ctx.Err() != nil {
		return 130
	}
	if err != nil {
		var output host.Output
		if errors.As(err, &output) && len(output.Lines) > 0 {
			screen.Report([]ui.Section{{Title: "Last lines of " + output.From, Log: strings.Join(output.Lines, "\n")}})
		}
		screen.Problems(problem.In(err))
		return 1
	}
	screen.Line(engine.String())
	return 0
}

func ensure(ctx context.Context, screen *ui.UI) (host.Engine, error) {
	endpoint, err := host.ChosenEndpoint(os.Getenv)
	if err != nil {
		return host.Engine{}, err
	}
	report, stop := screen.Progress()
	defer stop()
	return host.Ensure(ctx, endpoint, host.Installed(), report)
}
