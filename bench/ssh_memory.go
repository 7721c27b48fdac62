package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// idleSessions is over how many sessions their memory is averaged.
const idleSessions = 50

// memoryRows measure what the servers keep in memory: as long as nobody has
// come, and for sessions in which nothing happens.
func (d *duel) memoryRows(ctx context.Context) error {
	ours, err := d.memory(ctx, d.ours)
	if err != nil {
		return err
	}
	theirs, err := d.memory(ctx, d.theirs)
	if err != nil {
		return err
	}
	measuredHeader()
	fmt.Printf("| resident memory of the ssh sidecar before the first login | %.1f MiB (`sshd`: %.1f MiB) | ≤ 15 MiB |\n", mebi(ours.resident), mebi(theirs.resident))
	fmt.Printf("| memory (PSS) of the server itself for each of %d idle sessions | %.0f KiB (`sshd`: %.0f KiB) | ≤ 1 MiB |\n", idleSessions, ours.server/1024, theirs.server/1024)
	fmt.Printf("| memory (PSS) of what each of them runs (`cat`) | %.0f KiB (below `sshd`: %.0f KiB) | |\n", ours.children/1024, theirs.children/1024)
	return nil
}

func mebi(bytes float64) float64 { return bytes / (1 << 20) }

// memory is what a server keeps, in bytes.
type memory struct {
	resident         float64 // of its first process, before anybody has come
	server, children float64 // for each session
}

func (d *duel) memory(ctx context.Context, s server) (memory, error) {
	var m memory
	var err error
	if m.resident, err = kibibytes(filepath.Join("/proc", strconv.Itoa(s.pid), "status"), "VmRSS:"); err != nil {
		return m, err
	}
	server, children, err := s.shares()
	if err != nil {
		return m, err
	}
	// Ends the sessions.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range idleSessions {
		if err := d.idle(ctx, s); err != nil {
			return m, err
		}
	}
	moreServer, moreChildren, err := s.shares()
	m.server, m.children = (moreServer-server)/idleSessions, (moreChildren-children)/idleSessions
	return m, err
}

// idle begins a session that runs cat, and returns once it does.
func (d *duel) idle(ctx context.Context, s server) error {
	command := d.command(ctx, s, "exec ssh -F $F $host 'echo it runs; exec cat'")
	output, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	// Nothing is written to it; cat waits for its end.
	if _, err := command.StdinPipe(); err != nil {
		return err
	}
	if err := beside(s, command.Start); err != nil {
		return err
	}
	if _, err := bufio.NewReader(output).ReadString('\n'); err != nil {
		return fmt.Errorf("a session of %s: %w", s.name, err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, output)
		_ = command.Wait() // it is killed
	}()
	return nil
}

// shares are the proportional set sizes (PSS, proc(5)) of a container's
// processes, in bytes: of the server's own, and of what they run.
func (s server) shares() (server, children float64, err error) {
	pids, err := os.ReadFile(filepath.Join(s.account, "cgroup.procs"))
	if err != nil {
		return 0, 0, err
	}
	for pid := range strings.FieldsSeq(string(pids)) {
		name, err := os.ReadFile(filepath.Join("/proc", pid, "comm"))
		if os.IsNotExist(err) {
			continue // it has ended
		}
		if err != nil {
			return 0, 0, err
		}
		share, err := kibibytes(filepath.Join("/proc", pid, "smaps_rollup"), "Pss:")
		if err != nil {
			return 0, 0, err
		}
		if strings.HasPrefix(string(name), "sshd") || strings.HasPrefix(string(name), "inmanta-sidecar") {
			server += share
		} else {
			children += share
		}
	}
	return server, children, nil
}

// kibibytes is a line of a file in /proc that counts KiB, in bytes.
func kibibytes(path, label string) (float64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == label {
			n, err := strconv.ParseFloat(fields[1], 64)
			return n * 1024, err
		}
	}
	return 0, fmt.Errorf("%s does not say %s", path, label)
}
