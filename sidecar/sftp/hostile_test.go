package sftp_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/sftp"
)

// What cannot be told apart into packets, or comes before the greeting, ends
// the session, and says why.
func TestNonsenseEndsTheSession(t *testing.T) {
	t.Parallel()
	greeting := string(packet(fxpInit, 3))
	cases := []struct{ what, sent, because string }{
		{"length 0", greeting + "\x00\x00\x00\x00", "a packet of 0 bytes"},
		{"length 4 GiB", greeting + "\xff\xff\xff\xff", "a packet of 4294967295 bytes"},
		{"one byte too long", greeting + "\x00\x04\x00\x01\x05", "a packet of 262145 bytes"},
		{"another protocol", "GET / HTTP/1.1\r\n", "is it really speaking SFTP"},
		{"no greeting", string(packet(fxpStat, 1, "/")), "before it said which version"},
		{"no greeting before an extension", string(packet(fxpExtended, 1, "limits@openssh.com")), "before it said which version"},
		{"a greeting without a version", "\x00\x00\x00\x03\x01\x00\x00", "does not say which version"},
		{"no id", greeting + "\x00\x00\x00\x04\x11\x00\x00\x00", "without an id"},
		{"no id in what does not exist", greeting + "\x00\x00\x00\x01\x63", "without an id"},
		{"an end within the length", greeting + "\x00\x00", "end within one, after 2 bytes"},
		{"an end within a packet", greeting + "\x00\x00\x00\x0b\x11\x00\x00", "end within one, after 7 bytes"},
	}
	for _, c := range cases {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			err := sftp.Serve(strings.NewReader(c.sent), io.Discard, sftp.Options{Start: t.TempDir()})
			if err == nil || !strings.Contains(err.Error(), c.because) {
				t.Fatalf("ended with %v, want it to say %q", err, c.because)
			}
		})
	}
}

func TestWhatWasAskedBeforeNonsenseIsAnswered(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	sent := append(append(packet(fxpInit, 3), packet(fxpStat, 7, ".")...), 0, 0, 0, 0)
	if err := sftp.Serve(bytes.NewReader(sent), &out, sftp.Options{Start: t.TempDir()}); err == nil {
		t.Fatal("a packet of 0 bytes was taken")
	}
	for _, kind := range []byte{fxpVersion, fxpAttrs} {
		if r, err := readReply(&out); err != nil || r.kind != kind {
			t.Fatalf("%+v (%v), want kind %d", r, err, kind)
		}
	}
}

func TestAnEndBetweenPacketsIsNoError(t *testing.T) {
	t.Parallel()
	for _, sent := range []string{"", string(packet(fxpInit, 3)), string(packet(fxpInit, 3)) + string(packet(fxpStat, 1, "."))} {
		if err := sftp.Serve(strings.NewReader(sent), io.Discard, sftp.Options{Start: t.TempDir()}); err != nil {
			t.Errorf("after %q: %v", sent, err)
		}
	}
}

func TestAClientThatStopsListeningEndsTheSession(t *testing.T) {
	t.Parallel()
	sent := string(packet(fxpInit, 3)) + strings.Repeat(string(packet(fxpStat, 1, ".")), 10_000)
	err := sftp.Serve(strings.NewReader(sent), deaf{}, sftp.Options{Start: t.TempDir()})
	if !errors.Is(err, unix.EPIPE) {
		t.Fatalf("ended with %v", err)
	}
}

type deaf struct{}

func (deaf) Write([]byte) (int, error) { return 0, unix.EPIPE }

// A request that is cut short, wherever, is refused, and the next one answered.
func TestRequestsCutShortAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "file"), "kept")
	c := connect(t, dir)
	handle := c.open("file", fxfRead|fxfWrite, attrs{})
	all := attrs{
		size: just(uint64(0)), owner: &[2]uint32{1, 1}, mode: just(uint32(0)), times: &[2]uint32{1, 1},
		extra: [][2]string{{"a", "b"}},
	}
	requests := []struct {
		kind  byte
		parts []any
	}{
		{fxpOpen, []any{"file", fxfTrunc | fxfWrite, all}},
		{fxpClose, []any{handle}},
		{fxpRead, []any{handle, uint64(0), 1}},
		{fxpWrite, []any{handle, uint64(0), "lost"}},
		{fxpLstat, []any{"file"}},
		{fxpFstat, []any{handle}},
		{fxpSetstat, []any{"file", all}},
		{fxpFsetstat, []any{handle, all}},
		{fxpOpendir, []any{"."}},
		{fxpReaddir, []any{handle}},
		{fxpRemove, []any{"file"}},
		{fxpMkdir, []any{"new", all}},
		{fxpRmdir, []any{"file"}},
		{fxpRealpath, []any{"."}},
		{fxpStat, []any{"file"}},
		{fxpRename, []any{"file", "new"}},
		{fxpReadlink, []any{"file"}},
		{fxpSymlink, []any{"file", "new"}},
		{fxpExtended, []any{"posix-rename@openssh.com", "file", "new"}},
		{fxpExtended, []any{"statvfs@openssh.com", "."}},
		{fxpExtended, []any{"fstatvfs@openssh.com", handle}},
		{fxpExtended, []any{"hardlink@openssh.com", "file", "new"}},
		{fxpExtended, []any{"fsync@openssh.com", handle}},
		{fxpExtended, []any{"lsetstat@openssh.com", "file", all}},
		{fxpExtended, []any{"expand-path@openssh.com", "."}},
		{fxpExtended, []any{"copy-data", handle, uint64(0), uint64(0), handle, uint64(0)}},
		{fxpExtended, []any{"home-directory", "root"}},
		{fxpExtended, []any{"users-groups-by-id@openssh.com", "\x00\x00\x00\x00", "\x00\x00\x00\x00"}},
	}
	for _, r := range requests {
		whole := appendParts(nil, r.parts...)
		for n := range whole {
			if got := c.do(r.kind, whole[:n]); got.code() != fxBadMessage && got.code() != fxUnsupported {
				t.Fatalf("kind %d, %d of %d bytes %q: %+v", r.kind, n, len(whole), whole[:n], got)
			}
		}
	}
	if got := get(t, filepath.Join(dir, "file")); got != "kept" {
		t.Fatalf("the file holds %q now", got)
	}
	absent(t, filepath.Join(dir, "new"))
}

