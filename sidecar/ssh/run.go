package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/inmanta/inmanta-docker/sidecar/privilege"
	"github.com/inmanta/inmanta-docker/sidecar/process"
)

// address is where the container is reached. An engine from 20.10 on lets every
// user listen there.
const address = ":22"

// roomForServer is how many of the container's processes are the server's: its
// threads, and programs of sessions that are being started.
const roomForServer = 128

// Run is the sidecar: it serves until it is told to stop, and writes what
// happens to log. It starts as root and is nobody in particular from before the
// first connection on.
func Run(log io.Writer) error {
	if os.Getuid() != 0 {
		return fmt.Errorf("started as user %d: it takes root to read the host keys; the overlay's `user:` has to stay as it is", os.Getuid())
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the sidecar's own binary: %w", err)
	}
	config, err := FromEnvironment(os.Environ(), self)
	if err != nil {
		return err
	}
	keys, err := HostKeys(HostKeyFolder)
	if err != nil {
		return err
	}
	if err := standIn(self, "rsync", "scp"); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	if err := process.KeepRoom(roomForServer); err != nil {
		return err
	}
	account := config.Account
	if err := privilege.Guard(privilege.Identity{UID: account.UID, GID: account.GID, Groups: account.Groups}); err != nil {
		return fmt.Errorf("giving up root, without which nothing is served: %w", err)
	}
	// What a connection does passes from goroutine to goroutine. On one processor
	// that costs nothing; on several, waking the next one up took half of the
	// server's time, and transfers were slower for it.
	runtime.GOMAXPROCS(1)
	children := &process.Nursery{}
	server, err := New(config, keys, NewAudit(log), children)
	if err != nil {
		return err
	}
	stop, hurry, cancel := process.UntilTold(Grace)
	defer cancel()
	// None is a reason to serve nobody: zombies cost little, a health check that
	// is not answered says so, and so does the log that hears of no files.
	go server.mind(func() error { return children.Bury(context.Background()) })
	go server.mind(func() error { return server.AnswerHealth(context.Background(), listener.Addr()) })
	go server.mind(func() error { return server.HearOfFiles(context.Background()) })
	return server.Serve(stop, hurry, listener)
}

// mind writes down what becomes of a part of the sidecar.
func (s *Server) mind(part func() error) {
	if err := part(); err != nil {
		s.audit.write(Event{Event: EventProblem, Problem: err.Error()})
	}
}

// standIn makes this binary answer to the names of programs that the image does
// not have, where every shell finds them.
func standIn(self string, names ...string) error {
	for _, name := range names {
		if _, err := exec.LookPath(name); err == nil {
			continue // the image's own, or made at an earlier start
		}
		if err := os.Symlink(self, filepath.Join("/usr/local/bin", name)); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("offering %s to sessions: %w", name, err)
		}
	}
	return nil
}

// Session is the launcher of a session's program: it takes the program's path,
// and its arguments with argv[0], and becomes it. It returns only when it fails.
func Session(args []string) error {
	if len(args) < 2 {
		return errors.New("session takes a program and its arguments; the ssh server calls it")
	}
	// Go's runtime adds this one to a process whose user ids differ.
	environment := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GOTRACEBACK=") })
	return privilege.Become(args[0], args[1:], environment)
}
