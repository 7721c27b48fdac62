package image

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	flock "github.com/inmanta/inmanta-docker/lock"
)

// builderName tells the builds of one user on one machine from all others on
// the same engine. Only one of them builds at a time, so whatever unfinished
// thing carries the name is either its own or left over from one that died.
func builderName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s:%d", host, os.Getuid())
}

// lock waits until no other process of this user builds images. The kernel
// frees it when the process ends, however it ends. waiting is called once if
// there is something to wait for.
func lock(ctx context.Context, waiting func()) (unlock func(), err error) {
	name := filepath.Join(os.TempDir(), fmt.Sprintf("inmanta-docker-images-%d.lock", os.Getuid()))
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of image builds: %w", err)
	}
	defer file.Close()
	return flock.Take(ctx, name, waiting)
}
