package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// made is one entry of a tarball in these tests.
type made struct {
	name, text, link string
	kind             byte
	mode             int64
}

// program is the head of a program for this machine, which is all that is read of it.
func program() string {
	head := make([]byte, 64)
	copy(head, "\x7fELF\x02\x01\x01")
	head[16], head[18], head[20] = 2, map[string]byte{"amd64": 62, "arm64": 183}[runtime.GOARCH], 1
	head[52], head[54], head[58] = 64, 56, 64
	return string(head)
}

// whole are the entries of a small release.
func whole() []made {
	return []made{
		{name: "code-server/", kind: tar.TypeDir, mode: 0o755},
		{name: "code-server/package.json", text: `{"name":"code-server","version":"1.2.3"}`},
		{name: "code-server/lib/node", text: program(), mode: 0o755},
		{name: "code-server/out/node/entry.js", text: "start()"},
		{name: "code-server/bin/", kind: tar.TypeDir},
		{name: "code-server/bin/link", kind: tar.TypeSymlink, link: "../lib/node"},
		{name: "code-server/bin/a name with \"quotes\"\n", text: ""},
		{name: "code-server/setuid", text: "x", mode: 0o6755},
		{name: "code-server/bin/again", kind: tar.TypeLink, link: "code-server/setuid"},
	}
}

// pack is the tarball of entries, and its checksum.
func pack(t testing.TB, entries []made) (tarball []byte, checksum string) {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zipped)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: e.mode, Size: int64(len(e.text))}
		if e.kind == 0 {
			header.Typeflag = tar.TypeReg
		}
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(archive.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes(), sumOf(packed.Bytes())
}

func sumOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func TestInstall(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	tarball, checksum := pack(t, whole())
	for range 2 { // what is there is not unpacked again
		m, err := Install(volume, bytes.NewReader(tarball), checksum, runtime.GOARCH)
		if err != nil || m.Version != "1.2.3" || m.Tarball != checksum {
			t.Fatalf("%+v, %v", m, err)
		}
		tarball = nil
	}
	installed, err := Verified(volume, checksum, runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(installed.Folder, "bin/link")); err != nil || string(text) != program() {
		t.Errorf("the link leads to %d bytes, %v", len(text), err)
	}
	if info, err := os.Stat(installed.Node()); err != nil || info.Mode() != 0o755 {
		t.Errorf("its program is %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(filepath.Join(installed.Folder, "setuid")); err != nil || info.Mode() != 0o755 {
		t.Errorf("what was setuid is %v, %v", info.Mode(), err)
	}
	if text, err := os.ReadFile(filepath.Join(installed.Folder, "bin/again")); err != nil || string(text) != "x" {
		t.Errorf("the other name of a file has %q, %v", text, err)
	}
	// Another one takes its place, and the one that may be running stays.
	other, otherSum := pack(t, append(whole(), made{name: "code-server/more", text: "y"}))
	if _, err := Install(volume, bytes.NewReader(other), otherSum, runtime.GOARCH); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(installed.Node()); err != nil {
		t.Errorf("the release before is gone: %v", err)
	}
	if _, err := Verified(volume, checksum, runtime.GOARCH); err == nil || !strings.Contains(err.Error(), "is configured") {
		t.Errorf("the release before is still taken: %v", err)
	}
	if i, err := Verified(volume, "", runtime.GOARCH); err != nil || i.Tarball != otherSum {
		t.Errorf("the current one is %s, %v", i.Tarball, err)
	}
}

func TestTarballsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		entries []made
		says    string
	}{
		"a path above":        {append(whole(), made{name: "code-server/../../x", text: "x"}), "where none belongs"},
		"an absolute path":    {append(whole(), made{name: "/etc/passwd", text: "x"}), "where none belongs"},
		"beside the folder":   {append(whole(), made{name: "other/x", text: "x"}), "where none belongs"},
		"instead of it":       {[]made{{name: "code-server", text: "x"}}, "beside its folder"},
		"a link that leads":   {append(whole(), made{name: "code-server/l", kind: tar.TypeSymlink, link: "../../x"}), "leads out"},
		"an absolute link":    {append(whole(), made{name: "code-server/l", kind: tar.TypeSymlink, link: "/etc"}), "leads out"},
		"through a link":      {append(whole(), made{name: "code-server/l", kind: tar.TypeSymlink, link: "bin"}, made{name: "code-server/l/x", text: "x"}), "below what is no folder"},
		"a name of nothing":   {append(whole(), made{name: "code-server/l", kind: tar.TypeLink, link: "code-server/absent"}), "that it does not have"},
		"a name of a link":    {append(whole(), made{name: "code-server/l", kind: tar.TypeLink, link: "code-server/bin/link"}), "that it does not have"},
		"a name from outside": {append(whole(), made{name: "code-server/l", kind: tar.TypeLink, link: "/etc/passwd"}), "that it does not have"},
		"a device":            {append(whole(), made{name: "code-server/null", kind: tar.TypeChar}), "of a kind"},
		"a pipe":              {append(whole(), made{name: "code-server/pipe", kind: tar.TypeFifo}), "of a kind"},
		"twice":               {append(whole(), made{name: "code-server/setuid", text: "y"}), "twice"},
		"no program":          {slices.DeleteFunc(whole(), func(e made) bool { return strings.HasSuffix(e.name, "node") }), "it has no lib/node"},
		"a program of nobody": {append(slices.DeleteFunc(whole(), func(e made) bool { return strings.HasSuffix(e.name, "node") }), made{name: "code-server/lib/node", text: "#!/bin/sh"}), "is no program"},
		"no version":          {slices.DeleteFunc(whole(), func(e made) bool { return strings.HasSuffix(e.name, ".json") }), "no release"},
		"a version of lines":  {append(slices.DeleteFunc(whole(), func(e made) bool { return strings.HasSuffix(e.name, ".json") }), made{name: "code-server/package.json", text: `{"version":"1\n2"}`}), "gives no version"},
	} {
		volume := t.TempDir()
		tarball, checksum := pack(t, c.entries)
		_, err := Install(volume, bytes.NewReader(tarball), checksum, runtime.GOARCH)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		if left, _ := os.ReadDir(volume); len(left) != 0 {
			t.Errorf("%s leaves %v", name, left)
		}
		if _, err := Verified(volume, "", runtime.GOARCH); !errors.Is(err, ErrAbsent) {
			t.Errorf("%s: the volume holds something: %v", name, err)
		}
	}
}

