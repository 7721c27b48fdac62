package sftp_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFileSystems(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "file"), "")
	c := connect(t, dir)
	handle := c.open("file", fxfRead, attrs{})
	for what, r := range map[string]reply{
		"statvfs":              c.ok(fxpExtended, "statvfs@openssh.com", "."),
		"statvfs of a path":    c.ok(fxpExtended, "statvfs@openssh.com", dir+"/file"),
		"fstatvfs of a handle": c.ok(fxpExtended, "fstatvfs@openssh.com", handle),
	} {
		var st unix.Statfs_t
		must(t, unix.Statfs(dir, &st))
		var got [11]uint64
		for i := range got {
			got[i] = r.uint64()
		}
		// What is free may change between two looks.
		got[3], got[4], got[6], got[7] = 0, 0, 0, 0
		want := [11]uint64{
			uint64(st.Bsize), uint64(st.Frsize), st.Blocks, 0, 0, st.Files, 0, 0,
			uint64(uint32(st.Fsid.Val[0])) | uint64(uint32(st.Fsid.Val[1]))<<32,
			uint64(st.Flags) & 3, uint64(st.Namelen),
		}
		if r.kind != fxpExtendedReply || got != want || len(r.rest) != 0 {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	c.want(fxNoSuchFile, fxpExtended, "statvfs@openssh.com", "missing")
	if r := c.ok(fxpExtended, "statvfs@openssh.com", "/proc"); len(r.rest) != 88 {
		t.Errorf("%+v", r)
	}
}

func TestFsync(t *testing.T) {
	t.Parallel()
	c := connect(t, t.TempDir())
	handle := c.open("file", fxfWrite|fxfCreat, attrs{})
	c.ok(fxpWrite, handle, uint64(0), "kept")
	c.ok(fxpExtended, "fsync@openssh.com", handle)
}

func TestUsersAndGroups(t *testing.T) {
	t.Parallel()
	c := connect(t, t.TempDir())
	list := func(ids ...int) string {
		var raw []byte
		for _, id := range ids {
			raw = appendParts(raw, id)
		}
		return string(raw)
	}
	names := func(names ...any) string { return string(appendParts(nil, names...)) }
	for _, e := range []struct{ uids, gids, users, groups string }{
		{"", "", "", ""},
		{list(0), "", names("root"), ""},
		{"", list(0), "", names("root")},
		{list(0, 4_000_000_000, 0), list(4_000_000_000, 0), names("root", "", "root"), names("", "root")},
	} {
		r := c.ok(fxpExtended, "users-groups-by-id@openssh.com", e.uids, e.gids)
		if users, groups := r.string(), r.string(); users != e.users || groups != e.groups || r.kind != fxpExtendedReply {
			t.Errorf("%q %q: %q %q", e.uids, e.gids, users, groups)
		}
	}
	c.want(fxBadMessage, fxpExtended, "users-groups-by-id@openssh.com", "\x00\x00\x00", "")
	c.want(fxBadMessage, fxpExtended, "users-groups-by-id@openssh.com", "", "\x00\x00\x00\x00\x00")
	// 40,000 times "root" is more than a packet holds.
	c.want(fxFailure, fxpExtended, "users-groups-by-id@openssh.com", strings.Repeat("\x00\x00\x00\x00", 40_000), "")
	c.ok(fxpExtended, "users-groups-by-id@openssh.com", list(0), "")
}

func TestCopyData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := pattern(1_000_000)
	put(t, filepath.Join(dir, "from"), data)
	c := connect(t, dir)
	from := c.open("from", fxfRead, attrs{})
	for _, e := range []struct {
		what             string
		flags            int
		before           string
		at, length, into uint64
		code             int
		after            string
	}{
		{"all", fxfWrite, "", 0, 0, 0, fxOK, data},
		{"all over what is shorter", fxfWrite, "before", 0, 0, 0, fxOK, data},
		{"all behind what is there", fxfWrite, "before", 0, 0, 6, fxOK, "before" + data},
		{"all to the end", fxfWrite | fxfAppend, "before", 0, 0, 0, fxOK, "before" + data},
		{"a part", fxfWrite, "before", 100, 300_000, 2, fxOK, "be" + data[100:300_100]},
		{"the rest", fxfWrite, "", 900_000, 0, 0, fxOK, data[900_000:]},
		{"just the rest", fxfWrite, "", 900_000, 100_000, 0, fxOK, data[900_000:]},
		{"more than there is", fxfWrite, "", 900_000, 100_001, 0, fxEOF, data[900_000:]},
		{"nothing behind the end", fxfWrite, "before", 1_000_000, 0, 0, fxOK, "before"},
		{"something behind the end", fxfWrite, "before", 1_000_001, 1, 0, fxEOF, "before"},
		{"to where nothing can be", fxfWrite, "before", 0, 0, 1 << 63, fxBadMessage, "before"},
		{"from where nothing can be", fxfWrite, "before", 1 << 63, 5, 0, fxBadMessage, "before"},
		{"to what is not open for it", fxfRead, "before", 0, 0, 0, fxNoSuchFile, "before"},
	} {
		put(t, filepath.Join(dir, "to"), e.before)
		to := c.open("to", e.flags, attrs{})
		if r := c.do(fxpExtended, "copy-data", from, e.at, e.length, to, e.into); r.code() != e.code {
			t.Errorf("%s: code %d, want %d", e.what, r.code(), e.code)
		}
		c.ok(fxpClose, to)
		if got := get(t, filepath.Join(dir, "to")); got != e.after {
			t.Errorf("%s: %d bytes %.20q, want %d bytes %.20q", e.what, len(got), got, len(e.after), e.after)
		}
	}
	must(t, os.Link(filepath.Join(dir, "from"), filepath.Join(dir, "same")))
	same := c.open("same", fxfRead|fxfWrite, attrs{})
	c.want(fxFailure, fxpExtended, "copy-data", from, uint64(0), uint64(0), same, uint64(0))
	c.want(fxFailure, fxpExtended, "copy-data", same, uint64(0), uint64(10), same, uint64(500_000))
	if get(t, filepath.Join(dir, "from")) != data {
		t.Error("the source has changed")
	}
}
