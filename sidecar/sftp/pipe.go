package sftp

import (
	"io"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What is in this file makes no difference to what a session does, only to
// what it costs where its streams are pipes or sockets, as they are for a
// program that a server started.

const (
	// pipeSize is how much pipes are made to hold when much goes through them,
	// in bytes. All pipes of a user together have a limit, and where each
	// session has this, more than a hundred fit below it.
	pipeSize = 256 << 10
	// muchData is what a request has to move before it is worth that, in bytes.
	muchData = 16 << 10
)

// descriptorOf is the descriptor below a stream, -1 for a stream without one.
func descriptorOf(stream any) int {
	fd := -1
	if file, is := stream.(*os.File); is {
		if raw, err := file.SyscallConn(); err == nil {
			raw.Control(func(number uintptr) { fd = int(number) })
		}
	}
	return fd
}

// widen lets a pipe hold more, so that who writes and who reads take turns
// less often. Where the user's limit is reached it stays as it is.
func widen(fd int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, pipeSize)
	return err
}

// awaitBriefly waits until there is something to read from fd, but no longer
// than a client near by takes for its next request.
//
// Go's scheduler takes the processor away from a thread that waits in a system
// call, and it takes switches between threads to get it back: with a request
// at a time, half as many again as the requests themselves take. It is not
// told of this wait. It is short, so that a session without requests waits in
// the way that costs nothing, and a collection of garbage does not wait long
// for it.
func awaitBriefly(fd int) {
	poll := unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	patience := unix.Timespec{Nsec: 5e6}
	syscall.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&poll)), 1, uintptr(unsafe.Pointer(&patience)), 0, 0, 0)
}

// passage moves what is in files to the client without copying it through
// this process, which halves the work of sending a large file: a pipe takes
// the file's pages as they are, and hands them on.
//
// How much there is to read is known once the pages are in the pipe, in time
// to be written in front of them. What happens to a page while it is on its
// way shows in what arrives; so this is not for files that the session itself
// may be writing to.
type passage struct {
	to      syscall.RawConn // nil where there is no way through
	in, out int             // the pipe, 0 before it is needed
	held    int             // bytes in it

	push   func(to uintptr) bool // hands on once, kept for it makes no garbage then
	failed error                 // what push met
}

// passageTo is the way to a stream, if there can be one.
func passageTo(stream io.Writer) *passage {
	p := &passage{}
	file, is := stream.(*os.File)
	if !is {
		return p
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 {
		return p
	}
	if to, err := file.SyscallConn(); err == nil {
		p.to = to
	}
	p.push = func(to uintptr) bool {
		var n int64
		n, p.failed = unix.Splice(p.out, nil, int(to), nil, p.held, 0)
		p.held -= int(max(n, 0))
		return p.failed != unix.EAGAIN
	}
	return p
}

// hold takes up to length bytes of a file into the pipe. It takes none where
// that is not possible; reading says why.
func (p *passage) hold(fd int, offset uint64, length int) int {
	if p.to == nil || !p.open() {
		return 0
	}
	at := int64(offset)
	for p.held < length {
		n, err := unix.Splice(fd, &at, p.in, nil, length-p.held, unix.SPLICE_F_NONBLOCK)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			break
		}
		p.held += int(n)
	}
	return p.held
}

// open makes the pipe. Without one that is wide enough there is no way through.
func (p *passage) open() bool {
	if p.in != 0 {
		return true
	}
	var ends [2]int
	if unix.Pipe2(ends[:], unix.O_CLOEXEC) != nil {
		p.to = nil
		return false
	}
	p.out, p.in = ends[0], ends[1]
	if widen(p.in) != nil {
		p.close()
		p.to = nil
		return false
	}
	p.to.Control(func(fd uintptr) { widen(int(fd)) })
	return true
}

// handOn sends what is held.
func (p *passage) handOn() error {
	for p.held > 0 {
		if err := p.to.Write(p.push); err != nil {
			return err
		}
		if p.failed != nil && p.failed != unix.EINTR {
			return p.failed
		}
	}
	return nil
}

func (p *passage) close() {
	if p.in != 0 {
		unix.Close(p.in)
		unix.Close(p.out)
		p.in, p.out = 0, 0
	}
}
