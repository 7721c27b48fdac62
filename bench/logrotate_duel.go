package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"
)

// rotationDuel is the sidecar, once with gzip and once with zstd, and Debian's
// logrotate, each in a container with logs of its own.
type rotationDuel struct {
	w *workshop
	// version and gzipVersion are Debian's.
	version, gzipVersion string
	ours, zstd, theirs   rotator
	uid, gid             int // of the user inmanta, whose logs they are
	// text is what a large log is copied from.
	text string
}

// rotator is what rotates the logs of one folder when it is told to.
type rotator struct {
	server
	logs    string // its folder of logs, on this machine
	suffix  string // of its archives
	command []string
	ready   []string // succeeds once it can be told to rotate
}

// The services' names in the compose files.
const (
	rotationService = "logrotate"
	zstdService     = "zstd"
	stockService    = "stock"
)

// rotationInstall is how cron and logrotate get into a container of the
// orchestrator's image, and how upstream configures it (inmanta-core,
// misc/logrotation_config): as in the entrypoint that the sidecar replaces.
const rotationInstall = `export DEBIAN_FRONTEND=noninteractive
        apt-get -q update
        apt-get -q install -y --no-install-recommends cron logrotate
        printf '%s\n' '/var/log/inmanta/*.log /var/log/inmanta/*.out /var/log/inmanta/*.err {' \
          daily compress 'rotate 10' missingok 'create 0644 inmanta inmanta' '}' > /etc/logrotate.d/inmanta`

// How Debian's is told to rotate now, in upstream's configuration and in one
// for logs that their writer keeps open.
const (
	upstreamFile     = "/etc/logrotate.d/inmanta"
	copytruncateFile = "/etc/logrotate-copytruncate"
)

// rotationCompose puts logrotate beside the sidecar, and the sidecar a second
// time. Health checks would count as their work.
const rotationCompose = `services:
  logrotate:
    healthcheck: {disable: true}
  zstd:
    extends: {file: docker-compose.logrotate.yml, service: logrotate}
    container_name: "${INMANTA_NAME:-inmanta}-zstd"
    healthcheck: {disable: true}
    environment: {INMANTA_LOGROTATE_COMPRESSION: zstd}
    volumes:
      - bench-zstd-logs:/var/log/inmanta
      - bench-zstd-data:/var/lib/inmanta-sidecar/logrotate
  stock:
    image: "${INMANTA_ORCHESTRATOR_IMAGE:-ghcr.io/inmanta/orchestrator:latest}"
    user: "0:0"
    healthcheck: {disable: true}
    entrypoint:
      - sh
      - -euc
      - |
        [ -e COPYTRUNCATE ] && exec sleep infinity
        INSTALL
        sed 's/create.*/copytruncate/' /etc/logrotate.d/inmanta > COPYTRUNCATE
        exec sleep infinity
    command: []
    environment: [http_proxy, https_proxy, no_proxy, HTTP_PROXY, HTTPS_PROXY, NO_PROXY]
    volumes:
      - bench-stock-logs:/var/log/inmanta
volumes:
  bench-zstd-logs: {}
  bench-zstd-data: {}
  bench-stock-logs: {}
`

// rotationFile is rotationCompose beside the compose files.
const rotationFile = "rotation.yml"

func newRotationDuel(ctx context.Context, w *workshop) (*rotationDuel, error) {
	if err := w.removeAll(ctx); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(w.dir, rotationFile), []byte(strings.NewReplacer("INSTALL", rotationInstall, "COPYTRUNCATE", copytruncateFile).Replace(rotationCompose)), 0o644); err != nil {
		return nil, err
	}
	d := &rotationDuel{w: w, text: filepath.Join(w.dir, "text")}
	if err := d.up(ctx); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *rotationDuel) up(ctx context.Context) error {
	if err := d.w.rotationCompose(ctx, rotationFile, "up", "-d", "--no-deps", rotationService, zstdService, stockService); err != nil {
		return err
	}
	now := []string{"inmanta-sidecar", "logrotate", "now"}
	for _, one := range []struct {
		service, suffix string
		command, ready  []string
		rotator         *rotator
	}{
		{rotationService, ".gz", now, []string{"inmanta-sidecar", "logrotate", "health"}, &d.ours},
		{zstdService, ".zst", now, []string{"inmanta-sidecar", "logrotate", "health"}, &d.zstd},
		{stockService, ".gz", []string{"logrotate", "-f", upstreamFile}, []string{"test", "-e", copytruncateFile}, &d.theirs},
	} {
		s, err := d.w.find(ctx, one.service)
		if err != nil {
			return err
		}
		if _, err := until(ctx, func() error { return d.w.inside(ctx, s, one.ready...) }); err != nil {
			return fmt.Errorf("starting %s: %w", one.service, err)
		}
		*one.rotator = rotator{server: s, suffix: one.suffix, command: one.command, ready: one.ready}
		if err := d.locate(ctx, one.rotator); err != nil {
			return err
		}
	}
	for _, one := range []struct {
		to      *string
		command []string
	}{{&d.version, []string{"logrotate", "--version"}}, {&d.gzipVersion, []string{"gzip", "--version"}}} {
		said, err := d.w.engine.Exec(ctx, d.theirs.id, one.command, "")
		if err != nil {
			return err
		}
		first, _, _ := strings.Cut(strings.TrimSpace(said.Stdout+"\n"+said.Stderr), "\n")
		*one.to = strings.TrimSpace(first)
	}
	return nil
}

