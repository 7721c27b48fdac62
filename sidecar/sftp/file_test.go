package sftp_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Every combination of flags does what the kernel does with its own.
func TestOpenFlags(t *testing.T) {
	t.Parallel()
	for flags := range 0x40 {
		for _, exists := range []bool{true, false} {
			t.Run(fmt.Sprintf("%#x %v", flags, exists), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				twin := filepath.Join(dir, "twin")
				file := filepath.Join(dir, "file")
				if exists {
					put(t, twin, "before")
					put(t, file, "before")
				}
				fd, err := unix.Open(twin, kernelFlags(flags), 0o666)
				c := connect(t, dir)
				r := c.do(fxpOpen, "file", flags, attrs{})
				if (r.kind == fxpHandle) != (err == nil) {
					t.Fatalf("the kernel said %v, the server %+v", err, r)
				}
				if err == nil {
					handle := r.string()
					sameOutcome(t, "writing", writes(fd, "after"), c.do(fxpWrite, handle, uint64(1), "after"))
					var b [1]byte
					_, err := unix.Pread(fd, b[:], 0)
					sameOutcome(t, "reading", err, c.do(fxpRead, handle, uint64(0), 1))
					must(t, unix.Close(fd))
					c.ok(fxpClose, handle)
				}
				if want, err := os.ReadFile(twin); err != nil {
					absent(t, file)
				} else if got := get(t, file); got != string(want) {
					t.Fatalf("the file holds %q, want %q", got, want)
				}
			})
		}
	}
}

func kernelFlags(flags int) int {
	kernel := unix.O_RDONLY
	if flags&fxfWrite != 0 {
		kernel = unix.O_WRONLY
		if flags&fxfRead != 0 {
			kernel = unix.O_RDWR
		}
	}
	for flag, it := range map[int]int{fxfAppend: unix.O_APPEND, fxfCreat: unix.O_CREAT, fxfTrunc: unix.O_TRUNC, fxfExcl: unix.O_EXCL} {
		if flags&flag != 0 {
			kernel |= it
		}
	}
	return kernel
}

func writes(fd int, data string) error {
	_, err := unix.Pwrite(fd, []byte(data), 1)
	return err
}

// sameOutcome compares what a system call said with the server's answer.
func sameOutcome(t *testing.T, what string, err error, r reply) {
	t.Helper()
	code := r.code()
	if code == fxEOF {
		code = fxOK // nothing to read is no error of the kernel
	}
	if want := codeOf(err); code != want {
		t.Fatalf("%s: the kernel said %v, the server %d: want %d", what, err, code, want)
	}
}

// codeOf is the code that OpenSSH's server has for an error of the kernel.
func codeOf(err error) int {
	number, is := err.(syscall.Errno)
	if !is && err != nil {
		panic(err)
	}
	switch number {
	case 0:
		return fxOK
	case unix.ENOENT, unix.ENOTDIR, unix.EBADF, unix.ELOOP:
		return fxNoSuchFile
	case unix.EPERM, unix.EACCES, unix.EFAULT:
		return fxPermissionDenied
	case unix.ENAMETOOLONG, unix.EINVAL:
		return fxBadMessage
	case unix.ENOSYS:
		return fxUnsupported
	}
	return fxFailure
}

// Writes whose answers nobody waited for are done when the close that follows
// them is, and seen by the reads that follow them.
func TestRequestsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := connect(t, dir)
	handle := c.open("file", fxfRead|fxfWrite|fxfCreat, attrs{})
	for round := range 200 {
		data := fmt.Sprintf("round %03d", round)
		c.send(fxpWrite, handle, uint64(0), data)
		c.send(fxpRead, handle, uint64(0), 100)
		c.send(fxpWrite, handle, uint64(0), "overwritten")
		c.send(fxpFsetstat, handle, attrs{size: just(uint64(4))})
		c.send(fxpFstat, handle)
		c.read()
		if r := c.read(); r.string()[:len(data)] != data {
			t.Fatalf("round %d read %q", round, r.rest)
		}
		c.read()
		c.read()
		if r := c.read(); r.stat().size != 4 {
			t.Fatalf("round %d: %+v", round, r)
		}
	}
	data := pattern(1 << 20)
	for at := 0; at < len(data); at += 32768 {
		c.send(fxpWrite, handle, uint64(at), data[at:at+32768])
	}
	c.send(fxpClose, handle)
	c.send(fxpWrite, handle, uint64(0), "too late")
	for at := 0; at < len(data); at += 32768 {
		if r := c.read(); r.code() != fxOK {
			t.Fatalf("write at %d: %+v", at, r)
		}
	}
	if r := c.read(); r.code() != fxOK {
		t.Fatalf("close: %+v", r)
	}
	if r := c.read(); r.code() != fxFailure {
		t.Fatalf("write after close: %+v", r)
	}
	if get(t, filepath.Join(dir, "file")) != data {
		t.Fatal("what was written is not what is there")
	}
}

