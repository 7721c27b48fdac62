// Package sftp is the server's half of SFTP version 3, as sftp, scp, sshfs and
// editors expect it of OpenSSH: draft-ietf-secsh-filexfer-02 with what section
// 4 of OpenSSH's PROTOCOL file changes and adds.
//
// One session is one call of Serve in a process of its own, which runs as the
// user whose files it serves: the kernel says what that user may do, so nothing
// is checked here twice. Requests are answered strictly one after the other, in
// the order they came, as OpenSSH's server does; clients rely on it when they
// close a file behind writes whose answers they have not seen.
//
// Whatever a client sends, a session takes a bounded amount of memory and at
// most a thousand open handles, and no FIFO or device can make it hang. A
// request that cannot be read is answered with an error as long as the packets
// around it can be told apart, and ends the session otherwise.
package sftp

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/filelog"
)

// Options are what a session needs to know beside its two streams.
type Options struct {
	// Start is the directory in which relative paths begin and which "~"
	// stands for: the user's home. Empty is the directory of the process.
	Start string
	// Audit, when set, is told what the session did, in order and before the
	// client is answered. The session waits for it.
	Audit func(filelog.Event)
}

// flushAt is how much is answered before answers are sent though more requests
// wait, in bytes: what a pipe holds. Below it, answers to requests that came
// together go out together.
const flushAt = 64 << 10

// Serve answers the requests that come in until there are no more, and says
// what was wrong when they end in the middle of one, make no sense, or cannot
// be answered any longer. What the client left open is closed.
func Serve(in io.Reader, out io.Writer, options Options) error {
	s, err := begin(in, out, options)
	if err != nil {
		return err
	}
	defer s.end()
	return s.run()
}

// session is the state of one client's session.
type session struct {
	in  packets
	out replies

	directory int    // open on where relative paths begin
	start     string // its path, absolute and without symbolic links
	handles   handles
	accounts  accounts
	audit     func(filelog.Event)

	greeted bool
	id      uint32 // of the request at hand
	replied bool   // whether its answer was begun
	entries [entriesSize]byte
}

func begin(in io.Reader, out io.Writer, options Options) (*session, error) {
	start, err := canonicalStart(options.Start)
	if err != nil {
		return nil, err
	}
	directory, err := unix.Open(start, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the directory to start in, %s: %w", start, err)
	}
	audit := options.Audit
	if audit == nil {
		audit = func(filelog.Event) {}
	}
	return &session{
		// Neither takes memory before it is written to.
		in:        packets{from: in, descriptor: descriptorOf(in), buffer: make([]byte, lengthSize+maxPacket)},
		out:       replies{to: out, passage: passageTo(out), buffer: make([]byte, 0, flushAt+lengthSize+maxPacket)},
		directory: directory,
		start:     start,
		handles:   handles{open: map[uint32]*handle{}},
		accounts:  accounts{passwd: "/etc/passwd", group: "/etc/group"},
		audit:     audit,
	}, nil
}

// canonicalStart is the path of where a session starts.
func canonicalStart(path string) (string, error) {
	if !filepath.IsAbs(path) {
		working, err := os.Getwd()
		if err != nil {
			return "", fmt.Errorf("finding the directory to start in: %w", err)
		}
		path = working + "/" + path
	}
	start, err := canonical(path)
	if err != nil {
		return "", fmt.Errorf("finding the directory to start in, %s: %w", path, err)
	}
	return start, nil
}

func (s *session) end() {
	for key, h := range s.handles.open {
		s.closed(h, true)
		s.handles.close(key)
	}
	s.out.passage.close()
	unix.Close(s.directory)
}

func (s *session) run() error {
	for {
		packet, err := s.in.buffered()
		if packet != nil {
			err = s.answer(packet)
		}
		if err != nil {
			return errors.Join(err, s.out.flush())
		}
		// Never wait for more with an answer in hand.
		if packet == nil || s.out.full() {
			if err := s.out.flush(); err != nil {
				return err
			}
		}
		if packet == nil {
			if err := s.in.fill(); err != nil {
				return s.in.ended(err)
			}
		}
	}
}

// absolute is path as an operator knows it.
func (s *session) absolute(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(s.start, path)
}

// closed tells of an open file that is about to be closed: one event for each,
// whatever was read and written in between.
func (s *session) closed(h *handle, cut bool) {
	if h.directory {
		return
	}
	s.audit(filelog.Event{
		Operation: filelog.Transfer, Path: s.absolute(h.path),
		Read: h.read, Written: h.written, Cut: cut,
	})
}
