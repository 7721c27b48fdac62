package dbdump

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
	"github.com/inmanta/inmanta-docker/sidecar/passwd"
	"github.com/inmanta/inmanta-docker/sidecar/privilege"
)

// passFile is where PostgreSQL's programs read the password from, in memory.
const passFile = "pgpass"

// Run is the sidecar: it dumps until it is told to stop, and writes what happens
// to log. It starts as root to own its folders and read the password, and is the
// user postgres before it does anything else.
func Run(log io.Writer) error {
	account, err := passwd.Find("postgres")
	if err != nil {
		return err
	}
	if os.Getuid() != 0 {
		return fmt.Errorf("started as user %d: it takes root to own its folders; the overlay's `user:` has to stay as it is", os.Getuid())
	}
	c := FromEnvironment(os.Environ(), log)
	password, err := os.ReadFile(passwordFile)
	if err != nil {
		return fmt.Errorf("reading the database's password: %w", err)
	}
	c.Password = strings.TrimSpace(string(password))
	for _, folder := range []string{stateFolder, runFolder} {
		if err := os.Lchown(folder, account.UID, account.GID); err != nil {
			return fmt.Errorf("taking over %s: %w", folder, err)
		}
	}
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the operator's group: %w", err)
	}
	// A file system of another machine may not let it: it may be right as it is.
	taken := hostfolder.Take(c.Folder, binary, account.UID, func(gid int) error {
		return give(c.Folder, c.Deployment, account.UID, gid)
	})
	if err := privilege.Leave(privilege.Identity{UID: account.UID, GID: account.GID, Groups: account.Groups}); err != nil {
		return fmt.Errorf("giving up root, without which nothing is dumped: %w", err)
	}
	syscall.Umask(0o027)
	if taken != nil && unix.Access(c.Folder, unix.R_OK|unix.W_OK|unix.X_OK) != nil {
		c.Problems = append(c.Problems, fmt.Sprintf("%s cannot be made the dumps' (%v); give it to uid %d, or set INMANTA_DB_DUMP_FOLDER to a folder of another file system", c.Shown, taken, account.UID))
	}
	if err := os.WriteFile(filepath.Join(c.Run, passFile), []byte(passLine(c.Password)), 0o600); err != nil {
		return fmt.Errorf("handing on the database's password: %w", err)
	}
	// Dumps can wait; that it does not work is no reason not to make any.
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 10)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return Serve(ctx, c)
}

// passLine is a password for every server, as libpq reads it.
func passLine(password string) string {
	return "*:*:*:*:" + strings.NewReplacer(`\`, `\\`, ":", `\:`).Replace(password) + "\n"
}
