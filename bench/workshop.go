package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/engine"
	"github.com/inmanta/inmanta-docker/orchestrator"
)

// name is the project, and the prefix of its containers.
const name = "inmanta-bench"

// workshop is a directory with both tools and a deployment.
type workshop struct {
	dir, tools string
	engine     *engine.Engine
	api        *orchestrator.Client
}

func newWorkshop(ctx context.Context) (*workshop, error) {
	root, err := os.MkdirTemp("", name+"-")
	if err != nil {
		return nil, err
	}
	w := &workshop{tools: root, dir: filepath.Join(root, name)}
	fail := func(err error) (*workshop, error) { return nil, errors.Join(err, os.RemoveAll(root)) }
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		return fail(err)
	}
	for target, pkg := range map[string]string{
		"inmanta-docker":  "./cmd/inmanta-docker",
		"inmanta-sidecar": "./cmd/inmanta-sidecar",
		"docker-compose":  "github.com/docker/compose/v5/cmd",
	} {
		// The same flags for both, so that the code is compared and not how it was built.
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(w.tools, target), pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fail(fmt.Errorf("building %s: %w\n%s", pkg, err, out))
		}
	}
	for _, args := range [][]string{{"init"}, {"image", "ensure"}} {
		if _, err := w.command("inmanta-docker", args...)(ctx); err != nil {
			return fail(err)
		}
	}
	port, err := freePort()
	if err != nil {
		return fail(err)
	}
	env, err := deployment.ReadEnvFile(filepath.Join(w.dir, ".env"))
	if err == nil {
		err = env.Set("INMANTA_NAME", name).Set("INMANTA_ORCHESTRATOR_PORT", fmt.Sprint(port)).Write(true)
	}
	if err != nil {
		return fail(err)
	}
	if w.engine, err = engine.Open(engine.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}); err != nil {
		return fail(err)
	}
	w.api = orchestrator.New(fmt.Sprintf("http://127.0.0.1:%d", port), nil)
	return w, w.removeAll(ctx)
}

// freePort is a port that nobody listens on just now.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}

func (w *workshop) close() {
	// Also after an interrupt.
	err := errors.Join(w.removeAll(context.Background()), w.engine.Close(), os.RemoveAll(w.tools))
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: cleaning up:", err)
	}
}

func (w *workshop) engineVersion() string {
	version, err := w.engine.API().ServerVersion(context.Background(), client.ServerVersionOptions{})
	if err != nil {
		return "unknown"
	}
	return version.Version
}

// removeAll leaves nothing of the deployment but its files.
func (w *workshop) removeAll(ctx context.Context) error {
	_, err := w.command("docker-compose", "down", "-v", "--timeout", "0")(ctx)
	return err
}

// command times one run of a tool in the deployment's directory.
func (w *workshop) command(tool string, args ...string) func(context.Context) (sample, error) {
	return func(ctx context.Context) (sample, error) {
		cmd := exec.CommandContext(ctx, filepath.Join(w.tools, tool), args...)
		cmd.Dir = w.dir
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		cmd.Env = append(os.Environ(), "NO_COLOR=1")
		var said strings.Builder
		cmd.Stdout, cmd.Stderr = &said, &said
		begin := time.Now()
		err := cmd.Run()
		took := time.Since(begin)
		if err != nil {
			return sample{}, fmt.Errorf("%s %s: %w\n%s", tool, strings.Join(args, " "), err, said.String())
		}
		// Linux counts it in KiB: getrusage(2).
		return sample{took: took, memory: cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss * 1024}, nil
	}
}

// untilServing is command, and then a poll every 20 ms until the orchestrator
// serves: for the tool that waits by itself the first poll ends it.
func (w *workshop) untilServing(tool string, args ...string) func(context.Context) (sample, error) {
	run := w.command(tool, args...)
	return func(ctx context.Context) (sample, error) {
		begin := time.Now()
		s, err := run(ctx)
		if err != nil {
			return s, err
		}
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			if status, err := w.api.Status(ctx); err == nil {
				if ok, _ := orchestrator.Serving(status); ok {
					s.took = time.Since(begin)
					return s, nil
				}
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return s, ctx.Err()
			}
		}
	}
}

// probeCost is the median CPU time, in milliseconds, that one run of a
// service's own health check takes in its container, and that of `true` in its
// place: what the engine takes to run anything there.
func (w *workshop) probeCost(ctx context.Context, service string) (check, nothing float64, err error) {
	containers, err := w.engine.Containers(ctx, name)
	if err != nil {
		return 0, 0, err
	}
	for _, c := range containers {
		if c.Service != service {
			continue
		}
		found, err := w.engine.API().ContainerInspect(ctx, c.ID, client.ContainerInspectOptions{})
		if err != nil {
			return 0, 0, err
		}
		var checks, nothings []float64
		for range pairs {
			for _, one := range []struct {
				command []string
				costs   *[]float64
			}{{found.Container.Config.Healthcheck.Test[1:], &checks}, {[]string{"true"}, &nothings}} {
				cost, err := w.execCost(ctx, c.ID, one.command)
				if err != nil {
					return 0, 0, err
				}
				*one.costs = append(*one.costs, cost)
			}
		}
		return quantile(checks, 0.5), quantile(nothings, 0.5), nil
	}
	return 0, 0, fmt.Errorf("no container of %s", service)
}

// execCost is the CPU time, in milliseconds, that one command takes in a
// container, beyond what the container uses in the same time without it.
func (w *workshop) execCost(ctx context.Context, id string, command []string) (float64, error) {
	before, err := w.cpu(ctx, id)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	result, err := w.engine.Exec(ctx, id, command, "")
	if err != nil {
		return 0, err
	}
	if result.ExitCode != 0 {
		return 0, fmt.Errorf("it fails: %s", result.Stderr)
	}
	took := time.Since(begin)
	after, err := w.cpu(ctx, id)
	if err != nil {
		return 0, err
	}
	<-time.After(took)
	idle, err := w.cpu(ctx, id)
	if err != nil {
		return 0, err
	}
	return ((after - before) - (idle - after)).Seconds() * 1000, nil
}

// cpu is the CPU time that a container has used since it started.
func (w *workshop) cpu(ctx context.Context, id string) (time.Duration, error) {
	answer, err := w.engine.API().ContainerStats(ctx, id, client.ContainerStatsOptions{})
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	var stats container.StatsResponse
	if err := json.NewDecoder(answer.Body).Decode(&stats); err != nil {
		return 0, err
	}
	return time.Duration(stats.CPUStats.CPUUsage.TotalUsage), nil
}

func (w *workshop) sidecarSize() (int64, error) {
	info, err := os.Stat(filepath.Join(w.tools, "inmanta-sidecar"))
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