// A handle stays with its file, whatever becomes of the name.
func TestHandlesOutliveNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "file"), "one")
	c := connect(t, dir)
	handle := c.open("file", fxfRead|fxfWrite, attrs{})
	c.ok(fxpRename, "file", "moved")
	put(t, filepath.Join(dir, "file"), "another")
	c.ok(fxpFsetstat, handle, attrs{mode: just(uint32(0o600)), times: &[2]uint32{11, 12}})
	c.ok(fxpWrite, handle, uint64(3), " and two")
	c.ok(fxpFsetstat, handle, attrs{size: just(uint64(7)), times: &[2]uint32{11, 12}})
	r := c.ok(fxpFstat, handle)
	if s := r.stat(); s.size != 7 || s.mode&0o777 != 0o600 || s.atime != 11 || s.mtime != 12 {
		t.Fatalf("%+v", s)
	}
	if got := get(t, filepath.Join(dir, "moved")); got != "one and" {
		t.Fatalf("%q", got)
	}
	if got := get(t, filepath.Join(dir, "file")); got != "another" {
		t.Fatalf("%q", got)
	}
	c.ok(fxpRemove, "moved")
	r = c.ok(fxpRead, handle, uint64(0), 3)
	if got := r.string(); got != "one" {
		t.Fatalf("%q", got)
	}
}

func TestLargeAndSparseFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := connect(t, dir)
	handle := c.open("file", fxfRead|fxfWrite|fxfCreat, attrs{})
	const far = 5 << 30
	c.ok(fxpWrite, handle, uint64(far), "far out")
	r := c.ok(fxpFstat, handle)
	if s := r.stat(); s.size != far+7 {
		t.Fatalf("%+v", s)
	}
	r = c.ok(fxpStat, "file")
	if s := r.stat(); s.size != far+7 {
		t.Fatalf("%+v", s)
	}
	r = c.ok(fxpRead, handle, uint64(far-3), 100)
	if got := r.string(); got != "\x00\x00\x00far out" {
		t.Fatalf("%q", got)
	}
	c.ok(fxpSetstat, "file", attrs{size: just(uint64(1 << 33))})
	c.want(fxEOF, fxpRead, handle, uint64(1<<33), 1)
	c.ok(fxpClose, handle)
	// Without anything open for writing, pages go another way.
	handle = c.open("file", fxfRead, attrs{})
	r = c.ok(fxpRead, handle, uint64(far), 65536)
	if got := r.string(); got != "far out"+strings.Repeat("\x00", 65536-7) {
		t.Fatalf("%d bytes, %.20q", len(got), got)
	}
	c.want(fxEOF, fxpRead, handle, uint64(1<<33), 65536)
	var st unix.Stat_t
	must(t, unix.Stat(filepath.Join(dir, "file"), &st))
	if st.Blocks*512 > 1<<20 {
		t.Fatalf("a file with holes takes %d bytes", st.Blocks*512)
	}
}

// Opening and using what is no file, or pretends to be one, does not hold up
// the session, which is what the last line shows.
func TestFIFOsAndDevices(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o666))
	must(t, unix.Mkfifo(filepath.Join(dir, "busy"), 0o666))
	busy, err := os.OpenFile(filepath.Join(dir, "busy"), os.O_RDWR, 0)
	must(t, err)
	defer busy.Close()
	c := connect(t, dir)
	for _, fifo := range []string{"fifo", "busy"} {
		for _, flags := range []int{fxfRead, fxfWrite, fxfRead | fxfWrite, fxfWrite | fxfAppend, fxfWrite | fxfCreat | fxfTrunc} {
			c.want(fxFailure, fxpOpen, fifo, flags, attrs{})
		}
		c.ok(fxpSetstat, fifo, attrs{mode: just(uint32(0o600)), times: &[2]uint32{1, 1}})
		if r := c.do(fxpSetstat, fifo, attrs{size: just(uint64(0))}); r.code() == fxOK {
			t.Fatal("a FIFO was truncated")
		}
		c.want(fxNoSuchFile, fxpOpendir, fifo)
		c.ok(fxpExtended, "statvfs@openssh.com", fifo)
		c.ok(fxpStat, fifo)
	}

	zero := c.open("/dev/zero", fxfRead, attrs{})
	r := c.ok(fxpRead, zero, uint64(1<<40), 1<<18)
	if got := r.string(); got != strings.Repeat("\x00", len(got)) || len(got) == 0 {
		t.Fatalf("%d bytes of zeros", len(got))
	}
	null := c.open("/dev/null", fxfRead|fxfWrite|fxfTrunc|fxfCreat, attrs{})
	c.ok(fxpWrite, null, uint64(0), pattern(100_000))
	c.want(fxEOF, fxpRead, null, uint64(0), 32768)
	c.want(fxFailure, fxpExtended, "copy-data", zero, uint64(0), uint64(0), null, uint64(0))
	full := c.open("/dev/full", fxfWrite, attrs{})
	c.want(fxFailure, fxpWrite, full, uint64(0), "x")
	for _, path := range []string{"/dev/tty", "/dev/ptmx"} {
		if r := c.do(fxpOpen, path, fxfRead|fxfWrite, attrs{}); r.kind == fxpHandle {
			c.want(fxFailure, fxpRead, r.string(), uint64(0), 100)
		}
	}
	if got := c.contents("/proc/self/status"); !strings.Contains(got, "VmRSS") {
		t.Fatalf("%q", got)
	}
	c.ok(fxpStat, ".")
}

// A directory opened as a file can be asked about, not read.
func TestADirectoryIsNoFile(t *testing.T) {
	t.Parallel()
	c := connect(t, t.TempDir())
	handle := c.open(".", fxfRead, attrs{})
	r := c.ok(fxpFstat, handle)
	if s := r.stat(); s.mode&unix.S_IFMT != unix.S_IFDIR {
		t.Fatalf("%+v", s)
	}
	c.want(fxFailure, fxpRead, handle, uint64(0), 100)
	c.want(fxFailure, fxpReaddir, handle)
	c.want(fxFailure, fxpOpen, ".", fxfWrite, attrs{})
}
