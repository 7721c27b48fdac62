package ssh

import (
	"io"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// direct reads and writes a descriptor that never waits, without telling Go's
// scheduler about it. What the scheduler is told costs a fifth of the server's
// time in a long transfer: it looks every 20 µs whether a call takes so long
// that another thread should go on meanwhile, and finds that copying 32 KiB does.
// For want of data or of room it waits as everything else does.
//
// One goroutine at a time may read, and one write.
type direct struct {
	descriptor    syscall.RawConn
	reads, writes transfer
}

// directly is how to read and write a file or a connection; nil where that is
// neither, or could wait in the kernel.
func directly(f any) *direct {
	descriptor, ok := f.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := descriptor.SyscallConn()
	if err != nil {
		return nil // it is closed, and says so itself
	}
	waits := true
	_ = raw.Control(func(fd uintptr) {
		flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
		waits = err != nil || flags&unix.O_NONBLOCK == 0
	})
	if waits {
		return nil
	}
	d := &direct{descriptor: raw}
	d.reads.prepare(syscall.SYS_READ)
	d.writes.prepare(syscall.SYS_WRITE)
	return d
}

func (d *direct) Read(p []byte) (int, error) {
	n, err := d.reads.of(p, d.descriptor.Read)
	if n == 0 && err == nil && len(p) > 0 {
		return 0, io.EOF
	}
	return n, err
}

func (d *direct) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		n, err := d.writes.of(p[written:], d.descriptor.Write)
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// transfer is one system call, and what is between it and the scheduler.
type transfer struct {
	once func(fd uintptr) (done bool) // kept: made anew for each call it would cost memory
	p    []byte
	n    int
	err  error
}

func (t *transfer) prepare(call uintptr) {
	t.once = func(fd uintptr) bool {
		for {
			n, _, errno := syscall.RawSyscall(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(t.p))), uintptr(len(t.p)))
			switch errno {
			case 0:
				t.n, t.err = int(n), nil
				return true
			case unix.EINTR:
			case unix.EAGAIN:
				return false
			default:
				t.n, t.err = 0, errno
				return true
			}
		}
	}
}

// of makes the call for p, as soon as the descriptor is ready for it.
func (t *transfer) of(p []byte, whenReady func(func(uintptr) bool) error) (int, error) {
	t.p, t.n, t.err = p, 0, nil
	err := whenReady(t.once)
	t.p = nil
	if err != nil {
		return 0, err
	}
	return t.n, t.err
}
