package sftp_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/sidecar/sftp"
)

func TestRealpath(t *testing.T) {
	t.Parallel()
	top := resolved(t, t.TempDir())
	home := filepath.Join(top, "home")
	must(t, os.MkdirAll(filepath.Join(home, "a/b"), 0o755))
	put(t, filepath.Join(home, "a/file"), "")
	for link, target := range map[string]string{
		"to a":      "a",
		"to b":      "to a/b",
		"up":        "..",
		"absolute":  filepath.Join(home, "a"),
		"nowhere":   "a/nothing",
		"far":       "no/nothing",
		"round":     "about",
		"about":     "round",
		"slashes":   "a//b/",
		"a/outside": "../../home/to b/..",
		"root":      "/",
	} {
		must(t, os.Symlink(target, filepath.Join(home, link)))
	}
	chain := "a"
	for i := range 41 {
		link := "chain" + strings.Repeat("x", i)
		must(t, os.Symlink(chain, filepath.Join(home, link)))
		chain = link
	}
	c := connect(t, home)
	for path, want := range map[string]string{
		"":                                "home",
		".":                               "home",
		"./":                              "home",
		"./a/../a//b/.":                   "home/a/b",
		"..":                              "",
		"../..///home":                    "/home",
		"a/file":                          "home/a/file",
		"a/file/":                         "home/a/file",
		"new":                             "home/new",
		"a/new":                           "home/a/new",
		"to a":                            "home/a",
		"to a/":                           "home/a",
		"to a/new":                        "home/a/new",
		"to b":                            "home/a/b",
		"to b/..":                         "home/a",
		"up/home/a":                       "home/a",
		"absolute/b":                      "home/a/b",
		"nowhere":                         "home/a/nothing",
		"slashes":                         "home/a/b",
		"a/outside/file":                  "home/a/file",
		"/":                               "/",
		"//":                              "/",
		"/..":                             "/",
		"root":                            "/",
		"root/..":                         "/",
		home + "/to a/b/../file":          "home/a/file",
		"chain" + strings.Repeat("x", 39): "home/a",
	} {
		if !strings.HasPrefix(want, "/") {
			want = filepath.Join(top, want)
		} else if want == "/home" {
			want = filepath.Join(filepath.Dir(top), "home")
		}
		r := c.ok(fxpRealpath, path)
		names := r.names()
		if len(names) != 1 || names[0].name != want || names[0].long != want || names[0].stat != (stat{}) {
			t.Errorf("%q is %+v, want %q", path, names, want)
		}
	}
	for path, code := range map[string]int{
		"new/":                            fxNoSuchFile,
		"new/deeper":                      fxNoSuchFile,
		"new/..":                          fxNoSuchFile,
		"nowhere/x":                       fxNoSuchFile,
		"far":                             fxNoSuchFile,
		"a/file/x":                        fxNoSuchFile,
		"round":                           fxNoSuchFile,
		"chain" + strings.Repeat("x", 40): fxNoSuchFile,
		strings.Repeat("x", 300):          fxBadMessage,
		strings.Repeat("x/", 3000):        fxBadMessage,
		strings.Repeat("./", 2040) + home: fxBadMessage,
	} {
		c.want(code, fxpRealpath, path)
	}
}

func TestExpandPath(t *testing.T) {
	t.Parallel()
	home := resolved(t, t.TempDir())
	must(t, os.Mkdir(filepath.Join(home, "d"), 0o755))
	must(t, os.Symlink("d", filepath.Join(home, "~")))
	c := connect(t, home)
	for path, want := range map[string]string{
		"":        home,
		".":       home,
		"d":       home + "/d",
		"~":       home,
		"~/":      home,
		"~/d/.":   home + "/d",
		"~/new":   home + "/new",
		"./~":     home + "/d",
		"/":       "/",
		"~root":   rootsHome(t),
		"~root/":  rootsHome(t),
		"~root/x": filepath.Join(rootsHome(t), "x"),
	} {
		r := c.do(fxpExtended, "expand-path@openssh.com", path)
		if r.code() == fxPermissionDenied && strings.HasPrefix(path, "~root/x") {
			continue // nobody else may look there
		}
		if r.kind != fxpName {
			t.Errorf("%q: %+v", path, r)
		} else if names := r.names(); names[0].name != want {
			t.Errorf("%q is %+v, want %q", path, names, want)
		}
	}
	c.want(fxNoSuchFile, fxpExtended, "expand-path@openssh.com", "~nobody who exists/x")
	c.want(fxNoSuchFile, fxpExtended, "expand-path@openssh.com", "~/no/x")

	r := c.ok(fxpExtended, "home-directory", "")
	if got := r.names()[0].name; got != home {
		t.Errorf("home is %q", got)
	}
	r = c.ok(fxpExtended, "home-directory", "root")
	if got := r.names()[0].name; got != rootsHome(t) {
		t.Errorf("root's home is %q", got)
	}
	c.want(fxFailure, fxpExtended, "home-directory", "nobody who exists")
}

