package scp

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/filelog"
)

// farSide makes this test binary the scp of the far side.
const farSide = "SCP_FAR_SIDE"

func TestMain(m *testing.M) {
	if os.Getenv(farSide) != "" {
		os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, nil))
	}
	os.Exit(m.Run())
}

// world is two folders, and a way to run the real client between them.
type world struct {
	t         *testing.T
	near, far string
	shell     string
}

func newWorld(t *testing.T) world {
	t.Helper()
	if _, err := exec.LookPath("scp"); err != nil {
		t.Fatal("scp is not installed: apt-get install openssh-client")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := world{t: t, near: t.TempDir(), far: t.TempDir()}
	programs := t.TempDir()
	if err := os.Symlink(self, filepath.Join(programs, "scp")); err != nil {
		t.Fatal(err)
	}
	// What ssh does: the words after the host's name are one line for a shell.
	w.shell = filepath.Join(programs, "shell")
	script := "#!/bin/sh\nwhile [ \"$1\" != host ]; do shift; done; shift; [ \"$1\" != -- ] || shift\n" +
		"cd '" + w.far + "' && " + farSide + "=1 PATH='" + programs + "':$PATH exec sh -c \"$*\"\n"
	if err := os.WriteFile(w.shell, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return w
}

// copy runs the client in the near folder.
func (w world) copy(arguments ...string) (output string, ok bool) {
	w.t.Helper()
	command := exec.Command("scp", append([]string{"-O", "-S", w.shell}, arguments...)...)
	command.Dir = w.near
	out, err := command.CombinedOutput()
	return string(out), err == nil
}

func (w world) mustCopy(arguments ...string) {
	w.t.Helper()
	if out, ok := w.copy(arguments...); !ok {
		w.t.Fatalf("scp %s: %s", strings.Join(arguments, " "), out)
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// tree is what is in a folder: modes, sizes and contents by path.
func tree(t *testing.T, folder string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.Walk(folder, func(path string, info os.FileInfo, err error) error {
		if err != nil || path == folder {
			return err
		}
		name, _ := filepath.Rel(folder, path)
		text := []byte(nil)
		if info.Mode().IsRegular() {
			text, err = os.ReadFile(path)
		}
		fmt.Fprintf(&all, "%s %q %x\n", info.Mode(), name, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func TestTreesBothWays(t *testing.T) {
	for _, upload := range []bool{true, false} {
		t.Run(fmt.Sprintf("upload %t", upload), func(t *testing.T) {
			w := newWorld(t)
			from, to, arguments := w.near, w.far, []string{"-rp", "d", "host:there"}
			if !upload {
				from, to, arguments = w.far, w.near, []string{"-rp", "host:d", "there"}
			}
			write(t, from+"/d/a", "first\n", 0o644)
			write(t, from+"/d/empty", "", 0o640)
			write(t, from+"/d/e/with space ü -x", strings.Repeat("0123456789", 100_000), 0o755)
			write(t, from+"/d/e/-rf", "dash", 0o600)
			if err := os.MkdirAll(from+"/d/none", 0o750); err != nil {
				t.Fatal(err)
			}
			then := time.Unix(1_000_000_000, 0)
			if err := os.Chtimes(from+"/d/a", then, then); err != nil {
				t.Fatal(err)
			}
			w.mustCopy(arguments...)
			if got, want := tree(t, to+"/there"), tree(t, from+"/d"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if info, err := os.Stat(to + "/there/a"); err != nil || !info.ModTime().Equal(then) {
				t.Errorf("the time is %v, want %v (%v)", info.ModTime(), then, err)
			}
			// Again, into what is there, with less in one of them.
			write(t, from+"/d/a", "1", 0o644)
			if upload {
				w.mustCopy("d/a", "host:there/a")
			} else {
				w.mustCopy("host:d/a", "there")
			}
			if text, err := os.ReadFile(to + "/there/a"); string(text) != "1" {
				t.Errorf("a shorter file leaves %q behind (%v)", text, err)
			}
		})
	}
}

func TestSeveralFiles(t *testing.T) {
	w := newWorld(t)
	write(t, w.near+"/a", "a", 0o644)
	write(t, w.near+"/b", "b", 0o644)
	if err := os.Mkdir(w.far+"/in", 0o755); err != nil {
		t.Fatal(err)
	}
	w.mustCopy("a", "b", "host:in")
	w.mustCopy("host:in/*", ".")
	if out, ok := w.copy("a", "b", "host:in/a"); ok || !strings.Contains(out, "not a directory") {
		t.Errorf("two files into one: %t %q", ok, out)
	}
}

// One file's trouble is told; the others arrive.
func TestTroubleWithOne(t *testing.T) {
	w := newWorld(t)
	write(t, w.far+"/a", "a", 0o644)
	write(t, w.far+"/c", "c", 0o644)
	out, ok := w.copy("host:a", "host:absent", "host:c", ".")
	if ok || !strings.Contains(out, "scp: absent: no such file or directory") {
		t.Errorf("%t %q", ok, out)
	}
	if got := tree(t, w.near); strings.Count(got, "\n") != 2 {
		t.Errorf("the others did not arrive:\n%s", got)
	}
	for _, c := range []struct{ arguments, says string }{
		{"host:. x", "not a regular file"},
		{"a host:absent/x", "no such file or directory"},
		{"host:/dev/null x", "not a regular file"},
	} {
		if out, ok := w.copy(strings.Fields(c.arguments)...); ok || !strings.Contains(out, c.says) {
			t.Errorf("scp %s: %t, %q; want %q", c.arguments, ok, out, c.says)
		}
	}
	write(t, w.far+"/d/line\nbreak", "x", 0o644)
	write(t, w.far+"/d/other", "x", 0o644)
	if out, ok := w.copy("-r", "host:d", "."); ok || !strings.Contains(out, "line break") {
		t.Errorf("%t %q", ok, out)
	}
	if _, err := os.Stat(w.near + "/d/other"); err != nil {
		t.Error(err)
	}
}

// What is more than the disk has room for is told, and the next file arrives.
func TestDiskFull(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Fatal(err)
	}
	var out, log bytes.Buffer
	in := strings.NewReader("C0644 5 x\n12345\x00")
	if code := Main([]string{"-t", "/dev/full"}, in, &out, &log, nil); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(out.String(), "no space left on device") {
		t.Errorf("the client hears %q", out.String())
	}
}

func TestHostile30Names(t *testing.T) {
	for _, line := range []string{
		"C0644 1 ../x\n", "C0644 1 ..\n", "C0644 1 .\n", "C0644 1 \n", "C0644 1 a/b\n", "C0644 1 /etc/x\n",
		"C0644 1 a\x1b[2Jb\n", "C0644 1 a\rb\n", "C0644 1 a\x00b\n", "C0644 1 a\u009bb\n", "C0644 1 " + strings.Repeat("x", 256) + "\n",
		"C0644 99999999999999999999 x\n", "C0644 -1 x\n", "C0644 +1 x\n", "C644 1 x\n", "C9999 1 x\n", "C00644 1 x\n", "C0644 x\n", "C0644\n", "C\n",
		"D0755 0 x\n", "E\n", "T1 2 3\n", "T1 2 3 x\n", "T-1 0 0 0\n", "T1 1000000 1 0\n", "T99999999999 0 0 0\n",
		"X\n", "\n", "C0644 1 " + strings.Repeat("x", longestLine) + "\n",
	} {
		var out, log bytes.Buffer
		around := t.TempDir()
		folder := filepath.Join(around, "in")
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if code := Main([]string{"-t", folder}, strings.NewReader(line+"x\x00"), &out, &log, nil); code != 1 {
			t.Errorf("%.40q: exit code %d", line, code)
		}
		if got := tree(t, around); strings.Count(got, "\n") != 1 {
			t.Errorf("%.40q left\n%s", line, got)
		}
		if strings.ContainsAny(log.String()+strings.TrimLeft(out.String(), "\x00\x01"), "\x1b\x00\r") {
			t.Errorf("%.40q: control characters come back: %q %q", line, log.String(), out.String())
		}
	}
}

// A size that is not sent leaves what came, and no success.
func TestCutShort(t *testing.T) {
	for _, sent := range []string{"C0644 10 x\n12345", "C0644 9000000000000000000 x\n12345", "D0755 0 d\n", "D0755 0 d\nC0644 1 x\nx"} {
		var out, log bytes.Buffer
		if code := Main([]string{"-rt", t.TempDir()}, strings.NewReader(sent), &out, &log, nil); code != 1 {
			t.Errorf("%q: exit code %d", sent, code)
		}
	}
}

// Each file is told of, and whether all of it went over.
func TestFilesAreTold(t *testing.T) {
	folder := t.TempDir()
	write(t, folder+"/there", "12345", 0o644)
	for _, c := range []struct {
		args []string
		sent string
		want []filelog.Event
	}{
		{[]string{"-t", folder}, "C0644 3 x\n123\x00C0644 0 y\n\x00", []filelog.Event{
			{Operation: filelog.Transfer, Path: folder + "/x", Written: 3}, {Operation: filelog.Transfer, Path: folder + "/y"},
		}},
		{[]string{"-t", folder + "/x"}, "C0644 9 z\n123", []filelog.Event{{Operation: filelog.Transfer, Path: folder + "/x", Written: 3, Cut: true}}},
		{[]string{"-t", "/dev/full"}, "C0644 3 z\n123\x00", []filelog.Event{{Operation: filelog.Transfer, Path: "/dev/full", Cut: true}}},
		{[]string{"-t", folder}, "C0644 3 ../z\n123\x00", nil},
		{[]string{"-f", folder + "/there", folder + "/absent"}, "\x00\x00\x00\x00", []filelog.Event{{Operation: filelog.Transfer, Path: folder + "/there", Read: 5}}},
		{[]string{"-f", folder + "/there"}, "\x00\x01no\n", nil},
	} {
		var got []filelog.Event
		Main(c.args, strings.NewReader(c.sent), &bytes.Buffer{}, &bytes.Buffer{}, func(e filelog.Event) { got = append(got, e) })
		if !slices.Equal(got, c.want) {
			t.Errorf("%v told %+v, want %+v", c.args, got, c.want)
		}
	}
}

func TestArguments(t *testing.T) {
	for _, c := range []struct {
		arguments string
		ok        bool
	}{
		{"-t x", true}, {"-f x y", true}, {"-v -r -p -d -t -- x", true}, {"-rpdt x", true}, {"-f -- -x", true},
		{"", false}, {"x host:y", false}, {"-t", false}, {"-t x y", false}, {"-f", false}, {"-t -f x", false}, {"-tX x", false},
	} {
		if _, err := parse(strings.Fields(c.arguments)); (err == nil) != c.ok {
			t.Errorf("%q: %v", c.arguments, err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	for _, seed := range []string{"0644 1 x", "0755 0 ..", "0644 -1 x", "0644 1 a/b", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r, err := parseRecord(false, line)
		if err != nil {
			return
		}
		if r.size < 0 || r.mode > 0o7777 || filepath.Join("/a", r.name) != "/a/"+r.name || filepath.Dir(filepath.Join("/a", r.name)) != "/a" {
			t.Errorf("%q is %+v", line, r)
		}
	})
}

// Whatever a client sends, nothing is made outside of the target.
func FuzzSink(f *testing.F) {
	for _, seed := range []string{
		"C0644 1 x\nx\x00", "D0755 0 d\nC0644 1 x\nx\x00E\n", "T1 0 1 0\nC0644 0 x\n\x00", "\x01no such file\n", "\x02gone\n", "D0000 0 d\nE\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		around := t.TempDir()
		folder := filepath.Join(around, "in")
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		Main([]string{"-rpt", folder}, bytes.NewReader(sent), &bytes.Buffer{}, &bytes.Buffer{}, nil)
		if entries, err := os.ReadDir(around); err != nil || len(entries) != 1 {
			t.Errorf("%q made something beside its target: %v %v", sent, entries, err)
		}
		// So that the folder can be removed again.
		_ = filepath.WalkDir(folder, func(path string, entry os.DirEntry, _ error) error {
			if entry != nil && entry.IsDir() {
				return os.Chmod(path, 0o700)
			}
			return nil
		})
	})
}

// Whatever a client answers, sending ends.
func FuzzSource(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x00\x01no\n\x00"))
	f.Add([]byte("\x00\x02no\n"))
	f.Fuzz(func(t *testing.T, answers []byte) {
		folder := t.TempDir()
		write(t, folder+"/d/x", "text", 0o644)
		Main([]string{"-rpf", folder + "/d", folder + "/absent"}, bytes.NewReader(answers), &bytes.Buffer{}, &bytes.Buffer{}, nil)
	})
}
