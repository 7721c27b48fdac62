// Package lock lets one process at a time do what two would do badly: it locks
// a file or a directory for as long as the process wants, and the kernel frees
// it when the process ends, however it ends. Nothing is left on the disk.
package lock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Take waits until no other process has the lock on what is at path, which must
// exist. waiting is called once if there is something to wait for. The error is
// ctx's own when that ends first; any other says that there can be no lock here,
// as on some file systems.
func Take(ctx context.Context, path string, waiting func()) (release func(), err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("locking: %w", err)
	}
	free := func() { _ = file.Close() }
	err = flock(file, syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		waiting()
		taken := make(chan error, 1)
		go func() { taken <- flock(file, 0) }()
		select {
		case err = <-taken:
		case <-ctx.Done():
			// The kernel cannot be told that nobody waits any more.
			go func() { <-taken; free() }()
			return nil, ctx.Err()
		}
	}
	if err != nil {
		free()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return free, nil
}

func flock(file *os.File, how int) error {
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