// rootsHome is what this machine says it is.
func rootsHome(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(get(t, "/etc/passwd")) {
		if columns := strings.Split(line, ":"); columns[0] == "root" {
			return columns[5]
		}
	}
	t.Fatal("/etc/passwd has no root")
	return ""
}

func TestRenaming(t *testing.T) {
	t.Parallel()
	for _, way := range []struct {
		name     string
		replaces bool
		rename   func(c *client, from, to string) reply
	}{
		{"rename", false, func(c *client, from, to string) reply { return c.do(fxpRename, from, to) }},
		{"posix-rename", true, func(c *client, from, to string) reply {
			return c.do(fxpExtended, "posix-rename@openssh.com", from, to)
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			in := func(name string) string { return filepath.Join(dir, name) }
			must(t, os.Mkdir(in("d"), 0o755))
			must(t, os.Mkdir(in("full"), 0o755))
			put(t, in("full/x"), "")
			c := connect(t, dir)
			want := func(code int, from, to string) {
				t.Helper()
				if r := way.rename(c, from, to); r.code() != code {
					t.Fatalf("%s to %s: code %d, want %d", from, to, r.code(), code)
				}
			}
			put(t, in("a"), "a")
			want(fxOK, "a", "d/b")
			want(fxNoSuchFile, "a", "c")
			want(fxNoSuchFile, "d/b", "no/b")
			put(t, in("a"), "a")
			if way.replaces {
				want(fxOK, "d/b", "a")
				absent(t, in("d/b"))
			} else {
				want(fxFailure, "d/b", "a")
				want(fxFailure, "a", "a")
				must(t, os.Symlink("nowhere", in("dangling")))
				want(fxFailure, "a", "dangling")
				want(fxFailure, "dangling", "a")
				want(fxFailure, "d", "full")
				if get(t, in("d/b")) != "a" {
					t.Fatal("what was not renamed has changed")
				}
			}
			if get(t, in("a")) != "a" {
				t.Fatal("what was there is gone")
			}
			want(fxOK, "full", "renamed")
			want(fxBadMessage, "renamed", "renamed/below")
			if get(t, in("renamed/x")) != "" {
				t.Fatal("a directory lost what was in it")
			}
		})
	}
}

// Targets are taken as they are; OpenSSH's order of arguments, not the draft's.
func TestLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := connect(t, dir)
	for _, target := range []string{"file", "../up/and//away/.", "/absolute", strings.Repeat("x/", 2000)} {
		c.ok(fxpSymlink, target, "link")
		if got, err := os.Readlink(filepath.Join(dir, "link")); err != nil || got != target {
			t.Fatalf("a link to %q leads to %q (%v)", target, got, err)
		}
		r := c.ok(fxpReadlink, "link")
		if got := r.names()[0]; got.name != target || got.long != target {
			t.Fatalf("a link to %q is said to lead to %+v", target, got)
		}
		c.want(fxFailure, fxpSymlink, target, "link")
		c.ok(fxpRemove, "link")
	}
	c.want(fxNoSuchFile, fxpSymlink, "", "link")
	c.want(fxNoSuchFile, fxpReadlink, "link")
	put(t, filepath.Join(dir, "file"), "x")
	c.want(fxBadMessage, fxpReadlink, "file")

	c.ok(fxpExtended, "hardlink@openssh.com", "file", "same")
	c.want(fxFailure, fxpExtended, "hardlink@openssh.com", "file", "same")
	c.want(fxNoSuchFile, fxpExtended, "hardlink@openssh.com", "missing", "other")
	c.want(fxPermissionDenied, fxpExtended, "hardlink@openssh.com", ".", "other")
	put(t, filepath.Join(dir, "file"), "changed")
	if got := get(t, filepath.Join(dir, "same")); got != "changed" {
		t.Fatalf("%q", got)
	}
}

// Relative paths begin in the directory itself, not under a name that may be
// given to another.
func TestStart(t *testing.T) {
	t.Parallel()
	top := resolved(t, t.TempDir())
	home := filepath.Join(top, "home")
	must(t, os.Mkdir(home, 0o755))
	must(t, os.Symlink("home", filepath.Join(top, "link")))
	c := connect(t, filepath.Join(top, "link", ".."+"/link"))
	r := c.ok(fxpRealpath, ".")
	if got := r.names()[0].name; got != home {
		t.Fatalf("starts in %q, want %q", got, home)
	}
	c.ok(fxpClose, c.open("file", fxfWrite|fxfCreat, attrs{}))
	must(t, os.Rename(home, filepath.Join(top, "elsewhere")))
	c.ok(fxpStat, "file")
	must(t, c.hangUp())

	for _, start := range []string{filepath.Join(top, "no such directory"), filepath.Join(top, "elsewhere/file")} {
		err := sftp.Serve(strings.NewReader(""), nil, sftp.Options{Start: start})
		if err == nil || !strings.Contains(err.Error(), start) {
			t.Errorf("starting in %s: %v", start, err)
		}
	}
}
