package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/deployment"
)

// duel is the ssh sidecar and OpenSSH's server, each in a container, and a
// client that is beside them: it runs on this machine, in the network of the
// server it talks to, so that what is between them is a loopback interface.
type duel struct {
	w   *workshop
	dir string // in memory
	// version and clientVersion are those of OpenSSH.
	version, clientVersion string
	ours, theirs           server
	// port is where the sidecar is reached from this machine.
	port int
}

// server is one of the two.
type server struct {
	name    string // of its service, and its host name to the client
	id      string // of its container
	pid     int    // of its first process, on this machine
	account string // the folder where the kernel keeps the container's accounts
}

// sshService and sshdService are their names in the compose files.
const (
	sshService  = "ssh"
	sshdService = "sshd"
)

// sshdInstall is how OpenSSH's server gets into a container of the orchestrator's
// image: as anybody would put it there.
const sshdInstall = `export DEBIAN_FRONTEND=noninteractive; apt-get -q update; apt-get -q install -y --no-install-recommends openssh-server`

// duelCompose puts OpenSSH's server beside the sidecar, and the files for both
// where they find them. Health checks would count as work of the servers.
const duelCompose = `services:
  ssh:
    healthcheck: {disable: true}
    volumes:
      - {type: bind, source: DIR/there, target: /bench}
  sshd:
    image: "${INMANTA_ORCHESTRATOR_IMAGE:-ghcr.io/inmanta/orchestrator:latest}"
    user: "0:0"
    healthcheck: {disable: true}
    entrypoint: [sh, -euc, "INSTALL rsync; mkdir -p /run/sshd; exec /usr/sbin/sshd -D -e -f /etc/bench/sshd_config"]
    command: []
    environment: [http_proxy, https_proxy, no_proxy, HTTP_PROXY, HTTPS_PROXY, NO_PROXY]
    volumes:
      - {type: bind, source: DIR/there, target: /bench}
      - {type: bind, source: DIR/etc, target: /etc/bench, read_only: true}
      - {type: bind, source: DIR/host-keys, target: /etc/inmanta-sidecar/host-keys}
      - {type: bind, source: ./inmanta-sidecar, target: /usr/local/bin/inmanta-sidecar, read_only: true}
`

// sshdConfig is Debian's, but for where it listens and whom it knows; more than
// ten clients may be logging in at once.
const sshdConfig = `Include /etc/ssh/sshd_config
Port 2200
AuthorizedKeysFile /etc/bench/id.pub
StrictModes no
MaxStartups 200
`

const clientConfig = `Host sshd
  Port 2200
Host *
  HostName 127.0.0.1
  User inmanta
  IdentityFile DIR/id
  IdentitiesOnly yes
  IdentityAgent none
  BatchMode yes
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
  Ciphers aes128-gcm@openssh.com
  KexAlgorithms curve25519-sha256
  HostKeyAlgorithms ssh-ed25519
`

// newDuel starts both servers and waits until they let the client in.
func newDuel(ctx context.Context, w *workshop) (*duel, error) {
	d, err := newClient(ctx, w)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*duel, error) {
		d.close()
		return nil, err
	}
	if err := d.files(); err != nil {
		return fail(err)
	}
	if err := d.compose(ctx, "up", "-d", "--no-deps", sshService, sshdService); err != nil {
		return fail(err)
	}
	for _, one := range []struct {
		service string
		server  *server
	}{{sshService, &d.ours}, {sshdService, &d.theirs}} {
		if *one.server, err = d.w.find(ctx, one.service); err == nil {
			_, err = d.untilIn(ctx, *one.server)
		}
		if err != nil {
			return fail(fmt.Errorf("starting %s: %w", one.service, err))
		}
	}
	version, err := exec.CommandContext(ctx, "nsenter", "-t", strconv.Itoa(d.theirs.pid), "-m", "/usr/sbin/sshd", "-V").CombinedOutput()
	if err != nil {
		return fail(fmt.Errorf("asking sshd for its version: %w", err))
	}
	d.version, _, _ = strings.Cut(strings.TrimSpace(string(version)), ",")
	return d, nil
}

