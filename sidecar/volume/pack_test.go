package volume

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// What is left out, and what is said of that.
func TestWhatIsNotPacked(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	for _, name := range []string{"logs/a", "server/logs", "server/env/x", restoreName + "/new/x", "server/" + restoreName, "logs2"} {
		path := filepath.Join(top, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("1"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	short := filepath.Join(os.TempDir(), fmt.Sprintf("volume-test-%d", os.Getpid())) // a socket's path has to be
	if err := os.Symlink(top, short); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(short)
	socket, err := net.Listen("unix", filepath.Join(short, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	skipped := int64(1)
	if unix.Mknod(filepath.Join(top, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))) == nil {
		skipped++ // whoever is not root has none
	}
	stream, summary := pack(t, top, "logs", "server/env")
	var names []string
	for line := range strings.Lines(members(t, stream)) {
		names = append(names, strings.Split(line, "\"")[1])
	}
	if want := []string{"logs2", "server/", "server/.inmanta-restore", "server/logs"}; !slices.Equal(names, want) {
		t.Errorf("in it are %q, want %q", names, want)
	}
	if summary.Files != 4 || summary.Bytes != 3 || summary.Skipped != skipped || len(summary.Changed) != 0 ||
		int(summary.UID) != os.Geteuid() || int(summary.GID) != os.Getegid() {
		t.Errorf("it says %+v", summary)
	}
}

// onWrite does something before what is written for the nth time.
type onWrite struct {
	io.Writer
	left int
	do   func()
}

func (o *onWrite) Write(text []byte) (int, error) {
	if o.left--; o.left == 0 {
		o.do()
	}
	return o.Writer.Write(text)
}

// A large file that changes while it is read has the length that was announced.
func TestFilesThatChangeWhileTheyAreRead(t *testing.T) {
	t.Parallel()
	const size = 4 * chunk
	for name, change := range map[string]func(path string) error{
		"shorter":  func(path string) error { return os.Truncate(path, chunk+100) },
		"empty":    func(path string) error { return os.Truncate(path, 0) },
		"longer":   func(path string) error { return os.Truncate(path, 2*size) },
		"replaced": func(path string) error { return errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600)) },
		"written": func(path string) error {
			file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			_, err = file.WriteString("more")
			return errors.Join(err, file.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			top := t.TempDir()
			path := filepath.Join(top, "large")
			if err := os.WriteFile(path, bytes.Repeat([]byte("x"), size), 0o600); err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			// First comes the top, then the header, then the file in its parts.
			out := &onWrite{&text, 3, func() {
				if err := change(path); err != nil {
					t.Error(err)
				}
			}}
			summary, err := packTo(top, nil, out)
			if err != nil || !slices.Equal(summary.Changed, []string{"large"}) || summary.Bytes != size {
				t.Errorf("%+v, %v", summary, err)
			}
			into := t.TempDir()
			if again, err := Unpack(into, Owners{}, bytes.NewReader(enzstd(t, text.Bytes()))); err != nil || again.Bytes != size || again.Files != 1 {
				t.Errorf("what was packed is unpacked as %+v, %v", again, err)
			}
			// Of what is not there any more nothing is made up.
			got, err := os.ReadFile(filepath.Join(into, restoreName, newName, "large"))
			if rest := bytes.TrimLeft(got, "x"); err != nil || len(bytes.Trim(rest, "\x00")) > 0 || name == "shorter" && len(rest) != size-chunk-100 {
				t.Errorf("it ends with %d bytes that are not its own, %v", len(rest), err)
			}
		})
	}
}

// Whatever goes on in a volume while it is packed, the stream is whole, and each
// file in it that is not named as changed is one that there was.
func TestPackingWhatIsInUse(t *testing.T) {
	t.Parallel()
	top, outside := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	stop := make(chan struct{})
	for n := range 3 {
		writing.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 5))
			for {
				select {
				case <-stop:
					return
				default:
				}
				disturb(random, top, outside)
			}
		})
	}
	defer func() { close(stop); writing.Wait() }()
	for range 60 {
		stream, summary := pack(t, top)
		into := t.TempDir()
		again, err := Unpack(into, Owners{}, bytes.NewReader(stream))
		if err != nil || again.Files != summary.Files || again.Bytes != summary.Bytes {
			t.Fatalf("%+v was packed, %+v unpacked, %v", summary, again, err)
		}
		for archive := tar.NewReader(bytes.NewReader(unzstd(t, stream))); ; {
			h, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			text, readErr := io.ReadAll(archive)
			if err = errors.Join(err, readErr); err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(text, []byte("secret")) {
				t.Fatalf("%s is what a link leads to", h.Name)
			}
			if len(text) == 0 || summary.MoreChanged > 0 || slices.Contains(summary.Changed, h.Name) {
				continue
			}
			if len(bytes.Trim(text, string(text[:1]))) > 0 {
				t.Fatalf("%s is a mixture, and not said to be", h.Name)
			}
		}
	}
}