func TestTarballsThatAreAnother(t *testing.T) {
	t.Parallel()
	tarball, checksum := pack(t, whole())
	changed := slices.Clone(tarball)
	changed[len(changed)/2] ^= 1
	for name, c := range map[string]struct {
		tarball                   []byte
		checksum, processor, says string
	}{
		"a bit":             {changed, checksum, runtime.GOARCH, "is damaged or another one"},
		"its end":           {tarball[:len(tarball)-100], checksum, runtime.GOARCH, "is damaged or another one"},
		"nothing":           {nil, checksum, runtime.GOARCH, "is damaged or another one"},
		"something after":   {append(slices.Clone(tarball), 'x'), checksum, runtime.GOARCH, "is damaged or another one"},
		"no gzip file":      {[]byte("<html>"), sumOf([]byte("<html>")), runtime.GOARCH, "no gzip file"},
		"another processor": {tarball, checksum, "riscv64", "this engine runs riscv64"},
		"no checksum":       {tarball, "SHA256", runtime.GOARCH, "is not a SHA-256"},
	} {
		volume := t.TempDir()
		if _, err := Install(volume, bytes.NewReader(c.tarball), c.checksum, c.processor); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		if left, _ := os.ReadDir(volume); len(left) != 0 {
			t.Errorf("%s leaves %v", name, left)
		}
	}
}

