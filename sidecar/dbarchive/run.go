package dbarchive

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/hostfolder"
	"github.com/inmanta/inmanta-docker/sidecar/moments"
	"github.com/inmanta/inmanta-docker/sidecar/passwd"
	"github.com/inmanta/inmanta-docker/sidecar/privilege"
)

// path is where PostgreSQL's programs are, as the image says.
var path = os.Getenv("PATH")

// Run is the sidecar: it archives until it is told to stop, and writes what happens
// to log. It starts as root to own its folder, and is the user postgres before it
// does anything else.
func Run(log io.Writer) error {
	c := FromEnvironment(os.Environ(), log)
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the operator's group: %w", err)
	}
	var taken error
	if err := become(func(account passwd.Account) error {
		// A file system of another machine may not let it: it may be right as it is.
		taken = hostfolder.Take(c.Folder, binary, account.UID, func(gid int) error {
			return give(c.Folder, c.Deployment, account.UID, gid)
		})
		return nil
	}); err != nil {
		return err
	}
	if taken != nil && unix.Access(c.Folder, unix.R_OK|unix.W_OK|unix.X_OK) != nil {
		c.Problems = append(c.Problems, fmt.Sprintf("%s cannot be made the archive's (%v); give it to uid %d, or set INMANTA_DB_ARCHIVE_FOLDER to a folder of another file system", c.Shown, taken, os.Geteuid()))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return Serve(ctx, c)
}

// become makes this process, which is root's, the user postgres, once what takes
// root has been done.
func become(first func(passwd.Account) error) error {
	account, err := passwd.Find("postgres")
	if err != nil {
		return err
	}
	if os.Getuid() != 0 {
		return fmt.Errorf("started as user %d: it takes root to own its folders; the overlay's `user:` has to stay as it is", os.Getuid())
	}
	if err := first(account); err != nil {
		return err
	}
	if err := privilege.Leave(privilege.Identity{UID: account.UID, GID: account.GID, Groups: account.Groups}); err != nil {
		return fmt.Errorf("giving up root, without which nothing is done: %w", err)
	}
	syscall.Umask(0o027)
	return nil
}

// give gives what is the deployment's in a folder away: another image may have
// another user of the same name.
func give(folder, deployment string, uid, gid int) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("listing the folder: %w", err)
	}
	for _, entry := range entries {
		if lock := strings.HasPrefix(entry.Name(), "."+deployment) && strings.HasSuffix(entry.Name(), "-archive.lock"); lock || moments.IsStretch(deployment, entry.Name()) {
			if err := giveTree(filepath.Join(folder, entry.Name()), uid, gid); err != nil {
				return fmt.Errorf("taking over %s: %w", entry.Name(), err)
			}
		}
	}
	return nil
}

// giveTree gives a file, or a folder with all that is in it, away: what is in it
// first, while it is root's.
func giveTree(path string, uid, gid int) error {
	var is unix.Stat_t
	if err := unix.Lstat(path, &is); err != nil {
		return err
	}
	if is.Mode&unix.S_IFMT == unix.S_IFDIR {
		if err := unix.Lchown(path, 0, 0); err != nil {
			return err
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := giveTree(filepath.Join(path, entry.Name()), uid, gid); err != nil {
				return err
			}
		}
	}
	return unix.Lchown(path, uid, gid)
}
