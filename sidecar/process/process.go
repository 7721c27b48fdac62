// Package process starts processes for others and buries the orphans that they
// leave: inside a container the first process inherits them all.
package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Nursery is the children of this process: those it started and waits for, and
// those it inherited. The zero value is ready to use.
type Nursery struct {
	mu  sync.Mutex
	own map[int]struct{}
}

// Start starts the command. Whoever starts one waits for it, with Wait.
func (n *Nursery) Start(command *exec.Cmd) error {
	// Held over the start, so that no child is looked at before it is known.
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := command.Start(); err != nil {
		return err
	}
	if n.own == nil {
		n.own = map[int]struct{}{}
	}
	n.own[command.Process.Pid] = struct{}{}
	return nil
}

// Wait waits for a command that Start started, as its own Wait does.
func (n *Nursery) Wait(command *exec.Cmd) error {
	err := command.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.own, command.Process.Pid)
	return err
}

// Bury waits for every child that nobody started here, as it ends, until the
// context does. It returns an error when the kernel does not list children.
func (n *Nursery) Bury(ctx context.Context) error {
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	defer signal.Stop(died)
	for {
		if err := n.buryOrphans(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-died:
		}
	}
}

func (n *Nursery) buryOrphans() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	children, err := children()
	if err != nil {
		return err
	}
	for _, pid := range children {
		if _, own := n.own[pid]; own {
			continue
		}
		// One that still lives is left alone.
		_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
	}
	return nil
}

// children are the children of each of this process's threads, living and dead
// (proc(5), /proc/PID/task/TID/children).
func children() ([]int, error) {
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(lists) == 0 {
		return nil, fmt.Errorf("the kernel does not list the children of a process (CONFIG_PROC_CHILDREN): orphans stay as zombies")
	}
	var all []int
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // a thread that has ended
		}
		for field := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				all = append(all, pid)
			}
		}
	}
	return all, nil
}

// InSession are the processes of a session (setsid(2)): those that its leader
// started, however deep, and that have not begun one of their own.
func InSession(leader int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var members []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue // not a process
		}
		// Asked for by itself: in /proc/PID/stat it comes with much that takes
		// the kernel a hundred times as long to find out.
		if session, err := unix.Getsid(pid); err == nil && session == leader {
			members = append(members, pid)
		}
	}
	return members
}
