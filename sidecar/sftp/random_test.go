package sftp_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// step is one random request, as a client thinks of it: files that are open
// have the numbers of slots.
type step struct {
	kind           byte
	extension      string
	path, to       string
	slot, other    int
	flags          int
	a              attrs
	offset, length uint64
	data           string
}

const slots = 4

// Paths among which something happens; most name nothing at first.
var someNames = []string{
	"a", "b", "d", "d/a", "d/b", "d/e", "e", "l", "d/l", "a/x", ".", "..", "", "d/", "a/", "d/..", "./d/./a",
	"../up", "l/a", strings.Repeat("n", 256), "l/.",
}

func randomStep(r *rand.Rand) step {
	pick := func() string { return someNames[r.IntN(len(someNames))] }
	kinds := []byte{
		fxpOpen, fxpOpen, fxpOpen, fxpClose, fxpRead, fxpWrite, fxpWrite, fxpLstat, fxpFstat, fxpSetstat, fxpFsetstat,
		fxpOpendir, fxpRemove, fxpMkdir, fxpMkdir, fxpRmdir, fxpRealpath, fxpStat, fxpRename, fxpReadlink, fxpSymlink,
		fxpExtended, fxpExtended,
	}
	extensions := []string{
		"posix-rename@openssh.com", "hardlink@openssh.com", "fsync@openssh.com", "lsetstat@openssh.com",
		"expand-path@openssh.com", "copy-data", "statvfs@openssh.com", "fstatvfs@openssh.com", "unknown@example.com",
	}
	s := step{
		kind: kinds[r.IntN(len(kinds))], path: pick(), to: pick(), slot: r.IntN(slots), other: r.IntN(slots),
		flags: r.IntN(0x40), offset: uint64(r.IntN(200)), length: uint64(1 + r.IntN(200)),
		data: strings.Repeat(string(rune('a'+r.IntN(26))), r.IntN(100)),
	}
	for s.kind == fxpSymlink && strings.Contains(s.path, "..") {
		s.path = pick() // links upwards would in turn lead out of the test's directory
	}
	if s.kind == fxpExtended {
		s.extension = extensions[r.IntN(len(extensions))]
		s.length = uint64(r.IntN(200))
	}
	if r.IntN(3) == 0 {
		s.a.size = just(uint64(r.IntN(300)))
	}
	if r.IntN(3) == 0 {
		// The owner's rights stay, so that the rest of the sequence has something to do.
		s.a.mode = just(0o700 | uint32(r.IntN(0o100)))
	}
	if r.IntN(3) == 0 {
		s.a.times = &[2]uint32{r.Uint32N(2_000_000_000), r.Uint32N(2_000_000_000)}
	}
	if r.IntN(6) == 0 {
		s.a.owner = &[2]uint32{uint32(os.Getuid()), uint32(os.Getgid())}
	}
	return s
}

// parts are what the request consists of behind its id.
func (s step) parts(handles []string) []any {
	slot, other := handles[s.slot], handles[s.other]
	switch s.kind {
	case fxpOpen:
		return []any{s.path, s.flags, s.a}
	case fxpClose, fxpFstat:
		return []any{slot}
	case fxpRead:
		return []any{slot, s.offset, int(s.length)}
	case fxpWrite:
		return []any{slot, s.offset, s.data}
	case fxpSetstat, fxpMkdir:
		return []any{s.path, s.a}
	case fxpFsetstat:
		return []any{slot, s.a}
	case fxpRename, fxpSymlink:
		return []any{s.path, s.to}
	case fxpExtended:
		switch s.extension {
		case "posix-rename@openssh.com", "hardlink@openssh.com":
			return []any{s.extension, s.path, s.to}
		case "fsync@openssh.com", "fstatvfs@openssh.com":
			return []any{s.extension, slot}
		case "lsetstat@openssh.com":
			return []any{s.extension, s.path, s.a}
		case "copy-data":
			return []any{s.extension, slot, s.offset, s.length, other, uint64(s.flags)}
		}
		return []any{s.extension, s.path}
	}
	return []any{s.path}
}

// walker takes steps in one directory and says what came of each, in words
// that are the same whoever the server is and wherever the directory.
type walker struct {
	c       *client
	dir     string
	handles []string
}

func newWalker(c *client, dir string) *walker {
	return &walker{c, dir, slices.Repeat([]string{"\xff\xff\xff\xfe"}, slots)}
}

