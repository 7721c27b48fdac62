package sftp_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What goes over the wire, to the byte, as the draft and OpenSSH's PROTOCOL
// file describe it. An exchange follows the ones before it.
func TestPacketsToTheByte(t *testing.T) {
	t.Parallel()
	dir := resolved(t, t.TempDir())
	put(t, filepath.Join(dir, "file"), "contents")
	must(t, os.Chmod(filepath.Join(dir, "file"), 0o640))
	// Read last long after it was written, so that reading leaves that alone.
	must(t, os.Chtimes(filepath.Join(dir, "file"), time.Unix(0x7f020304, 0), time.Unix(0x05060708, 0)))
	must(t, os.Chown(filepath.Join(dir, "file"), os.Getuid(), os.Getgid()))
	must(t, os.Symlink("../else where", filepath.Join(dir, "link")))
	owner := string(appendParts(nil, os.Getuid(), os.Getgid()))
	length := func(s string) string { return string(appendParts(nil, s)) }

	exchanges := []struct{ what, request, answer string }{
		{
			"init",
			"\x00\x00\x00\x05\x01\x00\x00\x00\x03",
			"\x00\x00\x01\x3e\x02\x00\x00\x00\x03" +
				"\x00\x00\x00\x18posix-rename@openssh.com\x00\x00\x00\x011" +
				"\x00\x00\x00\x13statvfs@openssh.com\x00\x00\x00\x012" +
				"\x00\x00\x00\x14fstatvfs@openssh.com\x00\x00\x00\x012" +
				"\x00\x00\x00\x14hardlink@openssh.com\x00\x00\x00\x011" +
				"\x00\x00\x00\x11fsync@openssh.com\x00\x00\x00\x011" +
				"\x00\x00\x00\x14lsetstat@openssh.com\x00\x00\x00\x011" +
				"\x00\x00\x00\x12limits@openssh.com\x00\x00\x00\x011" +
				"\x00\x00\x00\x17expand-path@openssh.com\x00\x00\x00\x011" +
				"\x00\x00\x00\x09copy-data\x00\x00\x00\x011" +
				"\x00\x00\x00\x0ehome-directory\x00\x00\x00\x011" +
				"\x00\x00\x00\x1eusers-groups-by-id@openssh.com\x00\x00\x00\x011",
		},
		{
			"open for reading",
			"\x00\x00\x00\x15\x03\x00\x00\x00\x07\x00\x00\x00\x04file\x00\x00\x00\x01\x00\x00\x00\x00",
			"\x00\x00\x00\x0d\x66\x00\x00\x00\x07\x00\x00\x00\x04\x00\x00\x00\x01",
		},
		{
			"read",
			"\x00\x00\x00\x19\x05\x00\x00\x00\x08\x00\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x04",
			"\x00\x00\x00\x0d\x67\x00\x00\x00\x08\x00\x00\x00\x04nten",
		},
		{
			"read at the end",
			"\x00\x00\x00\x19\x05\x00\x00\x00\x09\x00\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x08\x00\x00\x00\x04",
			"\x00\x00\x00\x1c\x65\x00\x00\x00\x09\x00\x00\x00\x01\x00\x00\x00\x0bEnd of file\x00\x00\x00\x00",
		},
		{
			"fstat",
			"\x00\x00\x00\x0d\x08\x00\x00\x00\x0a\x00\x00\x00\x04\x00\x00\x00\x01",
			"\x00\x00\x00\x25\x69\x00\x00\x00\x0a\x00\x00\x00\x0f\x00\x00\x00\x00\x00\x00\x00\x08" + owner +
				"\x00\x00\x81\xa0\x7f\x02\x03\x04\x05\x06\x07\x08",
		},
		{
			"close",
			"\x00\x00\x00\x0d\x04\x00\x00\x00\x0b\x00\x00\x00\x04\x00\x00\x00\x01",
			"\x00\x00\x00\x18\x65\x00\x00\x00\x0b\x00\x00\x00\x00\x00\x00\x00\x07Success\x00\x00\x00\x00",
		},
		{
			"stat of what is not there",
			"\x00\x00\x00\x0b\x11\x00\x00\x00\x0c\x00\x00\x00\x02no",
			"\x00\x00\x00\x2a\x65\x00\x00\x00\x0c\x00\x00\x00\x02\x00\x00\x00\x19no such file or directory\x00\x00\x00\x00",
		},
		{
			"readlink",
			"\x00\x00\x00\x0d\x13\x00\x00\x00\x0d\x00\x00\x00\x04link",
			"\x00\x00\x00\x2f\x68\x00\x00\x00\x0d\x00\x00\x00\x01\x00\x00\x00\x0d../else where\x00\x00\x00\x0d../else where\x00\x00\x00\x00",
		},
		{
			"realpath",
			"\x00\x00\x00\x0a\x10\x00\x00\x00\x0e\x00\x00\x00\x01.",
			length("\x68\x00\x00\x00\x0e\x00\x00\x00\x01" + length(dir) + length(dir) + "\x00\x00\x00\x00"),
		},
		{
			"limits",
			"\x00\x00\x00\x1b\xc8\x00\x00\x00\x0f\x00\x00\x00\x12limits@openssh.com",
			"\x00\x00\x00\x25\xc9\x00\x00\x00\x0f\x00\x00\x00\x00\x00\x04\x00\x00" +
				"\x00\x00\x00\x00\x00\x03\xf0\x00\x00\x00\x00\x00\x00\x03\xf0\x00\x00\x00\x00\x00\x00\x00\x03\xe8",
		},
		{
			"a kind that does not exist",
			"\x00\x00\x00\x06\x63\x00\x00\x00\x10!",
			"\x00\x00\x00\x36\x65\x00\x00\x00\x10\x00\x00\x00\x08\x00\x00\x00\x25the server does not know this request\x00\x00\x00\x00",
		},
		{
			"a request with more behind it than it needs",
			"\x00\x00\x00\x0f\x11\x00\x00\x00\x11\x00\x00\x00\x02noMORE",
			"\x00\x00\x00\x2a\x65\x00\x00\x00\x11\x00\x00\x00\x02\x00\x00\x00\x19no such file or directory\x00\x00\x00\x00",
		},
	}
	c := connectRawIn(t, dir)
	for _, e := range exchanges {
		c.write([]byte(e.request))
		got := make([]byte, len(e.answer))
		n, _ := readUpTo(c.from, got, e.answer)
		if string(got[:n]) != e.answer {
			t.Fatalf("%s:\n got %q\nwant %q", e.what, got[:n], e.answer)
		}
	}
	if err := c.hangUp(); err != nil {
		t.Fatal(err)
	}
	if rest, _ := readReply(c.from); rest.kind != 0 {
		t.Fatalf("more was answered than asked: %+v", rest)
	}
}

func TestAnswersComeTogetherWhenRequestsDo(t *testing.T) {
	t.Parallel()
	c := connect(t, t.TempDir())
	var requests strings.Builder
	for id := range 1000 {
		requests.Write(packet(fxpStat, id, "."))
	}
	c.write([]byte(requests.String()))
	for id := range 1000 {
		if r := c.read(); int(r.id) != id || r.kind != fxpAttrs {
			t.Fatalf("answer %d: %+v", id, r)
		}
	}
}

func TestRequestsArriveInPieces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := connect(t, dir)
	handle := c.open("f", fxfWrite|fxfCreat, attrs{})
	data := pattern(100_000)
	raw := packet(fxpWrite, 99, handle, uint64(0), data)
	for step := 1; len(raw) > 0; step = step*3 + 1 {
		n := min(step, len(raw))
		c.write(raw[:n])
		raw = raw[n:]
	}
	if r := c.read(); r.id != 99 || r.code() != fxOK {
		t.Fatalf("%+v", r)
	}
	if get(t, filepath.Join(dir, "f")) != data {
		t.Fatal("what arrived in pieces is not what was written")
	}
}
