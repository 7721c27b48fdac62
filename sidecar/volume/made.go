package volume

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// made is a folder that was unpacked, while things may still come into it.
type made struct {
	member
	fd      int
	shared  bool // somebody else closes it
	holders atomic.Int32
}

func (m *made) hold() { m.holders.Add(1) }

// release lets go of it. The last one to do so gives it its owner, its mode and
// its time: what comes into it would change that.
func (m *made) release(owners Owners) error {
	if m.holders.Add(-1) > 0 {
		return nil
	}
	err := m.finish(m.fd, owners)
	if !m.shared {
		err = errors.Join(err, unix.Close(m.fd))
	}
	return m.wrap(err)
}

// finish gives an open file or folder all but its content.
func (m member) finish(fd int, owners Owners) error {
	uid, gid := owners.of(m.uid, m.gid)
	if err := unix.Fchown(fd, uid, gid); err != nil {
		return fmt.Errorf("giving it to %d:%d: %w", uid, gid, err)
	}
	// A change of owner takes away rights of programs, and so comes before them.
	for _, a := range m.attributes {
		if err := unix.Fsetxattr(fd, a.name, []byte(a.value), 0); err != nil {
			return fmt.Errorf("setting its attribute %s: %w", a.name, err)
		}
	}
	if err := unix.Fchmod(fd, m.mode); err != nil {
		return fmt.Errorf("setting its mode: %w", err)
	}
	// No name stands for the descriptor itself, on kernels of any age.
	times := m.times()
	if _, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0); errno != 0 {
		return fmt.Errorf("setting its time: %w", errno)
	}
	return nil
}

// times are when it was read last, which is left as it is, and changed.
func (m member) times() [2]unix.Timespec {
	return [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: m.sec, Nsec: m.nsec}}
}

// How much is handed over at once: to wake somebody up for each file takes as
// long as to make it.
const (
	loadJobs  = 32
	loadBytes = 256 << 10
)

// load is some small things to be made, and what is in them.
type load struct {
	jobs []job
	text []byte
}

// job is something small to be made.
type job struct {
	member
	in   *made
	text []byte // of a file: a part of the load's
}

// add puts a job into the load, and hands that over when it is full.
func (u *unpacking) add(in *made, m member, content io.Reader) error {
	size := int(m.size)
	if u.filling != nil && len(u.filling.text)+size > cap(u.filling.text) {
		u.hand()
	}
	if u.filling == nil {
		l, ok := u.free.Get().(*load)
		if !ok {
			l = &load{jobs: make([]job, 0, loadJobs), text: make([]byte, 0, loadBytes)}
		}
		u.filling = l
	}
	l := u.filling
	at := len(l.text)
	l.text = l.text[:at+size]
	if _, err := io.ReadFull(content, l.text[at:]); err != nil {
		return err
	}
	in.hold()
	l.jobs = append(l.jobs, job{m, in, l.text[at:]})
	if len(l.jobs) == cap(l.jobs) {
		u.hand()
	}
	return nil
}

// hand gives the load to those who make what is in it.
func (u *unpacking) hand() {
	if u.filling != nil {
		u.under.Add(1)
		u.loads <- u.filling
		u.filling = nil
	}
}

// work makes what is in a load.
func (u *unpacking) work(l *load) {
	for n := range l.jobs {
		j := &l.jobs[n]
		u.failure.set(u.do(j))
		u.failure.set(j.in.release(u.owners))
	}
	clear(l.jobs)
	l.jobs, l.text = l.jobs[:0], l.text[:0]
	u.free.Put(l)
}

// do makes one thing.
func (u *unpacking) do(j *job) error {
	if u.failure.get() != nil {
		return nil
	}
	switch j.kind {
	case kindFile:
		return j.wrap(u.small(j))
	case kindSymlink:
		if err := unix.Symlinkat(j.link, j.in.fd, j.base); err != nil {
			return j.wrap(err)
		}
	case kindPipe:
		if err := unix.Mknodat(j.in.fd, j.base, unix.S_IFIFO|0o600, 0); err != nil {
			return j.wrap(err)
		}
	}
	return j.wrap(j.finishNamed(j.in.fd, u.owners))
}

// finishNamed gives a link or a pipe its owner and its time.
func (m member) finishNamed(at int, owners Owners) error {
	uid, gid := owners.of(m.uid, m.gid)
	if err := unix.Fchownat(at, m.base, uid, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("giving it to %d:%d: %w", uid, gid, err)
	}
	if m.kind == kindPipe { // a link has no mode
		if err := unix.Fchmodat(at, m.base, m.mode, 0); err != nil {
			return fmt.Errorf("setting its mode: %w", err)
		}
	}
	times := m.times()
	if err := unix.UtimesNanoAt(at, m.base, times[:], unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("setting its time: %w", err)
	}
	return nil
}

// create makes a file that nobody else can open until it is finished.
func (m member) create(in *made) (int, error) {
	return open(in.fd, m.base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_NOCTTY, 0o600)
}

func (u *unpacking) small(j *job) error {
	fd, err := j.create(j.in)
	if err != nil {
		return err
	}
	if err = writeAll(fd, j.text); err == nil {
		err = j.finish(fd, u.owners)
	}
	return errors.Join(err, unix.Close(fd))
}

// large makes a file whose content is passed on as it comes. What is empty of it
// takes no room.
func (u *unpacking) large(in *made, m member, content io.Reader) error {
	fd, err := m.create(in)
	if err != nil {
		return err
	}
	err = u.fill(fd, m.size, content)
	if err == nil {
		err = m.finish(fd, u.owners)
	}
	return errors.Join(err, unix.Close(fd))
}

func (u *unpacking) fill(fd int, size int64, content io.Reader) error {
	if u.buffer == nil {
		u.buffer = make([]byte, chunk)
	}
	for left := size; left > 0; {
		text := u.buffer[:min(left, int64(len(u.buffer)))]
		if _, err := io.ReadFull(content, text); err != nil {
			return err
		}
		left -= int64(len(text))
		if isEmpty(text) {
			if _, err := unix.Seek(fd, int64(len(text)), io.SeekCurrent); err != nil {
				return err
			}
			continue
		}
		if err := writeAll(fd, text); err != nil {
			return err
		}
	}
	return unix.Ftruncate(fd, size) // where its end is empty
}

// empties are compared with.
var empties [64 << 10]byte

func isEmpty(text []byte) bool {
	for part := range slices.Chunk(text, len(empties)) {
		if !bytes.Equal(part, empties[:len(part)]) {
			return false
		}
	}
	return true
}

func writeAll(fd int, text []byte) error {
	for len(text) > 0 {
		n, err := unix.Write(fd, text)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		text = text[n:]
	}
	return nil
}
