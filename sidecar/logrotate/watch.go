package logrotate

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// change is what happened to a file of the folder: to the one of that name, or
// to the one that is watched under that number. The zero value is that the
// kernel could not keep up, and anything may have.
type change struct {
	base   string
	number int32
	mask   uint32
	// saved: it was set aside, for its writer had ended.
	saved bool
}

// watcher is told by the kernel what happens to the files of a folder:
// inotify(7).
type watcher struct {
	file   *os.File
	folder string
	// grows are the files that are watched for their next line.
	grows map[int32]string
}

// closedOrNamed is what is told of every file. That one is written to is told
// only of those that are waited for: there may be many lines a second.
const closedOrNamed = unix.IN_CLOSE_WRITE | unix.IN_CREATE | unix.IN_MOVED_TO

func newWatcher(folder string) (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watching %s: %w", folder, err)
	}
	w := &watcher{file: os.NewFile(uintptr(fd), "inotify"), folder: folder, grows: map[int32]string{}}
	if _, err := unix.InotifyAddWatch(fd, folder, closedOrNamed|unix.IN_ONLYDIR); err != nil {
		w.file.Close()
		return nil, fmt.Errorf("watching %s: %w", folder, err)
	}
	return w, nil
}

// growth asks to be told once of the next line of a file, and says whether it
// will be.
func (w *watcher) growth(base string) (watched bool) {
	for _, watched := range w.grows {
		if watched == base {
			return true
		}
	}
	raw, err := w.file.SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Control(func(fd uintptr) {
		number, err := unix.InotifyAddWatch(int(fd), filepath.Join(w.folder, base), unix.IN_MODIFY|unix.IN_ONESHOT|unix.IN_DONT_FOLLOW)
		if err == nil {
			w.grows[int32(number)] = base
			watched = true
		}
	})
	return watched
}

// grown is the file that was watched under a number, which ends with the first
// thing that is told of it.
func (w *watcher) grown(number int32) string {
	base := w.grows[number]
	delete(w.grows, number)
	return base
}

// read hands on what happens until the context is done or the watcher fails.
func (w *watcher) read(ctx context.Context, to chan<- []change) error {
	defer context.AfterFunc(ctx, func() { w.file.Close() })()
	buffer := make([]byte, 16<<10)
	for {
		n, err := w.file.Read(buffer)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watching %s: %w", w.folder, err)
		}
		select {
		case to <- parseChanges(buffer[:n]):
		case <-ctx.Done():
			return nil
		}
	}
}

// parseChanges reads the kernel's records: inotify(7).
func parseChanges(buffer []byte) []change {
	var all []change
	for len(buffer) >= unix.SizeofInotifyEvent {
		c := change{
			number: int32(binary.NativeEndian.Uint32(buffer)),
			mask:   binary.NativeEndian.Uint32(buffer[4:]),
		}
		length := binary.NativeEndian.Uint32(buffer[12:])
		buffer = buffer[unix.SizeofInotifyEvent:]
		if uint64(length) > uint64(len(buffer)) || c.mask&unix.IN_Q_OVERFLOW != 0 {
			return append(all, change{})
		}
		c.base = string(bytes.TrimRight(buffer[:length], "\x00"))
		buffer = buffer[length:]
		all = append(all, c)
	}
	return all
}
