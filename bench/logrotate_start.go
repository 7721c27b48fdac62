package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/moby/client"
)

// cronEntrypoint replaces the sidecar's program with what installs cron and
// logrotate first, as upstream's does.
const cronEntrypoint = `services:
  logrotate:
    entrypoint:
      - sh
      - -euc
      - |
        INSTALL
        exec cron -f
    environment: [http_proxy, https_proxy, no_proxy, HTTP_PROXY, HTTPS_PROXY, NO_PROXY]
    healthcheck: {disable: true}
    network_mode: !reset null
    cap_drop: !reset []
    cap_add: !reset []
    security_opt: !reset []
`

// nothing changes nothing.
const nothing = "services: {}\n"

// rotationUpRow compares the sidecar with an entrypoint that installs cron and
// logrotate: from nothing, with the stock tool, until the one says that it is
// healthy and the other runs cron. Only the sidecar is brought up, as nothing
// else differs.
func rotationUpRow(ctx context.Context, w *workshop, what string) error {
	files := map[string]string{"as-it-is.yml": nothing, "cron-entrypoint.yml": strings.Replace(cronEntrypoint, "INSTALL", rotationInstall, 1)}
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(w.dir, file), []byte(text), 0o644); err != nil {
			return err
		}
	}
	reset := func(ctx context.Context) error {
		return w.rotationCompose(ctx, "as-it-is.yml", "down", "-v", "--timeout", "0")
	}
	up := func(file string, serves func(ctx context.Context, s server) error) func(context.Context) (sample, error) {
		return func(ctx context.Context) (sample, error) {
			begin := time.Now()
			if err := w.rotationCompose(ctx, file, "up", "-d", "--no-deps", rotationService); err != nil {
				return sample{}, err
			}
			s, err := w.find(ctx, rotationService)
			if err != nil {
				return sample{}, err
			}
			_, err = until(ctx, func() error { return serves(ctx, s) })
			return sample{took: time.Since(begin)}, err
		}
	}
	healthy := func(ctx context.Context, s server) error {
		return w.inside(ctx, s, "inmanta-sidecar", "logrotate", "health")
	}
	runsCron := func(_ context.Context, s server) error {
		program, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", s.pid))
		if err == nil && strings.TrimSpace(string(program)) != "cron" {
			err = fmt.Errorf("it still runs %s", program)
		}
		return err
	}
	ours, theirs, err := interleave(ctx, aptPairs, reset, up("as-it-is.yml", healthy), up("cron-entrypoint.yml", runsCron))
	if err != nil {
		return errors.Join(err, reset(ctx))
	}
	fmt.Print("\n| what | ours, median (10%–90%) | an entrypoint with `apt-get install cron logrotate`, median (10%–90%) | ratio of medians | target |\n| --- | --- | --- | --- | --- |\n")
	row(fmt.Sprintf("%s (%d pairs)", what, aptPairs), "≤ 0.25", seconds(ours), seconds(theirs), "s", 3)
	return reset(ctx)
}

// What an idle sidecar looks after, and for how long that is measured.
const (
	idleLogs = 50
	idleRate = 20 // lines a second
	idleTime = time.Minute
)

// rotationIdleRows measure what the sidecar takes of the processor while no log
// is due and lines are written.
func rotationIdleRows(ctx context.Context, w *workshop) error {
	if err := os.WriteFile(filepath.Join(w.dir, "as-it-is.yml"), []byte(nothing), 0o644); err != nil {
		return err
	}
	err := w.idleRotation(ctx)
	return errors.Join(err, w.rotationCompose(ctx, "as-it-is.yml", "down", "-v", "--timeout", "0"))
}

func (w *workshop) idleRotation(ctx context.Context) error {
	if err := w.rotationCompose(ctx, "as-it-is.yml", "up", "-d", "--no-deps", rotationService); err != nil {
		return err
	}
	s, err := w.find(ctx, rotationService)
	if err != nil {
		return err
	}
	d := &rotationDuel{w: w, ours: rotator{server: s}}
	if err := d.locate(ctx, &d.ours); err != nil {
		return err
	}
	for i := range idleLogs {
		log := filepath.Join(d.ours.logs, fmt.Sprintf("agent-%02d.log", i))
		if err := errors.Join(os.WriteFile(log, []byte("a line\n"), 0o644), os.Chown(log, d.uid, d.gid)); err != nil {
			return err
		}
	}
	p, err := d.write(ctx, &d.ours, script{Log: "server.log", Way: reopens, Rate: idleRate})
	if err != nil {
		return err
	}
	if err := d.ours.settled(ctx); err != nil {
		return err
	}
	if err := w.knowsHealth(ctx, s); err != nil {
		return err
	}
	share := func(used func() (time.Duration, error)) (func() (float64, error), error) {
		before, err := used()
		begin := time.Now()
		return func() (float64, error) {
			after, err := used()
			return 100 * (after - before).Seconds() / time.Since(begin).Seconds(), err
		}, err
	}
	own, err := share(s.ownTime)
	if err != nil {
		return err
	}
	all, err := share(s.processorTime)
	if err != nil {
		return err
	}
	select {
	case <-time.After(idleTime):
	case <-ctx.Done():
		return ctx.Err()
	}
	ownShare, err := own()
	if err != nil {
		return err
	}
	allShare, err := all()
	if err != nil {
		return err
	}
	if _, err := p.stop(); err != nil {
		return err
	}
	memory, err := kibibytes(fmt.Sprintf("/proc/%d/status", s.pid), "VmRSS:")
	if err != nil {
		return err
	}
	measuredHeader()
	fmt.Printf("| CPU of the idle sidecar over %.0f s, with %d logs and one that is written %d times a second | %.3f %% of one core | ≤ 0.1 %% |\n", idleTime.Seconds(), idleLogs, idleRate, ownShare)
	fmt.Printf("| the same with its health checks, one every 10 s | %.3f %% | |\n", allShare)
	fmt.Printf("| resident memory of the idle sidecar | %.1f MiB | ≤ 15 MiB |\n", mebi(memory))
	return nil
}

// knowsHealth waits until the engine has found a container healthy by itself.
func (w *workshop) knowsHealth(ctx context.Context, s server) error {
	_, err := until(ctx, func() error {
		found, err := w.engine.API().ContainerInspect(ctx, s.id, client.ContainerInspectOptions{})
		if err == nil && (found.Container.State.Health == nil || found.Container.State.Health.Status != "healthy") {
			err = errors.New("the engine does not say that it is healthy")
		}
		return err
	})
	return err
}
