package sftp_test

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestAttributesAreSet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	c := connect(t, dir)
	ways := map[string]func(a attrs) reply{
		"setstat": func(a attrs) reply { return c.do(fxpSetstat, "file", a) },
		"setstat through a link": func(a attrs) reply {
			return c.do(fxpSetstat, "link", a)
		},
		"fsetstat": func(a attrs) reply {
			handle := c.open("file", fxfWrite, attrs{})
			defer c.ok(fxpClose, handle)
			return c.do(fxpFsetstat, handle, a)
		},
		"fsetstat of a file open for reading": func(a attrs) reply {
			handle := c.open("file", fxfRead, attrs{})
			defer c.ok(fxpClose, handle)
			if a.size != nil {
				c.want(fxBadMessage, fxpFsetstat, handle, attrs{size: a.size})
				must(t, os.Truncate(file, int64(*a.size)))
				a.size = nil
			}
			return c.do(fxpFsetstat, handle, a)
		},
		"lsetstat": func(a attrs) reply {
			if a.size != nil {
				c.want(fxBadMessage, fxpExtended, "lsetstat@openssh.com", "file", attrs{size: a.size})
				must(t, os.Truncate(file, int64(*a.size)))
				a.size = nil
			}
			return c.do(fxpExtended, "lsetstat@openssh.com", "file", a)
		},
	}
	for what, set := range ways {
		os.Remove(file)
		os.Remove(filepath.Join(dir, "link"))
		put(t, file, "0123456789")
		must(t, os.Symlink("file", filepath.Join(dir, "link")))
		for _, a := range []attrs{
			{},
			{size: just(uint64(4))},
			{mode: just(uint32(0o100750))}, // with the kind of file, as some clients send it
			{times: &[2]uint32{1_000_000_000, 4_000_000_000}},
			{owner: &[2]uint32{uint32(os.Getuid()), uint32(os.Getgid())}},
			{owner: &[2]uint32{0xffffffff, 0xffffffff}},
			{extra: [][2]string{{"unheard of", "value"}, {"", ""}}},
			{size: just(uint64(6)), mode: just(uint32(0o604)), times: &[2]uint32{5, 6}, extra: [][2]string{{"a", "b"}}},
		} {
			before, err := os.Stat(file)
			must(t, err)
			if r := set(a); r.code() != fxOK {
				t.Fatalf("%s %+v: %+v", what, a, r)
			}
			after, err := os.Stat(file)
			must(t, err)
			size, mode, mtime := before.Size(), before.Mode(), before.ModTime()
			if a.size != nil {
				size, mtime = int64(*a.size), after.ModTime() // writing touches
			}
			if a.mode != nil {
				mode = os.FileMode(*a.mode & 0o777)
			}
			if a.times != nil {
				mtime = time.Unix(int64(a.times[1]), 0)
				if atime := after.Sys().(*syscall.Stat_t).Atim.Sec; atime != int64(a.times[0]) {
					t.Fatalf("%s: last read %d, want %d", what, atime, a.times[0])
				}
			}
			if after.Size() != size || after.Mode() != mode || !after.ModTime().Equal(mtime) {
				t.Fatalf("%s %+v: %d %v %v, want %d %v %v", what, a, after.Size(), after.Mode(), after.ModTime(), size, mode, mtime)
			}
		}
		link, err := os.Lstat(filepath.Join(dir, "link"))
		must(t, err)
		if link.Mode()&os.ModeSymlink == 0 {
			t.Fatalf("%s replaced the link", what)
		}
	}
}

