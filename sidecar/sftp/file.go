package sftp

import (
	"io"
	"math"

	"golang.org/x/sys/unix"
)

// Flags of open, section 6.3 of the draft.
const (
	openRead   = 0x01
	openWrite  = 0x02
	openAppend = 0x04
	openCreate = 0x08
	openTrunc  = 0x10
	openExcl   = 0x20
)

// openFlags are the kernel's flags for those of a client; without any way in, a
// file is opened for reading.
func openFlags(asked uint32) int {
	flags := unix.O_RDONLY
	switch asked & (openRead | openWrite) {
	case openRead | openWrite:
		flags = unix.O_RDWR
	case openWrite:
		flags = unix.O_WRONLY
	}
	if asked&openAppend != 0 {
		flags |= unix.O_APPEND
	}
	if asked&openCreate != 0 {
		flags |= unix.O_CREAT
	}
	if asked&openTrunc != 0 {
		flags |= unix.O_TRUNC
	}
	if asked&openExcl != 0 {
		flags |= unix.O_EXCL
	}
	return flags
}

// openAt opens what need not be a regular file without waiting for it. A FIFO
// is not a thing to open: it would wait for its other end at every turn.
func openAt(directory int, path string, flags int, mode uint32) (fd int, err error) {
	flags |= unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	err = uninterrupted(func() (err error) {
		fd, err = unix.Openat(directory, path, flags, mode)
		return err
	})
	return fd, err
}

func (s *session) open(f *fields) error {
	path, asked, a := f.name(), f.uint32(), f.attributes()
	if err := f.err(); err != nil {
		return err
	}
	if s.handles.full() {
		return errTooMany
	}
	fd, err := openAt(s.directory, path, openFlags(asked), a.mode(0o666))
	if err != nil {
		return err
	}
	h := &handle{fd: fd, path: path, writable: asked&openWrite != 0}
	st, err := statOf(fd)
	if err == nil && kindOf(st) == unix.S_IFIFO {
		err = errFIFO
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	if kindOf(st) == unix.S_IFREG {
		h.size = st.Size
	}
	return s.replyHandle(h)
}

func (s *session) read(f *fields) error {
	key, offset, length := f.bytes(), f.uint64(), min(f.uint32(), maxData)
	if err := f.err(); err != nil {
		return err
	}
	h, err := s.handles.file(key)
	if err != nil {
		return err
	}
	out := s.reply(kindData)
	if n := s.passThrough(h, offset, length); n > 0 {
		h.read += uint64(n)
		out.uint32(uint32(n))
		return nil
	}
	data := out.spare(4 + int(length))
	n, err := readAt(h.fd, data[4:], offset)
	if err != nil {
		return err
	}
	if n == 0 && length > 0 {
		return errEOF
	}
	h.read += uint64(n)
	out.uint32(uint32(n))
	out.buffer = out.buffer[:len(out.buffer)+n]
	return nil
}

// passThrough is how many bytes of a file are on their way to the client
// without having been read, 0 where reading is the better or the only way.
func (s *session) passThrough(h *handle, offset uint64, length uint32) int {
	much := length >= muchData && offset < uint64(h.size) && uint64(h.size)-offset >= muchData
	if !much || s.handles.writable > 0 {
		return 0
	}
	return s.out.passage.hold(h.fd, offset, int(length))
}

// readAt reads once. Of a regular file that is all there is, up to len(p).
func readAt(fd int, p []byte, offset uint64) (int, error) {
	for {
		n, err := unix.Pread(fd, p, int64(offset))
		if err != unix.EINTR {
			return n, err
		}
	}
}

func (s *session) write(f *fields) error {
	key, offset, data := f.bytes(), f.uint64(), f.bytes()
	if err := f.err(); err != nil {
		return err
	}
	h, err := s.handles.file(key)
	if err != nil {
		return err
	}
	n, err := writeAt(h.fd, data, offset)
	h.written += uint64(n)
	return err
}

// writeAt writes all of p, or fails after as many bytes as it says.
func writeAt(fd int, p []byte, offset uint64) (int, error) {
	written := 0
	for {
		n, err := unix.Pwrite(fd, p[written:], int64(offset)+int64(written))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return written, err
		}
		written += n
		if written == len(p) {
			return written, nil
		}
		if n == 0 {
			return written, io.ErrShortWrite
		}
	}
}

func (s *session) fsync(f *fields) error {
	key := f.bytes()
	if err := f.err(); err != nil {
		return err
	}
	h, err := s.handles.file(key)
	if err != nil {
		return errHandleGone
	}
	return uninterrupted(func() error { return unix.Fsync(h.fd) })
}

// copyData copies between two open files without the data going over the network.
func (s *session) copyData(f *fields) error {
	source, from, length := f.bytes(), f.uint64(), f.uint64()
	target, to := f.bytes(), f.uint64()
	if err := f.err(); err != nil {
		return err
	}
	in, err := s.handles.file(source)
	if err != nil {
		return errHandleGone
	}
	out, err := s.handles.file(target)
	if err != nil {
		return errHandleGone
	}
	before, err := statOf(in.fd)
	if err != nil {
		return err
	}
	after, err := statOf(out.fd)
	if err != nil {
		return err
	}
	if before.Dev == after.Dev && before.Ino == after.Ino {
		return errSameFile
	}
	if kindOf(before) != unix.S_IFREG {
		return errEndless
	}
	untilEnd := length == 0
	if untilEnd {
		length = math.MaxUint64
	}
	// The kernel's own way to copy was tried, and took several times as long
	// on ext4.
	buffer := s.out.spare(maxData)
	for length > 0 {
		n, err := readAt(in.fd, buffer[:min(length, maxData)], from)
		if err != nil {
			return err
		}
		if n == 0 && untilEnd {
			return nil
		}
		if n == 0 {
			return errEOF
		}
		in.read += uint64(n)
		written, err := writeAt(out.fd, buffer[:n], to)
		out.written += uint64(written)
		if err != nil {
			return err
		}
		from, to, length = from+uint64(n), to+uint64(n), length-uint64(n)
	}
	return nil
}

// uninterrupted does what a signal may interrupt, on file systems that let it,
// until it is done.
func uninterrupted(do func() error) error {
	for {
		if err := do(); err != unix.EINTR {
			return err
		}
	}
}
