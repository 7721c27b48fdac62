package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// longEnough is how long a test waits for what has to happen.
const longEnough = 20 * time.Second

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(longEnough); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain: " + what)
		}
	}
}

func shell(command string) *exec.Cmd {
	return &exec.Cmd{Path: "/bin/sh", Args: []string{"sh", "-c", command}, SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
}

// pids reads numbers that a program writes to a file, once there are that many.
func pids(t *testing.T, path string, many int) []int {
	t.Helper()
	var all []int
	eventually(t, "the programs run", func() bool {
		all = nil
		text, _ := os.ReadFile(path)
		for line := range strings.Lines(string(text)) {
			if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && strings.HasSuffix(line, "\n") {
				all = append(all, pid)
			}
		}
		return len(all) == many
	})
	return all
}

func TestInSession(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pids")
	// A child, a child's child that lost its parent, and one with its own session.
	leader := shell(fmt.Sprintf(`echo $$ >>%[1]s; sleep 1000 & echo $! >>%[1]s
		(sh -c 'echo $$ >>%[1]s; exec sleep 1000' &)
		setsid sh -c 'echo $$ >>%[1]s.other; exec sleep 1000' & wait`, path))
	if err := leader.Start(); err != nil {
		t.Fatal(err)
	}
	members, other := pids(t, path, 3), pids(t, path+".other", 1)
	t.Cleanup(func() {
		for _, pid := range append(members, other...) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		_ = leader.Wait()
	})
	// The shell may have one more, on its way to its own session.
	eventually(t, "the session is its members", func() bool {
		found := InSession(leader.Process.Pid)
		slices.Sort(found)
		slices.Sort(members)
		return slices.Equal(found, members)
	})
	if found := InSession(other[0]); !slices.Equal(found, other) {
		t.Errorf("the other session has %v, want %v", found, other)
	}
	if found := InSession(1 << 30); len(found) > 0 {
		t.Errorf("a session that there is not has %v", found)
	}
}

// The children are the process's, so the tests of burying are not parallel.

// orphaned makes this process the parent of processes that lost theirs.
func orphaned(t *testing.T) {
	t.Helper()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) })
}

func burying(t *testing.T, n *Nursery) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Bury(ctx) }()
	t.Cleanup(func() {
		stop()
		// It looks once more when a child ends, or not at all.
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestOrphansAreBuried(t *testing.T) {
	orphaned(t)
	n := &Nursery{}
	burying(t, n)
	path := filepath.Join(t.TempDir(), "pids")
	for i := range 20 {
		command := shell(fmt.Sprintf("for i in 1 2 3; do (sh -c 'echo $$ >>%s; exec sleep 0.0%d' &); done; exit 7", path, i))
		if err := n.Start(command); err != nil {
			t.Fatal(err)
		}
		// Its own end is for who started it, and not lost.
		if err := n.Wait(command); err == nil || command.ProcessState.ExitCode() != 7 {
			t.Fatalf("it ended with %v", err)
		}
	}
	orphans := pids(t, path, 60)
	eventually(t, "no orphan is left, not even dead", func() bool {
		for _, pid := range orphans {
			if unix.Kill(pid, 0) != unix.ESRCH {
				return false
			}
		}
		return true
	})
}

func TestNobodysEndIsTaken(t *testing.T) {
	orphaned(t)
	n := &Nursery{}
	burying(t, n)
	var running sync.WaitGroup
	for code := range 100 {
		running.Go(func() {
			command := shell(fmt.Sprintf("(true &); exit %d", code))
			if err := n.Start(command); err != nil {
				t.Error(err)
				return
			}
			_ = n.Wait(command)
			if command.ProcessState == nil || command.ProcessState.ExitCode() != code {
				t.Errorf("it ended with %v, want %d", command.ProcessState, code)
			}
		})
	}
	running.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.own) > 0 {
		t.Errorf("%d are still known", len(n.own))
	}
}

func TestCommandThatDoesNotStart(t *testing.T) {
	t.Parallel()
	n := &Nursery{}
	if err := n.Start(&exec.Cmd{Path: "/no/such/program"}); err == nil {
		t.Error("it starts")
	}
	if len(n.own) > 0 {
		t.Error("it is waited for")
	}
}
