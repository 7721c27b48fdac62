package volume

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// pack is the stream of a folder, and what it says of itself.
func pack(t testing.TB, where string, excluded ...string) ([]byte, Summary) {
	t.Helper()
	var stream bytes.Buffer
	summary, err := Pack(where, excluded, &stream)
	if err != nil {
		t.Fatal(err)
	}
	return stream.Bytes(), summary
}

// unzstd is the tar file in a stream.
func unzstd(t testing.TB, stream []byte) []byte {
	t.Helper()
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	text, err := d.DecodeAll(stream, nil)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// enzstd is a stream with a tar file in it.
func enzstd(t testing.TB, text []byte) []byte {
	t.Helper()
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return e.EncodeAll(text, nil)
}

// listing is all there is below a folder, a line each, but for what restores keep.
func listing(t testing.TB, where string) string {
	t.Helper()
	var lines []string
	numbers := map[uint64]string{} // of files, by the first name
	err := filepath.WalkDir(where, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(where, path)
		if name == restoreName {
			return filepath.SkipDir
		}
		line, err := describe(path, name, numbers)
		lines = append(lines, line)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

func describe(path, name string, numbers map[uint64]string) (string, error) {
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		return "", err
	}
	line := fmt.Sprintf("%q %o %d:%d", name, stat.Mode, stat.Uid, stat.Gid)
	if name != "." { // moving things into a folder changes its time
		line += fmt.Sprintf(" %d.%09d", stat.Mtim.Sec, stat.Mtim.Nsec)
	}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		to, err := os.Readlink(path)
		return line + " -> " + to, err
	case unix.S_IFREG:
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		if first, again := numbers[stat.Ino]; again {
			line += " is " + first
		}
		numbers[stat.Ino] = name
		line += fmt.Sprintf(" %d %x", stat.Size, digest(text))
	}
	if kind := stat.Mode & unix.S_IFMT; kind == unix.S_IFREG || kind == unix.S_IFDIR {
		fd, err := unix.Open(path, unix.O_RDONLY, 0)
		if err != nil {
			return "", err
		}
		defer unix.Close(fd)
		found, err := attributes(fd)
		return line + fmt.Sprintf(" %q", found), err
	}
	return line, nil
}

// digest is enough to tell the contents of these tests apart.
func digest(text []byte) (sum uint64) {
	for _, c := range text {
		sum = (sum ^ uint64(c)) * 1099511628211
	}
	return sum
}

// grow makes a random tree: names, kinds, sizes, owners, modes, times.
func grow(t testing.TB, random *rand.Rand, where string) {
	t.Helper()
	folders, files := []string{where}, []string{}
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	root := os.Geteuid() == 0
	for n := range 20 + random.IntN(60) {
		path := filepath.Join(folders[random.IntN(len(folders))], randomName(random, n))
		switch kind := random.IntN(10); {
		case kind < 2:
			must(os.Mkdir(path, 0o755))
			folders = append(folders, path)
		case kind == 2:
			must(os.Symlink(randomName(random, n)+strings.Repeat("/x", random.IntN(80)), path))
		case kind == 3:
			must(unix.Mkfifo(path, 0o644))
		case kind == 4 && len(files) > 0:
			must(os.Link(files[random.IntN(len(files))], path))
			continue // it is as the other one is
		default:
			must(os.WriteFile(path, randomText(random), 0o644))
			files = append(files, path)
			if random.IntN(4) == 0 {
				must(unix.Setxattr(path, fmt.Sprintf("user.a=%d%%3D", random.IntN(9)), nil, 0))
				must(unix.Setxattr(path, "user.b", []byte{0, 'x', '\n', byte(random.IntN(256))}, 0))
			}
		}
		if root {
			must(os.Lchown(path, random.IntN(3)*3_000_000, random.IntN(3)*997))
		}
	}
	// From below, since a change within changes the time of what is around it.
	err := filepath.WalkDir(where, func(path string, d os.DirEntry, err error) error { folders = append(folders, path); return err })
	must(err)
	slices.SortFunc(folders, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
	for _, path := range folders {
		info, err := os.Lstat(path)
		must(err)
		if info.Mode()&os.ModeSymlink == 0 {
			must(unix.Chmod(path, uint32(random.IntN(0o10000))|0o700)) // which whoever is not root needs to read it
		}
		when := unix.Timespec{Sec: random.Int64N(1<<34) - 1<<31, Nsec: random.Int64N(1e9) * int64(random.IntN(2))}
		must(unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{when, when}, unix.AT_SYMLINK_NOFOLLOW))
	}
}

func randomName(random *rand.Rand, n int) string {
	return fmt.Sprint(n) + []string{"", " with spaces", "\xff\xfe not text", "é", "\nline", "\\", "%3D=", strings.Repeat("long", 60), "-rf", "..."}[random.IntN(10)]
}

func randomText(random *rand.Rand) []byte {
	size := []int{0, 1, 511, 512, 513, 4096, smallFile - 1, smallFile, smallFile + 1, chunk, chunk + 1, 3*chunk + 17}[random.IntN(12)]
	text := make([]byte, size)
	if random.IntN(3) > 0 {
		for i := range text {
			text[i] = byte(random.Uint32())
		}
	}
	return text
}

// What is unpacked is what was packed, and packs to the same stream.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for seed := range uint64(25) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			from, to := t.TempDir(), t.TempDir()
			grow(t, rand.New(rand.NewPCG(seed, 8)), from)
			stream, packed := pack(t, from)
			unpacked, err := Unpack(to, Owners{}, bytes.NewReader(stream))
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(packed) != fmt.Sprint(unpacked) || len(packed.Changed) > 0 {
				t.Errorf("%+v was packed, %+v unpacked", packed, unpacked)
			}
			if err := Swap(to); err != nil {
				t.Fatal(err)
			}
			if want, got := listing(t, from), listing(t, to); want != got {
				t.Errorf("it is\n%s\nwant\n%s", got, want)
			}
			again, _ := pack(t, to)
			if want, got := members(t, stream), members(t, again); want != got {
				t.Errorf("packed again it is\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// A stream is restored by hand with zstd and tar, too.
func TestStockTarUnpacksIt(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		from, to := t.TempDir(), t.TempDir()
		grow(t, rand.New(rand.NewPCG(seed, 9)), from)
		stream, _ := pack(t, from)
		command := exec.Command("tar", "--extract", "--preserve-permissions", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--directory", to)
		command.Stdin = bytes.NewReader(unzstd(t, stream))
		if said, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		if want, got := listing(t, from), listing(t, to); want != got {
			t.Errorf("it is\n%s\nwant\n%s", got, want)
		}
	}
}

// members are the entries of a stream, but for the volume's own folder.
func members(t testing.TB, stream []byte) string {
	t.Helper()
	var lines []string
	for archive := tar.NewReader(bytes.NewReader(unzstd(t, stream))); ; {
		h, err := archive.Next()
		if err == io.EOF {
			return strings.Join(lines, "\n")
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if h.Name != "./" {
			lines = append(lines, fmt.Sprintf("%c %q %q %o %d:%d %d %s %q %x", h.Typeflag, h.Name, h.Linkname, h.Mode, h.Uid, h.Gid, h.Size, h.ModTime.UTC().Format(time.RFC3339Nano), h.PAXRecords, digest(text)))
		}
	}
}

// A stream can be read with nothing but tar and zstd.
func TestHeaders(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("d/", 70) + "file"
	for _, want := range []header{
		{kind: kindFile, name: "a", mode: 0o4755, uid: 997, gid: 995, size: 0, sec: 1, nsec: 0},
		{kind: kindFile, name: long, mode: 0o644, uid: mostID + 1, gid: 1<<32 - 2, sec: 1_700_000_000, nsec: 1},
		{kind: kindSymlink, name: "l", link: long, mode: 0o777, sec: -1, nsec: 750_000_000},
		{kind: kindHardLink, name: strings.Repeat("n", 100), link: strings.Repeat("l", 100), sec: -12, nsec: 5},
		{kind: kindPipe, name: "\xff\n", sec: mostSize + 1},
		{kind: kindFolder, name: "f/", mode: 0o2770, attributes: []attribute{{"user.a=b", "\x00=\n"}, {"security.capability", ""}}},
		{kind: kindFile, name: strings.Repeat("é", 60), attributes: []attribute{{"user.%3D", strings.Repeat("v", 989)}}},
	} {
		h, err := tar.NewReader(bytes.NewReader(want.appendTo(nil))).Next()
		if err != nil {
			t.Errorf("%+v: %v", want, err)
			continue
		}
		if h.Name != want.name || h.Linkname != want.link || h.Mode != int64(want.mode) || h.Uid != int(want.uid) || h.Gid != int(want.gid) ||
			h.ModTime.Unix() != want.sec || int64(h.ModTime.Nanosecond()) != want.nsec || h.Typeflag != want.kind {
			t.Errorf("%+v is read as %+v", want, h)
		}
		m := member{header: header{kind: want.kind}}
		if err := m.attributesOf(h); err != nil || len(m.attributes) != len(want.attributes) {
			t.Errorf("%+v: attributes %q, %v", want, m.attributes, err)
		}
		for _, a := range want.attributes {
			if a.value != "" && !slices.Contains(m.attributes, a) {
				t.Errorf("the attribute %q is not in %q", a, m.attributes)
			}
		}
	}
	large := header{kind: kindFile, name: "large", size: mostSize + 1}
	if h, err := tar.NewReader(bytes.NewReader(large.appendTo(nil))).Next(); err != nil || h.Size != large.size {
		t.Errorf("the size of a large file: %v, %v", h, err)
	}
}