// disturb does one thing to a folder: a file of it has the same byte all over.
func disturb(random *rand.Rand, top, outside string) {
	path := filepath.Join(top, fmt.Sprint(random.IntN(4)), fmt.Sprint(random.IntN(30)))
	switch random.IntN(8) {
	case 0:
		_ = os.Remove(path)
	case 1:
		_ = os.RemoveAll(filepath.Dir(path))
	case 2:
		_ = os.Symlink(outside, filepath.Dir(path))
	case 3:
		_ = os.Symlink(filepath.Join(outside, "secret"), path)
	case 4:
		_ = unix.Mkfifo(path, 0o600)
	case 5:
		_ = os.Link(path, path+"-2")
	default:
		if random.IntN(3) == 0 {
			_ = os.Remove(filepath.Dir(path)) // the link that it may be
		}
		_ = os.Mkdir(filepath.Dir(path), 0o755)
		size := []int{10, 5000, smallFile + 10, 2 * chunk}[random.IntN(4)]
		partial := filepath.Join(top, fmt.Sprint("partial", random.IntN(1000)))
		if os.WriteFile(partial, bytes.Repeat([]byte{byte('a' + random.IntN(26))}, size), 0o600) == nil && os.Rename(partial, path) != nil {
			_ = os.Remove(partial)
		}
	}
}

// A summary is one line, however much there is to say.
func TestSummaryIsOneLine(t *testing.T) {
	t.Parallel()
	for _, length := range []int{1, 50, 4000} {
		var s Summary
		for n := range 1000 {
			s.change(fmt.Sprintf("%0*d\n", length, n))
		}
		var line bytes.Buffer
		if err := s.Write(&line); err != nil {
			t.Fatal(err)
		}
		if line.Len() > 48<<10 || strings.Count(line.String(), "\n") != 1 || int64(len(s.Changed))+s.MoreChanged != 1000 || len(s.Changed) == 0 {
			t.Errorf("%d bytes, %d names, %d more", line.Len(), len(s.Changed), s.MoreChanged)
		}
	}
	var line bytes.Buffer
	if err := (Summary{}).Write(&line); err != nil || line.String() != "{\"files\":0,\"bytes\":0,\"uid\":0,\"gid\":0,\"skipped\":0,\"changed\":[]}\n" {
		t.Errorf("%q, %v", line.String(), err)
	}
}