func TestAttributesOfLinksThemselves(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "file"), "x")
	must(t, os.Chmod(filepath.Join(dir, "file"), 0o644))
	must(t, os.Symlink("file", filepath.Join(dir, "link")))
	before, err := os.Stat(filepath.Join(dir, "file"))
	must(t, err)
	c := connect(t, dir)
	c.ok(fxpExtended, "lsetstat@openssh.com", "link", attrs{times: &[2]uint32{7, 8}})
	c.ok(fxpExtended, "lsetstat@openssh.com", "link", attrs{owner: &[2]uint32{uint32(os.Getuid()), uint32(os.Getgid())}})
	// Linux has no permissions of links.
	c.want(fxFailure, fxpExtended, "lsetstat@openssh.com", "link", attrs{mode: just(uint32(0o600))})
	c.want(fxBadMessage, fxpExtended, "lsetstat@openssh.com", "link", attrs{size: just(uint64(0))})
	r := c.ok(fxpLstat, "link")
	if s := r.stat(); s.mode&unix.S_IFMT != unix.S_IFLNK || s.atime != 7 || s.mtime != 8 || s.size != 4 {
		t.Fatalf("%+v", s)
	}
	r = c.ok(fxpStat, "link")
	if s := r.stat(); s.mode != unix.S_IFREG|0o644 || s.size != 1 || int64(s.mtime) != before.ModTime().Unix() {
		t.Fatalf("%+v", s)
	}
	c.want(fxNoSuchFile, fxpExtended, "lsetstat@openssh.com", "missing", attrs{mode: just(uint32(0o600))})
}

// What cannot be set does not keep the rest from being set, and is told.
func TestAttributesSetAsFarAsPossible(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
	c := connect(t, dir)
	c.want(fxFailure, fxpSetstat, "d", attrs{size: just(uint64(1)), mode: just(uint32(0o700)), times: &[2]uint32{1, 2}})
	r := c.ok(fxpStat, "d")
	if s := r.stat(); s.mode != unix.S_IFDIR|0o700 || s.mtime != 2 {
		t.Fatalf("%+v", s)
	}
	c.want(fxNoSuchFile, fxpSetstat, "missing", attrs{mode: just(uint32(0o700)), times: &[2]uint32{1, 2}})
	put(t, filepath.Join(dir, "f"), "kept")
	c.want(fxBadMessage, fxpSetstat, "f", attrs{size: just(uint64(1) << 63)})
	if got := get(t, filepath.Join(dir, "f")); got != "kept" {
		t.Fatalf("%q", got)
	}
}

// New files and directories have the mode that was asked for, less the umask.
func TestModesAndUmask(t *testing.T) {
	t.Parallel()
	for _, mask := range []uint64{0, 0o022, 0o077, 0o027} {
		dir := t.TempDir()
		octal := strconv.FormatUint(mask, 8)
		c := serveIn(t, dir, program(t, "sh", "-c", "umask "+octal+` && exec "$0"`, self(t)))
		c.ok(fxpClose, c.open("plain", fxfWrite|fxfCreat, attrs{}))
		c.ok(fxpClose, c.open("private", fxfWrite|fxfCreat, attrs{mode: just(uint32(0o600))}))
		c.ok(fxpClose, c.open("program", fxfWrite|fxfCreat, attrs{mode: just(uint32(0o100777))}))
		c.ok(fxpClose, c.open("special", fxfWrite|fxfCreat, attrs{mode: just(uint32(0o4755))}))
		c.ok(fxpMkdir, "d", attrs{})
		c.ok(fxpMkdir, "private d", attrs{mode: just(uint32(0o40700))})
		c.ok(fxpMkdir, "sticky d", attrs{mode: just(uint32(0o1777))})
		// What is there keeps its mode.
		c.ok(fxpClose, c.open("private", fxfWrite|fxfCreat, attrs{mode: just(uint32(0o666))}))
		for name, mode := range map[string]uint64{
			"plain": 0o666, "private": 0o600, "program": 0o777, "special": 0o4755,
			"d": 0o777, "private d": 0o700, "sticky d": 0o1777,
		} {
			r := c.ok(fxpLstat, name)
			if got := r.stat().mode & 0o7777; got != mode&^mask {
				t.Errorf("umask %s: %s has mode %#o, want %#o", octal, name, got, mode&^mask)
			}
		}
	}
}
