package volume

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// Owners is how the owners of what is packed become those of what is unpacked:
// files of user UIDFrom become UIDTo's, and of group GIDFrom GIDTo's. All others
// stay as they are.
type Owners struct{ UIDFrom, UIDTo, GIDFrom, GIDTo uint32 }

// check refuses to give root what was not root's: programs that are started with
// the rights of their owner would get all rights.
func (o Owners) check() error {
	if o.UIDTo == 0 && o.UIDFrom != 0 || o.GIDTo == 0 && o.GIDFrom != 0 {
		return errors.New("nothing that was somebody else's is made root's")
	}
	return nil
}

func (o Owners) of(uid, gid uint32) (int, int) {
	if uid == o.UIDFrom {
		uid = o.UIDTo
	}
	if gid == o.GIDFrom {
		gid = o.GIDTo
	}
	return int(uid), int(gid)
}

// writers are how many files are written at once.
const writers = 4

// unpacking is one run. Folders and large files are made as they come; the rest
// is handed to goroutines.
type unpacking struct {
	owners  Owners
	summary Summary
	room    room
	// open are the folders that something may still come for: each is in the one
	// before it. Nothing comes into any other, so that no name of a stream is ever
	// looked up but as one element in a folder that it has made.
	open []*made

	loads   chan *load
	filling *load          // that has not been handed over
	under   sync.WaitGroup // the loads that have
	writing sync.WaitGroup // the goroutines that take them
	free    sync.Pool      // of loads
	failure failure
	buffer  []byte
}

// failure is the first error of several goroutines.
type failure struct {
	once   sync.Once
	failed chan struct{}
	err    error // to be read when failed is closed
}

func (f *failure) set(err error) {
	if err != nil {
		f.once.Do(func() { f.err = err; close(f.failed) })
	}
}

func (f *failure) get() error {
	select {
	case <-f.failed:
		return f.err
	default:
		return nil
	}
}

// unpackInto makes what is in the stream below a folder, which is empty. It
// belongs to nobody else before all is there.
func unpackInto(into *folder, owners Owners, stream io.Reader) (Summary, error) {
	decompressed, err := zstd.NewReader(stream, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxWindow(frame), zstd.WithDecoderLowmem(true))
	if err != nil {
		return Summary{}, fmt.Errorf("preparing decompression: %w", err)
	}
	defer decompressed.Close()
	return untar(into, owners, decompressed)
}

// untar makes what is in a tar file.
func untar(into *folder, owners Owners, from io.Reader) (Summary, error) {
	if err := owners.check(); err != nil {
		return Summary{}, err
	}
	u := &unpacking{
		owners: owners, room: room{fd: into.fd}, loads: make(chan *load, writers), failure: failure{failed: make(chan struct{})},
	}
	for range writers {
		u.writing.Go(func() {
			for l := range u.loads {
				u.work(l)
				u.under.Done()
			}
		})
	}
	err := u.all(into, &ended{Reader: from})
	u.hand()
	close(u.loads)
	u.writing.Wait()
	for len(u.open) > 0 {
		u.failure.set(u.leave())
	}
	if err == nil {
		err = u.failure.get()
	}
	return u.summary, err
}

// all unpacks all of a tar file.
func (u *unpacking) all(into *folder, from *ended) error {
	archive := tar.NewReader(from)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = u.failure.get()
		}
		if err == nil {
			err = u.entry(into, h, archive)
		}
		if err != nil {
			return unreadable(err)
		}
	}
	if len(u.open) == 0 {
		return errors.New("the stream is empty: it has not even the volume's own folder")
	}
	return unreadable(from.check())
}

// unreadable is an error of the stream, in words of its own where it has none.
func unreadable(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the stream is cut short")
	case errors.Is(err, tar.ErrHeader):
		return errors.New("the stream is damaged, or no packed volume")
	}
	return err
}

// entry makes one entry.
func (u *unpacking) entry(into *folder, h *tar.Header, content io.Reader) error {
	e, err := entryOf(h)
	if err != nil {
		return err
	}
	if e.name == "" {
		return u.top(into, e)
	}
	in, err := u.parent(e)
	if err != nil {
		return err
	}
	if err := u.room.take(e.size); err != nil {
		return fmt.Errorf("%q: %w", e.name, err)
	}
	u.summary.Files++
	switch e.kind {
	case kindFolder:
		return u.enter(in, e)
	case kindHardLink:
		return u.link(in, e)
	}
	u.summary.Bytes += e.size
	if e.size > smallFile {
		return e.wrap(u.large(in, e, content))
	}
	return u.add(in, e, content)
}

// top takes what the stream says of the volume's own folder.
func (u *unpacking) top(into *folder, e member) error {
	if len(u.open) > 0 {
		return errors.New("the stream has the volume's own folder twice, or not at its beginning")
	}
	top := &made{fd: into.fd, member: e, shared: true}
	top.hold()
	u.open = append(u.open, top)
	u.summary.UID, u.summary.GID = e.uid, e.gid
	return nil
}

// parent is the folder that an entry goes into: those below it are complete.
func (u *unpacking) parent(e member) (*made, error) {
	for n := len(u.open) - 1; n >= 0; n-- {
		if u.open[n].name != e.folder {
			continue
		}
		for len(u.open) > n+1 {
			u.failure.set(u.leave())
		}
		return u.open[n], nil
	}
	return nil, fmt.Errorf("%q is not in a folder that the stream is at", e.name)
}

// leave is done with the last of the folders that are open.
func (u *unpacking) leave() error {
	last := u.open[len(u.open)-1]
	u.open = u.open[:len(u.open)-1]
	return last.release(u.owners)
}

// enter makes a folder.
func (u *unpacking) enter(in *made, e member) error {
	if len(u.open) > deepest {
		return fmt.Errorf("%q is deeper than %d folders", e.name, deepest)
	}
	if err := unix.Mkdirat(in.fd, e.base, 0o700); err != nil {
		return e.wrap(err)
	}
	fd, err := open(in.fd, e.base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return e.wrap(err)
	}
	below := &made{fd: fd, member: e}
	below.hold()
	u.open = append(u.open, below)
	return nil
}

// link makes another name of a file that is there.
func (u *unpacking) link(in *made, e member) error {
	u.hand()
	u.under.Wait() // it may be among them
	elements := strings.Split(e.link, "/")
	at := u.open[0].fd
	last := len(elements) - 1
	for _, element := range elements[:last] {
		below, err := open(at, element, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if at != u.open[0].fd {
			_ = unix.Close(at)
		}
		if err != nil {
			return e.wrap(fmt.Errorf("its other name %q: %w", e.link, err))
		}
		at = below
	}
	if at != u.open[0].fd {
		defer unix.Close(at)
	}
	var stat unix.Stat_t
	err := unix.Fstatat(at, elements[last], &stat, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && stat.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errors.New("no file")
	}
	if err == nil {
		err = unix.Linkat(at, elements[last], in.fd, e.base, 0)
	}
	if err != nil {
		return e.wrap(fmt.Errorf("its other name %q: %w", e.link, err))
	}
	return nil
}