// rotationCompose runs the stock tool on the compose files that rotation takes,
// and one more.
func (w *workshop) rotationCompose(ctx context.Context, file string, args ...string) error {
	_, err := w.command("docker-compose", append([]string{"-f", "docker-compose.yml", "-f", "docker-compose.logrotate.yml", "-f", file}, args...)...)(ctx)
	return err
}

// close leaves nothing behind.
func (d *rotationDuel) close() {
	if err := d.w.rotationCompose(context.Background(), rotationFile, "down", "-v", "--timeout", "0"); err != nil {
		fmt.Fprintln(os.Stderr, "bench: cleaning up:", err)
	}
}

// inside runs a command in a container, which has to succeed.
func (w *workshop) inside(ctx context.Context, s server, command ...string) error {
	said, err := w.engine.Exec(ctx, s.id, command, "")
	if err == nil && said.ExitCode != 0 {
		err = fmt.Errorf("%s in %s: exit code %d\n%s\n%s", strings.Join(command, " "), s.name, said.ExitCode, said.Stdout, said.Stderr)
	}
	return err
}

// locate finds the folder of a rotator's logs on this machine, and whose it is.
func (d *rotationDuel) locate(ctx context.Context, r *rotator) error {
	found, err := d.w.engine.API().ContainerInspect(ctx, r.id, client.ContainerInspectOptions{})
	if err != nil {
		return err
	}
	for _, m := range found.Container.Mounts {
		if m.Destination == "/var/log/inmanta" {
			r.logs = m.Source
		}
	}
	folder, err := os.Stat(r.logs)
	if err != nil {
		return fmt.Errorf("looking for the logs of %s, which the engine has to keep on this machine: %w", r.name, err)
	}
	owner := folder.Sys().(*syscall.Stat_t)
	d.uid, d.gid = int(owner.Uid), int(owner.Gid)
	return nil
}

// empty removes all logs and archives.
func (r *rotator) empty() error {
	entries, err := os.ReadDir(r.logs)
	for _, entry := range entries {
		err = errors.Join(err, os.Remove(filepath.Join(r.logs, entry.Name())))
	}
	return err
}

// settled waits until what was put into the folder is on the disk, and until
// the rotator has nothing more to do about it.
func (r *rotator) settled(ctx context.Context) error {
	folder, err := os.Open(r.logs)
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := unix.Syncfs(int(folder.Fd())); err != nil {
		return err
	}
	last := time.Duration(-1)
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := r.processorTime()
		if err != nil || now-last < time.Millisecond {
			return err
		}
		last = now
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// rotate times one rotation of all logs that there are.
func (d *rotationDuel) rotate(ctx context.Context, r *rotator) (sample, error) {
	before, err := r.processorTime()
	if err != nil {
		return sample{}, err
	}
	begin := time.Now()
	if err := d.w.inside(ctx, r.server, r.command...); err != nil {
		return sample{}, err
	}
	took := time.Since(begin)
	after, err := r.processorTime()
	return sample{took: took, server: after - before}, err
}

// copytruncate is Debian's logrotate as it is configured for logs that their
// writer keeps open.
func (d *rotationDuel) copytruncate() *rotator {
	r := d.theirs
	r.command = []string{"logrotate", "-f", copytruncateFile}
	return &r
}

// archives are how many archives there are and how large they are together.
func (r *rotator) archives() (count int, bytes int64, err error) {
	entries, err := os.ReadDir(r.logs)
	if err != nil {
		return 0, 0, err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return 0, 0, err
		}
		if strings.HasSuffix(entry.Name(), r.suffix) {
			count++
			bytes += info.Size()
		} else if info.Size() > 0 {
			return 0, 0, fmt.Errorf("%s has left %s as it was", r.name, entry.Name())
		}
	}
	return count, bytes, nil
}

// peak is the most that the first process of a container ever had in memory, in
// bytes.
func (s server) peak() (float64, error) {
	return kibibytes(filepath.Join("/proc", strconv.Itoa(s.pid), "status"), "VmHWM:")
}

// ownTime is what the first process of a container has used of the processor,
// in all of its threads that are there.
func (s server) ownTime() (time.Duration, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.pid))
	if err == nil && len(threads) == 0 {
		err = fmt.Errorf("%s has ended", s.name)
	}
	var all time.Duration
	for _, thread := range threads {
		text, unread := os.ReadFile(thread)
		var ran int64
		_, unparsed := fmt.Sscan(string(text), &ran)
		err, all = errors.Join(err, unread, unparsed), all+time.Duration(ran)
	}
	return all, err
}