// Output that cannot be written is an error, wherever it stops.
func TestOutputThatIsFull(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	grow(t, rand.New(rand.NewPCG(4, 4)), top)
	text := make([]byte, 2*frame)
	for i := range text {
		text[i] = byte(rand.Uint32())
	}
	if err := os.WriteFile(filepath.Join(top, "more than a frame"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	stream, _ := pack(t, top)
	for _, takes := range []int{0, 1, 1000, frame, len(stream) - 1} {
		if _, err := Pack(top, nil, &full{takes}); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%d bytes of %d were written: %v", takes, len(stream), err)
		}
	}
	if _, err := Pack(top, nil, &full{len(stream)}); err != nil {
		t.Error(err)
	}
}

// full takes so many bytes.
type full struct{ left int }

func (f *full) Write(text []byte) (int, error) {
	if len(text) > f.left {
		return 0, unix.ENOSPC
	}
	f.left -= len(text)
	return len(text), nil
}

func TestVerbs(t *testing.T) {
	t.Parallel()
	volume, _ := place(t)
	stream, _ := pack(t, volume)
	for _, c := range []struct {
		args, says string
		out        string
	}{
		{args: "", says: "volume takes"},
		{args: "pack", says: "volume takes"},
		{args: "look FOLDER", says: "volume takes"},
		{args: "pack FOLDER --exclude", says: "volume takes"},
		{args: "pack FOLDER --include x", says: "volume takes"},
		{args: "pack FOLDER --exclude ../x", says: "no name below"},
		{args: "pack FOLDER/missing", says: "no such file"},
		{args: "pack FOLDER/own/file", says: "not a directory"},
		{args: "unpack FOLDER --uid-from 1", says: "volume takes"},
		{args: "unpack FOLDER --uid-from 1 --gid-to 2", says: "volume takes"},
		{args: "unpack FOLDER --uid-from 1 --uid-to -2", says: "is no id"},
		{args: "unpack FOLDER --uid-from 1 --uid-to 4294967295", says: "is no id"},
		{args: "unpack FOLDER --uid-from 1 --uid-from 1 --uid-to 2", says: "volume takes"},
		{args: "unpack FOLDER --uid-from 997 --uid-to 0", says: "root's"},
		{args: "unpack FOLDER --gid-from 997 --gid-to 0", says: "root's"},
		{args: "state FOLDER x", says: "volume takes"},
		{args: "state FOLDER", out: `{"phase":"none"}`},
		{args: "discard FOLDER"},
		{args: "swap FOLDER", says: "the restore of the volume at FOLDER is none"},
		{args: "swap-back FOLDER"},
		{args: "room FOLDER", out: `"bytes":9,"files":2}`},
		{args: "unpack FOLDER"},
		{args: "state FOLDER", out: `{"phase":"unpacked"}`},
		{args: "unpack FOLDER"},
		{args: "swap FOLDER"},
		{args: "swap FOLDER"},
		{args: "unpack FOLDER", says: "is swapped"},
		{args: "room FOLDER", out: `"bytes":9,"files":2}`},
		{args: "swap-back FOLDER"},
		{args: "swap FOLDER"},
		{args: "discard FOLDER"},
		{args: "swap-back FOLDER"},
		{args: "state FOLDER", out: `{"phase":"none"}`},
	} {
		var out, said bytes.Buffer
		err := Run(strings.Fields(strings.ReplaceAll(c.args, "FOLDER", volume)), bytes.NewReader(stream), &out, &said)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), volume, "FOLDER"), c.says)) {
			t.Errorf("%s: %v, want %q", c.args, err, c.says)
		}
		if !strings.Contains(out.String(), c.out) {
			t.Errorf("%s prints %q, want %q", c.args, out.String(), c.out)
		}
		if summary := (Summary{}); strings.HasPrefix(c.args, "unpack") && c.says == "" && (json.Unmarshal(said.Bytes(), &summary) != nil || summary.Files != 2) {
			t.Errorf("%s says %q", c.args, said.String())
		}
	}
}

