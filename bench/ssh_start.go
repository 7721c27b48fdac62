package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// aptPairs is how often `up` is compared: the other side takes long.
const aptPairs = 5

// aptEntrypoint replaces the sidecar's program with what installs OpenSSH's
// server first, as orchestrator images without one are made to serve ssh.
const aptEntrypoint = `services:
  ssh:
    entrypoint:
      - sh
      - -euc
      - |
        ` + sshdInstall + `
        mkdir -p /run/sshd /etc/bench
        printf '%s\n' "$$INMANTA_AUTHORIZED_KEYS" > /etc/bench/keys
        exec /usr/sbin/sshd -D -e -o AuthorizedKeysFile=/etc/bench/keys
    environment: [http_proxy, https_proxy, no_proxy, HTTP_PROXY, HTTPS_PROXY, NO_PROXY]
    cap_drop: !reset []
    cap_add: !reset []
    security_opt: !reset []
`

// sshStartRows are about how soon a server lets somebody in.
func sshStartRows(ctx context.Context, w *workshop, chosen choice) error {
	up := "from `up` to the first command"
	if chosen.has("ssh: " + up) {
		if err := upRow(ctx, w, up); err != nil {
			return fmt.Errorf("ssh: %s: %w", up, err)
		}
	}
	var rows []startRow
	for _, r := range startRows {
		if chosen.has("ssh: " + r.what) {
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	d, err := newClient(ctx, w)
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.compose(ctx, "up", "-d", "--no-deps", sshdService); err != nil {
		return err
	}
	place, err := w.find(ctx, sshdService)
	if err != nil {
		return err
	}
	// Once it serves, all is there; those that are measured are others like it.
	if _, err := d.untilIn(ctx, place); err != nil {
		return err
	}
	header("`sshd`")
	for _, r := range rows {
		ours, theirs, err := interleave(ctx, r.pairs, nil, d.start(place, 22, r.ours), d.start(place, 2022, r.theirs))
		if err != nil {
			return fmt.Errorf("ssh: %s: %w", r.what, err)
		}
		row(r.what, r.target, seconds(ours), seconds(theirs), "s", 3)
	}
	return nil
}

// startRow is one way to start both servers, as lines of shell in the container.
type startRow struct {
	what, target string
	pairs        int
	ours, theirs string
}

const startSSHD = "exec /usr/sbin/sshd -D -p 2022 -f /etc/bench/sshd_config"

var startRows = []startRow{
	{
		what: "process start to the first command", target: "≤ 0.150 s", pairs: pairs,
		ours: "exec inmanta-sidecar ssh", theirs: startSSHD,
	},
	{
		what: "process start to the first command, host keys to be made", pairs: pairs,
		ours:   "rm -f /etc/inmanta-sidecar/host-keys/*; exec inmanta-sidecar ssh",
		theirs: "rm -f /etc/ssh/ssh_host_*; ssh-keygen -A; " + startSSHD,
	},
}

// start times a server from its start, as root in a container, until a client
// has run a command.
func (d *duel) start(place server, port int, line string) func(context.Context) (sample, error) {
	return func(ctx context.Context) (sample, error) {
		key, err := os.ReadFile(d.in("id.pub"))
		if err != nil {
			return sample{}, err
		}
		command := exec.CommandContext(ctx, "nsenter", "-t", strconv.Itoa(place.pid), "-m", "-n", "-p", "--", "sh", "-c", line)
		command.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "INMANTA_AUTHORIZED_KEYS=" + string(key)}
		command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		begin := time.Now()
		if err := command.Start(); err != nil {
			return sample{}, err
		}
		err = d.untilListening(ctx, place, port, true)
		if err == nil {
			_, err = d.client(ctx, place, fmt.Sprintf("ssh -F $F -p %d $host true", port))
		}
		took := time.Since(begin)
		// All of them: nsenter is the server's parent.
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		_ = command.Wait()
		return sample{took: took}, errors.Join(err, d.untilListening(ctx, place, port, false))
	}
}

// untilListening waits until somebody listens on a port of the container, or
// nobody does.
func (d *duel) untilListening(ctx context.Context, place server, port int, listening bool) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	return beside(place, func() error {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			conn, err := net.Dial("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if err == nil {
				_ = conn.Close()
			}
			if listening == (err == nil) {
				return nil
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fmt.Errorf("port %d: waited %s in vain", port, startPatience)
			}
		}
	})
}

// upRow compares the sidecar with an entrypoint that installs OpenSSH's server:
// from nothing, with the stock tool, until a client on this machine has run a
// command. Only the sidecar is brought up, as nothing else differs.
func upRow(ctx context.Context, w *workshop, what string) error {
	d, err := newClient(ctx, w)
	if err != nil {
		return err
	}
	defer d.close()
	up := func(files ...string) func(context.Context) (sample, error) {
		args := []string{"-f", "docker-compose.yml", "-f", "docker-compose.ssh.yml"}
		for _, file := range files {
			args = append(args, "-f", file)
		}
		run := w.command("docker-compose", append(args, "up", "-d", "--no-deps", sshService)...)
		return func(ctx context.Context) (sample, error) {
			begin := time.Now()
			if _, err := run(ctx); err != nil {
				return sample{}, err
			}
			_, err := until(ctx, func() error {
				out, err := exec.CommandContext(ctx, "ssh", "-F", d.in("config"), "-p", strconv.Itoa(d.port), sshService, "true").CombinedOutput()
				if err != nil {
					return fmt.Errorf("%w: %s", err, out)
				}
				return nil
			})
			return sample{took: time.Since(begin)}, err
		}
	}
	header("an entrypoint with `apt-get install openssh-server`")
	reset := func(ctx context.Context) error { return d.compose(ctx, "down", "-v", "--timeout", "0") }
	ours, theirs, err := interleave(ctx, aptPairs, reset, up(), up("apt-entrypoint.yml"))
	if err != nil {
		return err
	}
	row(fmt.Sprintf("%s (%d pairs)", what, aptPairs), "≤ 0.25", seconds(ours), seconds(theirs), "s", 3)
	return nil
}