func (w *walker) take(s step) string {
	w.c.t.Helper()
	if s.kind == fxpOpen && w.handles[s.slot] != "\xff\xff\xff\xfe" {
		w.c.do(fxpClose, w.handles[s.slot])
		w.handles[s.slot] = "\xff\xff\xff\xfe"
	}
	r := w.c.do(s.kind, s.parts(w.handles)...)
	if s.kind == fxpClose {
		w.handles[s.slot] = "\xff\xff\xff\xfe"
	}
	switch r.kind {
	case fxpStatus:
		if s.extension == "copy-data" && (r.code() != fxOK || s.length > 0) {
			return "" // what is a failure, and which, depends on the version of OpenSSH
		}
		if s.kind == fxpRename && r.code() != fxOK {
			return "not renamed" // of several things that are wrong, each may come first
		}
		return fmt.Sprintf("code %d", r.code())
	case fxpHandle:
		handle := r.string()
		if s.kind == fxpOpen {
			w.handles[s.slot] = handle
			return "opened"
		}
		defer w.c.do(fxpClose, handle)
		return w.entries(handle)
	case fxpData:
		return fmt.Sprintf("data %q", r.string())
	case fxpAttrs:
		return "attributes " + seen(r.stat())
	case fxpName:
		names := r.names()
		return fmt.Sprintf("path %q", strings.ReplaceAll(names[0].name, w.dir, "HERE"))
	}
	return fmt.Sprintf("kind %d", r.kind)
}

// seen is what must be the same of two files that had the same done to them:
// not the times, and not the sizes of directories.
func seen(s stat) string {
	if s.mode&unix.S_IFMT == unix.S_IFDIR {
		s.size = 0
	}
	return fmt.Sprintf("%o %d %d %d", s.mode, s.uid, s.gid, s.size)
}

func (w *walker) entries(handle string) string {
	var all []string
	for {
		r := w.c.do(fxpReaddir, handle)
		if r.kind != fxpName {
			slices.Sort(all)
			return fmt.Sprintf("entries %q, then code %d", all, r.code())
		}
		for _, n := range r.names() {
			if n.name != "." && n.name != ".." {
				all = append(all, n.name+" "+seen(n.stat))
			}
		}
	}
}

// tree is all that is below dir, one line each.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		var what []byte
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			what, err = os.ReadFile(path)
		case unix.S_IFLNK:
			var target string
			target, err = os.Readlink(path)
			what = []byte(target)
		}
		fmt.Fprintf(&out, "%s %o %d %q\n", path[len(dir):], st.Mode, st.Nlink, bytes.ReplaceAll(what, []byte(dir), []byte("HERE")))
		return err
	})
	must(t, err)
	return out.String()
}

// leadsNowhere says that path is a symbolic link to what does not exist.
func leadsNowhere(path string) bool {
	_, err := os.Stat(path)
	_, itself := os.Lstat(path)
	return err != nil && itself == nil
}

// peer is OpenSSH's server, where Debian and its kin put it.
const peer = "/usr/lib/openssh/sftp-server"

// Random sequences of requests have the same answers and the same effects
// here as with OpenSSH's server.
func TestRandomRequestsBesideOpenSSH(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(peer); err != nil {
		t.Fatalf("the server to compare with: %v: install the package openssh-sftp-server", err)
	}
	const sequences, length = 150, 150
	for seed := range uint64(sequences) {
		r := rand.New(rand.NewPCG(seed, 3))
		top := resolved(t, t.TempDir())
		home, theirHome := filepath.Join(top, "ours/home"), filepath.Join(top, "theirs/home")
		must(t, os.MkdirAll(home, 0o755))
		must(t, os.MkdirAll(theirHome, 0o755))
		us := newWalker(connect(t, home), filepath.Dir(home))
		them := newWalker(serveIn(t, theirHome, exec.CommandContext(t.Context(), peer)), filepath.Dir(theirHome))
		var history []string
		for range length {
			s := randomStep(r)
			if s.kind == fxpRename && leadsNowhere(filepath.Join(home, s.to)) {
				continue // OpenSSH's server replaces such a link, as nothing should be replaced
			}
			ours, theirs := us.take(s), them.take(s)
			history = append(history, fmt.Sprintf("%d %s %q %q slots %d %d, %#x %x at %d+%d: %s", s.kind, s.extension,
				s.path, s.to, s.slot, s.other, s.flags, s.a.append(nil), s.offset, s.length, ours))
			if ours != theirs {
				t.Fatalf("seed %d:\n%s\nOpenSSH: %s\nhere:\n%sthere:\n%s",
					seed, strings.Join(history, "\n"), theirs, tree(t, us.dir), tree(t, them.dir))
			}
		}
		must(t, us.c.hangUp())
		must(t, them.c.hangUp())
		if ours, theirs := tree(t, us.dir), tree(t, them.dir); ours != theirs {
			t.Fatalf("seed %d left\n%s\nwith OpenSSH\n%s", seed, ours, theirs)
		}
	}
}