// A length within a request that reaches beyond it is as good as a request cut short.
func TestLengthsBeyondTheRequest(t *testing.T) {
	t.Parallel()
	c := connect(t, t.TempDir())
	for _, length := range []uint32{3, 1 << 18, math.MaxInt32, math.MaxInt32 + 1, math.MaxUint32} {
		c.want(fxBadMessage, fxpStat, length, []byte("ab"))
		c.want(fxBadMessage, fxpExtended, length, []byte("ab"))
		c.want(fxBadMessage, fxpMkdir, "d", attrs{uncut: nil}.withExtras(length))
	}
}

// withExtras says that there are so many extended attributes, and has none.
func (a attrs) withExtras(count uint32) []byte { return appendParts(nil, uint32(0x80000000), count) }

func TestNamesWithNUL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "file"), "")
	c := connect(t, dir)
	for _, bad := range []string{"file\x00", "file\x00.txt", "\x00", "\x00file"} {
		for _, kind := range []byte{fxpLstat, fxpOpendir, fxpRemove, fxpRmdir, fxpRealpath, fxpStat, fxpReadlink} {
			c.want(fxBadMessage, kind, bad)
		}
		c.want(fxBadMessage, fxpOpen, bad, fxfRead, attrs{})
		c.want(fxBadMessage, fxpMkdir, bad, attrs{})
		c.want(fxBadMessage, fxpSetstat, bad, attrs{})
		c.want(fxBadMessage, fxpExtended, "lsetstat@openssh.com", bad, attrs{})
		for _, name := range []string{"statvfs@openssh.com", "expand-path@openssh.com", "home-directory"} {
			c.want(fxBadMessage, fxpExtended, name, bad)
		}
		for _, pair := range [][2]string{{"file", bad}, {bad, "file"}, {bad, bad}} {
			c.want(fxBadMessage, fxpRename, pair[0], pair[1])
			c.want(fxBadMessage, fxpSymlink, pair[0], pair[1])
			c.want(fxBadMessage, fxpExtended, "posix-rename@openssh.com", pair[0], pair[1])
			c.want(fxBadMessage, fxpExtended, "hardlink@openssh.com", pair[0], pair[1])
		}
	}
	c.ok(fxpStat, "file")
}

func TestUnknownRequests(t *testing.T) {
	t.Parallel()
	c := connect(t, t.TempDir())
	known := map[int]bool{fxpInit: true, fxpExtended: true}
	for kind := fxpOpen; kind <= fxpSymlink; kind++ {
		known[kind] = true
	}
	for kind := range 256 {
		if !known[kind] {
			c.want(fxUnsupported, byte(kind), []byte("anything"))
		}
	}
	for _, name := range []string{"", "limits", "LIMITS@openssh.com", "limits@openssh.com ", strings.Repeat("x", 10_000)} {
		c.want(fxUnsupported, fxpExtended, name, "anything")
	}
}

func TestHandlesThatAreNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "file"), "x")
	c := connect(t, dir)
	closed := c.open("file", fxfRead, attrs{})
	c.ok(fxpClose, closed)
	// As many again as before: what was closed must not come back to life.
	file := c.open("file", fxfRead|fxfWrite, attrs{})
	opened := c.ok(fxpOpendir, ".")
	directory := opened.string()

	none := []string{closed, "", "\x00", "\x00\x00\x00\x00", "\xff\xff\xff\xff", file + "\x00", file[:3], strings.Repeat("h", 300)}
	asFile, asDirectory := append(none, directory), append(none, file)
	for _, handle := range asFile {
		c.want(fxFailure, fxpRead, handle, uint64(0), 1)
		c.want(fxFailure, fxpWrite, handle, uint64(0), "y")
		c.want(fxFailure, fxpFstat, handle)
		c.want(fxFailure, fxpFsetstat, handle, attrs{size: just(uint64(0))})
		c.want(fxFailure, fxpExtended, "fstatvfs@openssh.com", handle)
		c.want(fxNoSuchFile, fxpExtended, "fsync@openssh.com", handle)
		c.want(fxNoSuchFile, fxpExtended, "copy-data", handle, uint64(0), uint64(0), file, uint64(0))
		c.want(fxNoSuchFile, fxpExtended, "copy-data", file, uint64(0), uint64(0), handle, uint64(0))
	}
	for _, handle := range asDirectory {
		c.want(fxFailure, fxpReaddir, handle)
	}
	for _, handle := range none {
		c.want(fxNoSuchFile, fxpClose, handle)
	}
	c.ok(fxpClose, directory)
	c.ok(fxpClose, file)
	if got := get(t, filepath.Join(dir, "file")); got != "x" {
		t.Fatalf("the file holds %q now", got)
	}
}

