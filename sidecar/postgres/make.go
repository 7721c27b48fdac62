package postgres

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// entrypoint is the image's own, official or not.
const entrypoint = "docker-entrypoint.sh"

// initialise makes a new cluster with the image's entrypoint, so that its
// variables and scripts mean what they mean there.
func (a *agent) initialise(ctx context.Context) error {
	a.publish(func(s *Status) { s.State, s.Why, s.Fix = StateInitialising, "", "" })
	a.say("making a new cluster")
	if err := a.clear(); err != nil {
		return err
	}
	if a.config.initWAL() {
		return errors.New("POSTGRES_INITDB_WALDIR: a pair keeps its log in the volume of the data; unset it")
	}
	// Not every entrypoint makes it when it is not root.
	if err := os.Mkdir(a.volume.staging(), 0o700); err != nil {
		return err
	}
	// It becomes the server once the cluster is made, which is how one knows; until
	// then, and then, nobody reaches it but through the socket in here.
	command := exec.Command(entrypoint, "postgres", "-c", "listen_addresses=")
	command.Env = append(a.config.initEnvironment(), "PGDATA="+a.volume.staging(), "HOME=/var/lib/postgresql")
	limited, ended := context.WithCancel(ctx)
	err := a.runAll(ctx, command, a.log, func() {
		go func() {
			if upInside(limited, command.Process.Pid, a.volume.staging()) {
				_ = command.Process.Signal(unix.SIGINT)
			}
		}()
	})
	ended()
	if err != nil {
		return fmt.Errorf("making a new cluster: %w", err)
	}
	made, err := control(ctx, &a.nursery, a.config, a.volume.staging())
	if err != nil {
		return err
	}
	if !made.clean() {
		return fmt.Errorf("making a new cluster: its server did not stop in its own time, but is %q", made.State)
	}
	if !made.Checksums {
		a.say("the new cluster has no data checksums: POSTGRES_INITDB_ARGS turns them off")
	}
	return a.settle(func(r *Record) { r.Role, r.System = Primary, made.System })
}

// upInside returns once this process itself is the server of a cluster, which
// takes connections; false if that does not come.
func upInside(ctx context.Context, process int, data string) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		if pid, word := postmaster(data); word == "ready" && pid == process {
			return true
		}
	}
}

// initWAL says whether the log is to be elsewhere.
func (c Config) initWAL() bool {
	for _, variable := range c.Init {
		if value, ok := strings.CutPrefix(variable, "POSTGRES_INITDB_WALDIR="); ok && value != "" {
			return true
		}
	}
	return false
}

// initEnvironment is what the image's entrypoint gets: damaged pages are to be
// found out, unless the operator says otherwise.
func (c Config) initEnvironment() []string {
	arguments := "--data-checksums"
	var kept []string
	for _, variable := range c.Init {
		if own, ok := strings.CutPrefix(variable, "POSTGRES_INITDB_ARGS="); ok {
			if !strings.Contains(own, "checksums") {
				own = strings.TrimSpace(own + " " + arguments)
			}
			arguments = own
			continue
		}
		if !strings.HasPrefix(variable, "PGDATA=") {
			kept = append(kept, variable)
		}
	}
	return append(kept, "POSTGRES_INITDB_ARGS="+arguments)
}

// copyPeer replaces what is here, if anything, by a copy of the primary.
func (a *agent) copyPeer(ctx context.Context, why, system string) error {
	a.publish(func(s *Status) {
		s.State, s.Why, s.Fix, s.Running, s.InStep = StateCopying, why, "", false, false
		s.Role = Standby
	})
	a.say("copying %s: %s", a.config.Peer, why)
	if err := a.clear(); err != nil {
		return err
	}
	command := exec.Command("pg_basebackup", "--pgdata="+a.volume.staging(), "--wal-method=stream", "--slot="+slotName(a.config.Node),
		"--checkpoint=fast", "--no-password", "--progress", "--dbname="+connection(a.config, a.config.Node+"-copy"))
	command.Env = append(a.config.serverEnvironment(), "LC_ALL=C")
	read, write := io.Pipe()
	last := make(chan string, 1)
	go func() { last <- a.watchCopy(read, why) }()
	err := a.runAll(ctx, command, write, func() {})
	_ = write.Close()
	if said := <-last; err != nil {
		return fmt.Errorf("copying %s: %w%s", a.config.Peer, err, after(said))
	}
	made, err := control(ctx, &a.nursery, a.config, a.volume.staging())
	if err != nil {
		return err
	}
	if made.System != system {
		return fmt.Errorf("copying %s: what came is another cluster (system %s instead of %s)", a.config.Peer, made.System, system)
	}
	if err := os.WriteFile(filepath.Join(a.volume.staging(), "standby.signal"), nil, 0o600); err != nil {
		return err
	}
	return a.settle(func(r *Record) { *r = Record{Node: a.config.Node, Role: Standby, System: made.System} })
}

func after(last string) string {
	if last == "" {
		return ""
	}
	return ": " + last
}

// watchCopy passes on how far a copy is, and returns its last line that says more.
func (a *agent) watchCopy(from io.Reader, why string) (last string) {
	lines := bufio.NewScanner(from)
	lines.Split(scanProgress)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if _, rest, ok := strings.Cut(line, "kB ("); ok {
			percent, _, _ := strings.Cut(rest, ")")
			a.publish(func(s *Status) { s.Why = why + "; " + percent + " are here" })
			continue
		}
		if line != "" {
			last = strings.TrimPrefix(line, "pg_basebackup: error: ")
			a.say("%s", line)
		}
	}
	_, _ = io.Copy(io.Discard, from)
	return last
}

// scanProgress splits at line ends of both kinds: progress is written over itself.
func scanProgress(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := strings.IndexAny(string(data), "\r\n"); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// clear makes room for a cluster in staging.
func (a *agent) clear() error {
	if err := a.note(func(r *Record) { r.Phase, r.InStep = making, false }); err != nil {
		return err
	}
	return os.RemoveAll(a.volume.staging())
}

// settle puts what is in staging into its place, for good. What the node is from
// then on is noted with the first step that cannot be taken back: cut short any
// later, a primary's new copy would be taken for one that is to be promoted.
func (a *agent) settle(change func(*Record)) error {
	// The clusters' own tools sync what they make; what was added here, and what
	// they leave to the kernel, is synced at once.
	if err := a.volume.sync(); err != nil {
		return err
	}
	err := a.volume.install(settled, func(p phase) error {
		return a.note(func(r *Record) {
			if p == settingAside {
				change(r)
			}
			r.Phase = p
		})
	})
	if err != nil {
		return err
	}
	a.say("it is complete, and in its place")
	return nil
}

// runAll runs a command with all its children, which end with it; started is
// called once it runs.
func (a *agent) runAll(ctx context.Context, command *exec.Cmd, output io.Writer, started func()) error {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Stdout, command.Stderr = output, output
	// A child that has the pipe is not waited for once it is to end.
	command.WaitDelay = time.Second
	if err := a.nursery.Start(command); err != nil {
		return err
	}
	started()
	group := -command.Process.Pid
	done := make(chan error, 1)
	go func() { done <- a.nursery.Wait(command) }()
	select {
	case err := <-done:
		_ = unix.Kill(group, unix.SIGKILL) // whoever it left
		return err
	case <-ctx.Done():
		_ = unix.Kill(group, unix.SIGKILL)
		<-done
		return ctx.Err()
	}
}
