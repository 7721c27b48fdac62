package sftp_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What clients with a window, and libraries, send for the things people do
// with them, in their order and without waiting where they do not wait.
func TestSequencesOfClients(t *testing.T) {
	t.Parallel()
	old, data := pattern(50_000), pattern(150_000)
	sequences := map[string]func(t *testing.T, dir string, c *client){
		"WinSCP uploads over a file, resuming": func(t *testing.T, dir string, c *client) {
			c.ok(fxpRealpath, ".")
			c.ok(fxpLstat, dir)
			c.list(dir)
			c.want(fxNoSuchFile, fxpLstat, dir+"/new.filepart")
			handle := c.open(dir+"/new.filepart", fxfWrite|fxfCreat|fxfTrunc, attrs{mode: just(uint32(0o644))})
			c.ok(fxpWrite, handle, uint64(0), data[:60_000])
			c.ok(fxpClose, handle)
			// The connection was lost there; from here on it is another.
			r := c.ok(fxpLstat, dir+"/new.filepart")
			size := r.stat().size
			handle = c.open(dir+"/new.filepart", fxfWrite, attrs{})
			c.writeAll(handle, data, int(size))
			c.ok(fxpClose, handle)
			c.want(fxFailure, fxpRename, dir+"/new.filepart", dir+"/new")
			c.ok(fxpRemove, dir+"/new")
			c.ok(fxpRename, dir+"/new.filepart", dir+"/new")
			c.ok(fxpSetstat, dir+"/new", attrs{mode: just(uint32(0o640)), times: &[2]uint32{1_600_000_000, 1_600_000_000}})
			c.list(dir)
		},
		"FileZilla uploads": func(t *testing.T, dir string, c *client) {
			r := c.ok(fxpRealpath, ".")
			home := r.names()[0].name
			c.list(home)
			c.want(fxFailure, fxpMkdir, home, attrs{})
			handle := c.open(home+"/new", fxfWrite|fxfCreat|fxfTrunc, attrs{})
			c.writeAll(handle, data, 0)
			c.ok(fxpClose, handle)
			c.ok(fxpSetstat, home+"/new", attrs{times: &[2]uint32{1_600_000_000, 1_600_000_000}})
			c.ok(fxpSetstat, home+"/new", attrs{mode: just(uint32(0o640))})
		},
		"an editor saves safely": func(t *testing.T, dir string, c *client) {
			r := c.ok(fxpExtended, "expand-path@openssh.com", "~")
			home := r.names()[0].name
			r = c.ok(fxpStat, home+"/new")
			mode := uint32(r.stat().mode)
			if got := c.contents(home + "/new"); got != old {
				t.Fatal("the editor shows something else")
			}
			c.want(fxNoSuchFile, fxpReadlink, home+"/new___jb_tmp___")
			handle := c.open(home+"/new___jb_tmp___", fxfWrite|fxfCreat|fxfTrunc, attrs{mode: just(mode & 0o7777)})
			c.writeAll(handle, data, 0)
			c.ok(fxpExtended, "fsync@openssh.com", handle)
			c.ok(fxpFsetstat, handle, attrs{mode: just(mode)})
			c.ok(fxpClose, handle)
			c.ok(fxpExtended, "posix-rename@openssh.com", home+"/new___jb_tmp___", home+"/new")
			c.ok(fxpSetstat, home+"/new", attrs{mode: just(uint32(0o640)), times: &[2]uint32{1_600_000_000, 1_600_000_000}})
		},
		"sshfs": func(t *testing.T, dir string, c *client) {
			c.ok(fxpStat, ".")
			c.ok(fxpExtended, "statvfs@openssh.com", "./")
			// It asks about what it opens before it knows whether it could.
			c.send(fxpOpen, "./tmp", fxfWrite|fxfCreat|fxfTrunc, attrs{mode: just(uint32(0o600))})
			c.send(fxpLstat, "./tmp")
			opened, found := c.read(), c.read()
			handle := opened.string()
			if s := found.stat(); s.size != 0 || s.mode != unix.S_IFREG|0o600 {
				t.Fatalf("%+v", s)
			}
			c.ok(fxpExtended, "fsync@openssh.com", handle)
			c.writeAll(handle, data+old, 0)
			c.ok(fxpFsetstat, handle, attrs{size: just(uint64(len(data)))})
			c.ok(fxpFstat, handle)
			c.ok(fxpClose, handle)
			c.ok(fxpSymlink, "tmp", "./link")
			c.ok(fxpReadlink, "./link")
			c.ok(fxpRemove, "./link")
			c.ok(fxpExtended, "hardlink@openssh.com", "./tmp", "./hard")
			c.ok(fxpRemove, "./hard")
			c.ok(fxpExtended, "posix-rename@openssh.com", "./tmp", "./new")
			c.ok(fxpSetstat, "./new", attrs{mode: just(uint32(0o100640))})
			c.ok(fxpSetstat, "./new", attrs{times: &[2]uint32{1_600_000_000, 1_600_000_000}})
		},
		"a library in the background, out of order": func(t *testing.T, dir string, c *client) {
			c.ok(fxpStat, "new")
			handle := c.open("new", fxfWrite|fxfCreat|fxfTrunc, attrs{})
			c.ok(fxpFsetstat, handle, attrs{mode: just(uint32(0o640))})
			var ids []uint32
			for at := (len(data) - 1) / 32768 * 32768; at >= 0; at -= 32768 {
				ids = append(ids, c.send(fxpWrite, handle, uint64(at), data[at:min(len(data), at+32768)]))
			}
			c.answers(ids)
			c.ok(fxpFstat, handle)
			c.ok(fxpFsetstat, handle, attrs{times: &[2]uint32{1_600_000_000, 1_600_000_000}})
			c.ok(fxpClose, handle)
		},
		"pipelining to the last": func(t *testing.T, dir string, c *client) {
			handle := c.open("new", fxfWrite|fxfTrunc, attrs{})
			var ids []uint32
			for at := 0; at < len(data); at += 10_000 {
				ids = append(ids, c.send(fxpWrite, handle, uint64(at), data[at:at+10_000]))
			}
			ids = append(ids,
				c.send(fxpFsetstat, handle, attrs{mode: just(uint32(0o640)), times: &[2]uint32{1_600_000_000, 1_600_000_000}}),
				c.send(fxpClose, handle))
			c.answers(ids)
		},
	}
	for what, do := range sequences {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := resolved(t, t.TempDir())
			put(t, filepath.Join(dir, "new"), old)
			c := connect(t, dir)
			do(t, dir, c)
			must(t, c.hangUp())
			info, err := os.Stat(filepath.Join(dir, "new"))
			must(t, err)
			if info.Mode() != 0o640 || info.ModTime().Unix() != 1_600_000_000 || get(t, filepath.Join(dir, "new")) != data {
				t.Errorf("%v %v", info.Mode(), info.ModTime())
			}
			left, err := os.ReadDir(dir)
			must(t, err)
			if len(left) != 1 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// writeAll writes data from an offset on, in chunks whose answers it does not wait for.
func (c *client) writeAll(handle, data string, from int) {
	c.t.Helper()
	var ids []uint32
	for at := from; at < len(data); at += 32768 {
		ids = append(ids, c.send(fxpWrite, handle, uint64(at), data[at:min(len(data), at+32768)]))
	}
	c.answers(ids)
}

// answers reads what comes for requests, all of which have to succeed.
func (c *client) answers(ids []uint32) {
	c.t.Helper()
	for _, id := range ids {
		if r := c.read(); r.id != id || r.code() != fxOK {
			c.t.Fatalf("request %d: %+v", id, r)
		}
	}
}

// What a user may not do is refused, by the kernel, with the code for it.
func TestAnotherUsersFiles(t *testing.T) {
	t.Parallel()
	const nobody = 65534
	dir := resolved(t, t.TempDir())
	mine := filepath.Join(dir, "mine")
	for _, d := range []string{"open", "closed", "open/d"} {
		must(t, os.MkdirAll(filepath.Join(mine, d), 0o755))
	}
	for _, f := range []string{"open/readable", "open/secret", "closed/file"} {
		put(t, filepath.Join(mine, f), f)
	}
	must(t, os.Chmod(filepath.Join(mine, "open/secret"), 0))
	server := program(t, self(t))
	if os.Getuid() == 0 {
		// A copy of this program, where nobody can start it.
		server.Path = filepath.Join(dir, "server")
		program, err := os.ReadFile(self(t))
		must(t, err)
		must(t, os.WriteFile(server.Path, program, 0o755))
		must(t, os.Chmod(filepath.Dir(dir), 0o755))
		server.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, NoSetGroups: true}}
	} else {
		must(t, os.Chmod(filepath.Join(mine, "open"), 0o555))
		t.Cleanup(func() { os.Chmod(filepath.Join(mine, "open"), 0o755) })
	}
	must(t, os.Chmod(filepath.Join(mine, "closed"), 0))
	t.Cleanup(func() { os.Chmod(filepath.Join(mine, "closed"), 0o755) })

	c := serveIn(t, mine, server)
	if got := c.contents("open/readable"); got != "open/readable" {
		t.Fatalf("%q", got)
	}
	if got := slices.Sorted(maps.Keys(c.list("open"))); strings.Join(got, " ") != ". .. d readable secret" {
		t.Fatalf("%q", got)
	}
	refused := func(kind byte, parts ...any) {
		t.Helper()
		c.want(fxPermissionDenied, kind, parts...)
	}
	refused(fxpOpen, "open/secret", fxfRead, attrs{})
	refused(fxpOpen, "open/new", fxfWrite|fxfCreat, attrs{})
	refused(fxpOpen, "closed/file", fxfRead, attrs{})
	refused(fxpOpendir, "closed")
	refused(fxpStat, "closed/file")
	refused(fxpRealpath, "closed/file")
	refused(fxpRemove, "open/readable")
	refused(fxpRmdir, "open/d")
	refused(fxpMkdir, "open/new", attrs{})
	refused(fxpRename, "open/readable", "open/new")
	refused(fxpExtended, "posix-rename@openssh.com", "open/readable", "open/secret")
	refused(fxpSymlink, "readable", "open/new")
	refused(fxpSetstat, "open/secret", attrs{size: just(uint64(0))})
	// Also for an owner who may not give away.
	refused(fxpSetstat, "open/readable", attrs{owner: &[2]uint32{1, 1}})
	refused(fxpExtended, "lsetstat@openssh.com", "open/readable", attrs{owner: &[2]uint32{1, 1}})
	if os.Getuid() == 0 {
		refused(fxpSetstat, "open/readable", attrs{mode: just(uint32(0o777))})
		refused(fxpSetstat, "open/readable", attrs{times: &[2]uint32{1, 1}})
		refused(fxpExtended, "hardlink@openssh.com", "open/readable", "open/new")
	}
	absent(t, filepath.Join(mine, "open/new"))
	must(t, c.hangUp())
}