func TestOpenFilesAreLimited(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "file"), "x")
	c := connect(t, dir)
	var handles []string
	refused := 0
	for i := range 100_000 {
		var r reply
		if i%2 == 0 {
			r = c.do(fxpOpen, "file", fxfRead, attrs{})
		} else {
			r = c.do(fxpOpendir, ".")
		}
		if r.kind == fxpHandle {
			handles = append(handles, r.string())
			continue
		}
		if r.code() != fxFailure || !bytes.Contains(r.rest, []byte("too many open files")) {
			t.Fatalf("%+v", r)
		}
		refused++
	}
	if len(handles) != 1000 || refused != 99_000 {
		t.Fatalf("%d handles, %d refusals", len(handles), refused)
	}
	c.want(fxFailure, fxpOpen, "not made", fxfWrite|fxfCreat, attrs{})
	absent(t, filepath.Join(dir, "not made"))
	c.ok(fxpStat, "file")
	c.ok(fxpClose, handles[0])
	c.open("file", fxfRead, attrs{})
	c.want(fxFailure, fxpOpen, "file", fxfRead, attrs{})
	if err := c.hangUp(); err != nil {
		t.Fatal(err)
	}
}

// What a client leaves open is closed: a server that ran on would leak it.
func TestNothingStaysOpen(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "file"), pattern(100_000))
	before := descriptors(t)
	for range 3 {
		c := connect(t, dir)
		for range 100 {
			c.open("file", fxfRead, attrs{})
			c.ok(fxpOpendir, ".")
		}
		handle := c.open("file", fxfRead, attrs{})
		c.ok(fxpRead, handle, uint64(0), 100_000)
		must(t, c.hangUp())
		c.from.(*os.File).Close()
	}
	if after := descriptors(t); after > before {
		t.Fatalf("%d descriptors before, %d after", before, after)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(open)
}

func TestReadsBeyondAnyLimit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := pattern(600_000)
	put(t, filepath.Join(dir, "file"), data)
	c := connect(t, dir)
	handle := c.open("file", fxfRead, attrs{})
	for _, length := range []uint32{math.MaxUint32, math.MaxInt32 + 1, 1 << 20, 1 << 18} {
		r := c.do(fxpRead, handle, uint64(4096), length)
		if got := r.string(); got != data[4096:][:len(got)] || len(got) != 252<<10 {
			t.Fatalf("asked for %d: %d bytes", length, len(got))
		}
	}
	if r := c.do(fxpRead, handle, uint64(0), 0); r.kind != fxpData || r.string() != "" {
		t.Fatalf("asked for nothing: %+v", r)
	}
	c.want(fxEOF, fxpRead, handle, uint64(1<<40), 1)
	c.want(fxBadMessage, fxpRead, handle, uint64(math.MaxInt64)+1, 1)
	c.want(fxBadMessage, fxpRead, handle, uint64(math.MaxUint64), math.MaxInt32)
}

// A client that asks for much, slowly reads, or sends what is never
// finished, costs no more memory than the packets in flight.
func TestMemoryIsBounded(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "file"), make([]byte, 1<<20), 0o644))
	reads := strings.Repeat(string(packet(fxpRead, 9, "\x00\x00\x00\x01", uint64(0), math.MaxUint32)), 2000)
	ids := string(packet(fxpExtended, 9, "users-groups-by-id@openssh.com", strings.Repeat("\x00\x00\x00\x00", 60_000), ""))
	cases := map[string]string{
		"500 MB of reads":       reads,
		"names of 60,000 users": strings.Repeat(ids, 20),
		"long paths":            strings.Repeat(string(packet(fxpRealpath, 9, strings.Repeat("x/", 100_000))), 20),
	}
	for what, sent := range cases {
		sent = string(packet(fxpInit, 3)) + string(packet(fxpOpen, 1, "file", fxfRead, attrs{})) + sent
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := sftp.Serve(strings.NewReader(sent), io.Discard, sftp.Options{Start: dir}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		runtime.ReadMemStats(&after)
		// All that was ever taken, also what was given back.
		if taken := after.TotalAlloc - before.TotalAlloc; taken > 8<<20 {
			t.Errorf("%s: %d KiB of memory", what, taken>>10)
		}
	}
}