// What a killed run leaves is no release, and the next clears it away.
func TestHalfUnpacked(t *testing.T) {
	t.Parallel()
	volume := t.TempDir()
	tarball, checksum := pack(t, whole())
	for _, left := range []string{checksum + ".partial/files/lib", "current.partial", strings.Repeat("0", 64) + "/files", "stray"} {
		if err := os.MkdirAll(filepath.Join(volume, left), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Verified(volume, "", runtime.GOARCH); !errors.Is(err, ErrAbsent) {
		t.Errorf("what is half there counts: %v", err)
	}
	if _, err := Install(volume, bytes.NewReader(tarball), checksum, runtime.GOARCH); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(volume); len(left) != 2 {
		t.Errorf("there is %v", left)
	}
}

func TestVerified(t *testing.T) {
	t.Parallel()
	tarball, checksum := pack(t, whole())
	for name, c := range map[string]struct {
		change func(folder string) error
		says   string
	}{
		"another content": {func(f string) error { return os.WriteFile(f+"/files/out/node/entry.js", []byte("START()"), 0o644) }, `"out/node/entry.js" has another content`},
		"another size":    {func(f string) error { return os.WriteFile(f+"/files/setuid", []byte("xx"), 0o644) }, `"setuid" is another file`},
		"another mode":    {func(f string) error { return os.Chmod(f+"/files/lib/node", 0o644) }, `"lib/node" is another file`},
		"one less":        {func(f string) error { return os.Remove(f + "/files/setuid") }, `"setuid" is missing`},
		"one more":        {func(f string) error { return os.WriteFile(f+"/files/lib/more", nil, 0o644) }, `"lib/more" does not belong to it`},
		"one more folder": {func(f string) error { return os.MkdirAll(f+"/files/a/b", 0o755) }, `"a" does not belong to it`},
		"another link": {func(f string) error {
			return errors.Join(os.Remove(f+"/files/bin/link"), os.Symlink("/etc", f+"/files/bin/link"))
		}, `"bin/link" is another link`},
		"a link for a file": {func(f string) error {
			return errors.Join(os.Rename(f+"/files/setuid", f+"/elsewhere"), os.Symlink("../elsewhere", f+"/files/setuid"))
		}, `"setuid" cannot be opened`},
		"a folder moved": {func(f string) error {
			return errors.Join(os.Rename(f+"/files/lib", f+"/lib"), os.Symlink("../lib", f+"/files/lib"))
		}, `"lib" is no folder`},
		"no manifest":     {func(f string) error { return os.Remove(f + "/manifest") }, "manifest"},
		"half a manifest": {func(f string) error { return os.Truncate(f+"/manifest", 100) }, "manifest of the release is damaged"},
		"another manifest": {func(f string) error {
			return os.WriteFile(f+"/manifest", Manifest{Version: "1", Processor: runtime.GOARCH, Tarball: strings.Repeat("0", 64)}.Text(), 0o644)
		}, "of another release"},
		"no files": {func(f string) error { return os.RemoveAll(f + "/files") }, "and 7 more"},
	} {
		volume := t.TempDir()
		if _, err := Install(volume, bytes.NewReader(tarball), checksum, runtime.GOARCH); err != nil {
			t.Fatal(err)
		}
		if err := c.change(filepath.Join(volume, checksum)); err != nil {
			t.Fatal(err)
		}
		if _, err := Verified(volume, "", runtime.GOARCH); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		if _, err := Install(volume, bytes.NewReader(tarball), checksum, runtime.GOARCH); err != nil {
			t.Errorf("%s is not put right: %v", name, err)
		}
		if _, err := Verified(volume, checksum, runtime.GOARCH); err != nil {
			t.Errorf("%s is not put right: %v", name, err)
		}
	}
	volume := t.TempDir()
	if err := os.Symlink("../../etc", filepath.Join(volume, Current)); err != nil {
		t.Fatal(err)
	}
	if _, err := Verified(volume, "", runtime.GOARCH); err == nil || !strings.Contains(err.Error(), "is no release") {
		t.Errorf("a link to elsewhere: %v", err)
	}
}

func TestPinned(t *testing.T) {
	t.Parallel()
	for _, processor := range []string{"amd64", "arm64"} {
		if !isChecksum(Checksum(processor)) || !strings.HasSuffix(URL(processor), "/v"+Version+"/"+FileName(processor)) {
			t.Errorf("%s: %s, %s", processor, Checksum(processor), URL(processor))
		}
	}
	if Checksum("riscv64") != "" {
		t.Error("there is a release for a processor that has none")
	}
}

func FuzzManifest(f *testing.F) {
	f.Add(Manifest{Version: "1.2.3", Processor: "amd64", Tarball: strings.Repeat("a", 64), Entries: []Entry{
		{File, "a b\n", 3, "d"}, {Link, "l", 0, "../x"}, {Folder, "d", 0, ""}, {Executable, "d/x", 9, ""},
	}}.Text())
	f.Add([]byte("code-server 1 a b\nsha256 0\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		// Sealed, so that what is inside is looked at.
		for _, one := range [][]byte{text, append(slices.Clone(text), sealed(text)...)} {
			m, err := parse(one)
			if err != nil {
				continue
			}
			if !bytes.Equal(m.Text(), one) {
				t.Errorf("%q is read as %q", one, m.Text())
			}
			for _, e := range m.Entries {
				if filepath.IsAbs(e.Path) || !filepath.IsLocal(e.Path) {
					t.Errorf("an entry is outside: %q", e.Path)
				}
			}
		}
	})
}

// Whatever a tarball holds, nothing of it gets out of the volume.
func FuzzInstall(f *testing.F) {
	tarball, _ := pack(f, []made{{name: "a/", kind: tar.TypeDir}, {name: "a/b", text: "x"}, {name: "a/l", kind: tar.TypeSymlink, link: "b"}})
	f.Add(tarball)
	f.Fuzz(func(t *testing.T, tarball []byte) {
		above := t.TempDir()
		volume := filepath.Join(above, "volume")
		if err := os.Mkdir(volume, 0o755); err != nil {
			t.Fatal(err)
		}
		_, _ = Install(volume, bytes.NewReader(tarball), sumOf(tarball), "amd64")
		if left, _ := os.ReadDir(above); len(left) != 1 {
			t.Errorf("beside the volume there is %v", left)
		}
	})
}