// newClient is a client with a key and its configuration; no server runs.
func newClient(ctx context.Context, w *workshop) (*duel, error) {
	if err := installClients(ctx); err != nil {
		return nil, err
	}
	if err := w.removeAll(ctx); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("/dev/shm", name+"-")
	if err != nil {
		return nil, err
	}
	d := &duel{w: w, dir: dir}
	if err := d.furnish(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return d, nil
}

// furnish writes what the client and the servers read.
func (d *duel) furnish(ctx context.Context) error {
	for _, folder := range []string{"", "here", "there", "etc", "host-keys"} {
		// A server looks at its files as somebody else.
		if err := errors.Join(os.MkdirAll(filepath.Join(d.dir, folder), 0o755), os.Chmod(filepath.Join(d.dir, folder), 0o755)); err != nil {
			return err
		}
	}
	if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", d.in("id")).CombinedOutput(); err != nil {
		return fmt.Errorf("ssh-keygen: %w\n%s", err, out)
	}
	key, err := os.ReadFile(d.in("id.pub"))
	if err != nil {
		return err
	}
	for path, text := range map[string]string{
		d.in("etc/id.pub"):                           string(key),
		d.in("etc/sshd_config"):                      sshdConfig,
		d.in("config"):                               strings.ReplaceAll(clientConfig, "DIR", d.dir),
		filepath.Join(d.w.dir, "duel.yml"):           strings.NewReplacer("DIR", d.dir, "INSTALL", sshdInstall).Replace(duelCompose),
		filepath.Join(d.w.dir, "apt-entrypoint.yml"): aptEntrypoint,
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	if d.port, err = freePort(); err != nil {
		return err
	}
	env, err := deployment.ReadEnvFile(filepath.Join(d.w.dir, ".env"))
	if err != nil {
		return err
	}
	version, err := exec.CommandContext(ctx, "ssh", "-V").CombinedOutput()
	if err != nil {
		return fmt.Errorf("ssh -V: %w", err)
	}
	d.clientVersion, _, _ = strings.Cut(string(version), ",")
	return env.Set("INMANTA_AUTHORIZED_KEYS", strings.TrimSpace(string(key))).Set("INMANTA_SSH_SIDECAR_PORT", strconv.Itoa(d.port)).Write(true)
}

// installClients installs what the client needs and is not there.
func installClients(ctx context.Context) error {
	if os.Getuid() != 0 {
		return errors.New("the rows about ssh enter the networks of containers, which takes root")
	}
	var missing []string
	for command, pkg := range map[string]string{"ssh": "openssh-client", "sftp": "openssh-client", "scp": "openssh-client", "rsync": "rsync", "nsenter": "util-linux"} {
		if _, err := exec.LookPath(command); err != nil {
			missing = append(missing, pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	fmt.Fprintln(os.Stderr, "bench: installing", strings.Join(missing, " "))
	out, err := exec.CommandContext(ctx, "sh", "-c", "export DEBIAN_FRONTEND=noninteractive; apt-get -q update && apt-get -q install -y --no-install-recommends "+strings.Join(missing, " ")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("installing %s: %w\n%s", strings.Join(missing, " "), err, out)
	}
	return nil
}

func (d *duel) in(path string) string { return filepath.Join(d.dir, path) }

// here and there are files of the client and of the servers.
func (d *duel) here(path ...string) string {
	return filepath.Join(append([]string{d.dir, "here"}, path...)...)
}
func (d *duel) there(path ...string) string {
	return filepath.Join(append([]string{d.dir, "there"}, path...)...)
}

// compose runs the stock tool on all compose files that the duel takes.
func (d *duel) compose(ctx context.Context, args ...string) error {
	_, err := d.w.command("docker-compose", append([]string{"-f", "docker-compose.yml", "-f", "docker-compose.ssh.yml", "-f", "duel.yml"}, args...)...)(ctx)
	return err
}

// close leaves nothing behind.
func (d *duel) close() {
	err := errors.Join(d.compose(context.Background(), "down", "-v", "--timeout", "0"), os.RemoveAll(d.dir))
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: cleaning up:", err)
	}
}

// find looks at the container of a service.
func (w *workshop) find(ctx context.Context, service string) (server, error) {
	containers, err := w.engine.Containers(ctx, name)
	if err != nil {
		return server{}, err
	}
	for _, c := range containers {
		if c.Service != service {
			continue
		}
		found, err := w.engine.API().ContainerInspect(ctx, c.ID, client.ContainerInspectOptions{})
		if err != nil {
			return server{}, err
		}
		pid := found.Container.State.Pid
		if pid == 0 {
			return server{}, fmt.Errorf("its container has ended with code %d", found.Container.State.ExitCode)
		}
		account, err := accountOf(pid)
		return server{name: service, id: c.ID, pid: pid, account: account}, err
	}
	return server{}, fmt.Errorf("there is no container of %s", service)
}

// accountOf is the folder where the kernel counts what the processor does for a
// process and all beside it in its container: cgroups(7), of either version.
func accountOf(pid int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		for _, controller := range strings.Split(fields[1], ",") {
			if controller == "cpuacct" {
				return filepath.Join("/sys/fs/cgroup/cpuacct", fields[2]), nil
			}
		}
		if fields[0] == "0" && fields[2] != "/" {
			return filepath.Join("/sys/fs/cgroup", fields[2]), nil
		}
	}
	return "", fmt.Errorf("process %d is in no control group that counts processor time", pid)
}

// processorTime is what the container's processes have used so far, those that
// have ended included.
func (s server) processorTime() (time.Duration, error) {
	if text, err := os.ReadFile(filepath.Join(s.account, "cpuacct.usage")); err == nil {
		nanoseconds, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		return time.Duration(nanoseconds), err
	}
	text, err := os.ReadFile(filepath.Join(s.account, "cpu.stat"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "usage_usec "); ok {
			microseconds, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return time.Duration(microseconds) * time.Microsecond, err
		}
	}
	return 0, fmt.Errorf("%s does not say what was used", s.account)
}

// command is a line of shell in the network of a server, ready to be started.
func (d *duel) command(ctx context.Context, s server, line string) *exec.Cmd {
	command := exec.CommandContext(ctx, "sh", "-c", line)
	command.Env = append(os.Environ(), "host="+s.name, "F="+d.in("config"), "here="+d.here())
	return command
}

// client times a line of shell in the network of a server.
func (d *duel) client(ctx context.Context, s server, line string) (time.Duration, error) {
	command := d.command(ctx, s, line)
	var said bytes.Buffer
	command.Stderr = &said
	begin := time.Now()
	err := beside(s, command.Start)
	if err == nil {
		err = command.Wait()
	}
	took := time.Since(begin)
	if err != nil {
		return 0, fmt.Errorf("%s with %s: %w\n%s", line, s.name, err, said.String())
	}
	return took, nil
}

// beside does something in the network of a server, such as starting a process.
func beside(s server, do func() error) error {
	network, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", s.pid))
	if err != nil {
		return err
	}
	defer network.Close()
	done := make(chan error)
	go func() {
		// This thread is not used for anything else: it ends with the goroutine.
		runtime.LockOSThread()
		if err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("entering the network of %s: %w", s.name, err)
			return
		}
		done <- do()
	}()
	return <-done
}

// startPatience is how long a server may take until it lets the client in.
const startPatience = 5 * time.Minute

// untilIn runs a command as soon as the server lets the client do so.
func (d *duel) untilIn(ctx context.Context, s server) (time.Duration, error) {
	return until(ctx, func() error {
		_, err := d.client(ctx, s, "ssh -F $F $host true")
		return err
	})
}

// until tries again and again, and says how long it took.
func until(ctx context.Context, try func() error) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	begin := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return time.Since(begin), nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, err
		}
	}
}

// noise is what cannot be compressed, fast, and the same each time.
type noise struct {
	source *rand.ChaCha8
	block  []byte
}

func newNoise() *noise {
	return &noise{source: rand.NewChaCha8([32]byte{}), block: make([]byte, 64<<10)}
}

func (n *noise) next() []byte {
	_, _ = n.source.Read(n.block)
	return n.block
}
