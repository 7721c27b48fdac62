package logrotate

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/passwd"
	"github.com/inmanta/inmanta-docker/sidecar/privilege"
)

// Run is the sidecar: it rotates until it is told to stop, and writes what
// happens to log. It starts as root to own its state, and is the user inmanta
// before it looks at the first log.
func Run(log io.Writer) error {
	account, err := passwd.Find(passwd.Inmanta)
	if err != nil {
		return err
	}
	if os.Getuid() != 0 {
		return fmt.Errorf("started as user %d: it takes root to own the volume of its state; the overlay's `user:` has to stay as it is", os.Getuid())
	}
	// A new volume is root's: this path is not in the image.
	if err := os.Lchown(stateFolder, account.UID, account.GID); err != nil {
		return fmt.Errorf("taking over %s: %w", stateFolder, err)
	}
	if err := privilege.Guard(privilege.Identity{UID: account.UID, GID: account.GID, Groups: account.Groups}); err != nil {
		return fmt.Errorf("giving up root, without which nothing is rotated: %w", err)
	}
	economize()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return Serve(ctx, FromEnvironment(os.Getenv, log))
}

// economize leaves the machine to the orchestrator.
func economize() {
	// Compressing is one goroutine's work, and all else waits most of the time.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(25)
	// Archives can wait; that it does not work is no reason not to make any.
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 10)
}