// Owners are mapped one by one, and rights of programs are kept with them.
func TestOwners(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		return // whose files are all the same user's; e2e has it as root
	}
	top, into := t.TempDir(), t.TempDir()
	for n, name := range []string{"root", "inmanta", "other"} {
		path := filepath.Join(top, name)
		if err := errors.Join(os.WriteFile(path, nil, 0o755), os.Chown(path, n*997, n*995), os.Chmod(path, 0o755|os.ModeSetuid|os.ModeSetgid)); err != nil {
			t.Fatal(err)
		}
	}
	capability := []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} // to bind low ports
	if err := unix.Setxattr(filepath.Join(top, "inmanta"), "security.capability", capability, 0); err != nil {
		t.Fatal(err)
	}
	stream, _ := pack(t, top)
	if _, err := Unpack(into, Owners{UIDFrom: 997, UIDTo: 1001, GIDFrom: 995, GIDTo: 1002}, bytes.NewReader(stream)); err != nil {
		t.Fatal(err)
	}
	if err := Swap(into); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"root": "0:0", "inmanta": "1001:1002", "other": "1994:1990"} {
		var stat unix.Stat_t
		if err := unix.Lstat(filepath.Join(into, name), &stat); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%d:%d", stat.Uid, stat.Gid); got != want || stat.Mode&0o7777 != 0o6755 {
			t.Errorf("%s is of %s, want %s, mode %o", name, got, want, stat.Mode)
		}
	}
	got := make([]byte, 64)
	if n, err := unix.Getxattr(filepath.Join(into, "inmanta"), "security.capability", got); err != nil || !bytes.Equal(got[:n], capability) {
		t.Errorf("its capability is %x, %v", got[:max(n, 0)], err)
	}
}

// What has holes takes no more room for having been packed.
func TestHoles(t *testing.T) {
	t.Parallel()
	top, into := t.TempDir(), t.TempDir()
	path := filepath.Join(top, "holes")
	if err := errors.Join(os.WriteFile(path, []byte("x"), 0o600), os.Truncate(path, 256<<20)); err != nil {
		t.Fatal(err)
	}
	stream, _ := pack(t, top)
	if _, err := Unpack(into, Owners{}, bytes.NewReader(stream)); err != nil {
		t.Fatal(err)
	}
	var stat unix.Stat_t
	if err := unix.Stat(filepath.Join(into, restoreName, newName, "holes"), &stat); err != nil || stat.Size != 256<<20 || stat.Blocks*512 > 1<<20 {
		t.Errorf("%d bytes take %d, %v", stat.Size, stat.Blocks*512, err)
	}
}

// What a folder said of a name is not believed: something else may have taken it,
// which leads out, or makes whoever opens it wait.
func TestNamesThatBecameSomethingElse(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	path := func(name string) string { return filepath.Join(top, name) }
	if err := errors.Join(os.WriteFile(path("file"), []byte("secret"), 0o600), os.Symlink("file", path("link")),
		unix.Mkfifo(path("pipe"), 0o600), os.Mkdir(path("folder"), 0o700), os.Symlink("folder", path("way"))); err != nil {
		t.Fatal(err)
	}
	f, _, err := openTop(top)
	if err != nil {
		t.Fatal(err)
	}
	defer f.release()
	for kind, are := range map[uint8][]string{unix.DT_REG: {"file"}, unix.DT_LNK: {"link", "way", "pipe"}, unix.DT_FIFO: {"link", "way", "pipe"}} {
		for _, name := range []string{"file", "link", "pipe", "folder", "way", "nothing"} {
			b := (&packing{}).newBatch()
			f.hold()
			b.items = append(b.items, item{kind: kind, name: name, base: name, in: f})
			b.read()
			i := b.items[0]
			if i.err != nil || i.gone == slices.Contains(are, name) || i.gone && i.to > i.from {
				t.Errorf("%s as %d: gone %t, %d bytes, %v", name, kind, i.gone, i.to-i.from, i.err)
			}
			b.drop()
		}
	}
	for _, name := range []string{"file", "link", "pipe", "way", "nothing"} {
		if _, _, err := f.below(name); !vanished(err) {
			t.Errorf("%s as a folder: %v", name, err)
		}
	}
}
