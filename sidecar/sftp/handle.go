package sftp

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// maxHandles is how many files and directories a session may have open at once.
const maxHandles = 1000

// handle is one open file or directory.
type handle struct {
	fd            int
	path          string // as the client named it
	directory     bool
	writable      bool
	size          int64  // of a regular file when it was opened, 0 of others
	read, written uint64 // in bytes
}

// handles are what a session has open, each under a key that is not used again
// before four thousand million others were.
type handles struct {
	open     map[uint32]*handle
	last     uint32
	writable int // how many of open are
}

func (hs *handles) full() bool { return len(hs.open) >= maxHandles }

// add keeps h and is the key that clients know it by.
func (hs *handles) add(h *handle) uint32 {
	for {
		hs.last++
		if _, taken := hs.open[hs.last]; !taken {
			hs.open[hs.last] = h
			if h.writable {
				hs.writable++
			}
			return hs.last
		}
	}
}

// get is what key stands for, nil when that is nothing.
func (hs *handles) get(key []byte) *handle {
	if len(key) != 4 {
		return nil
	}
	return hs.open[binary.BigEndian.Uint32(key)]
}

func (hs *handles) file(key []byte) (*handle, error) {
	if h := hs.get(key); h != nil && !h.directory {
		return h, nil
	}
	return nil, errNoHandle
}

func (hs *handles) directory(key []byte) (*handle, error) {
	if h := hs.get(key); h != nil && h.directory {
		return h, nil
	}
	return nil, errNoHandle
}

// close forgets key. An error is the kernel's last word on what was written,
// on file systems that only look at it then; the handle is gone all the same.
func (hs *handles) close(key uint32) error {
	h := hs.open[key]
	delete(hs.open, key)
	if h.writable {
		hs.writable--
	}
	return unix.Close(h.fd)
}

// replyHandle answers with a handle for h.
func (s *session) replyHandle(h *handle) error {
	key := s.handles.add(h)
	out := s.reply(kindHandle)
	out.uint32(4)
	out.uint32(key)
	return nil
}

func (s *session) close(f *fields) error {
	key := f.bytes()
	if err := f.err(); err != nil {
		return err
	}
	h := s.handles.get(key)
	if h == nil {
		return errHandleGone
	}
	err := s.handles.close(binary.BigEndian.Uint32(key))
	s.closed(h, false)
	return err
}
