package proof

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// All mounts of these tests are in a mount namespace of their own (see TestMain),
// and the files that loop devices read from have no name once they are mounted:
// however the tests end, nothing of it is left.

// A filesystem is one kind of them, and how to make it.
type filesystem struct {
	name string
	// The command that makes it in a file, the file left out; none where none is needed.
	make []string
	// What mount(8) is told besides, and the size, in MiB.
	options []string
	size    int64
}

// filesystems are all that the promise is proven on.
var filesystems = []filesystem{
	{name: "ext4", make: []string{"mkfs.ext4", "-q", "-F", "-b", "4096"}, size: 512},
	{name: "bigalloc", make: []string{"mkfs.ext4", "-q", "-F", "-O", "bigalloc", "-C", "65536"}, size: 512},
	{name: "xfs", make: []string{"mkfs.xfs", "-q"}, size: 512},
	{name: "btrfs", make: []string{"mkfs.btrfs", "-q"}, size: 512},
	{name: "tmpfs", size: 512},
	{name: "overlay", size: 512},
}

// unmountable are the file systems that this machine does not have, with why:
// `needs` knows, and `make test` has said so beforehand.
var unmountable = sync.OnceValues(func() (map[string]string, error) {
	output, err := exec.Command("./needs", "filesystems").Output()
	if err != nil {
		return nil, fmt.Errorf("asking which file systems there are: %w", err)
	}
	reasons := map[string]string{}
	for line := range strings.Lines(string(output)) {
		name, why, _ := strings.Cut(strings.TrimSpace(line), " ")
		reasons[name] = why
	}
	return reasons, nil
})

// there says whether a file system can be made here, and where not, that what
// this test does on it is NOT RUN.
func (f filesystem) there(t *testing.T) bool {
	t.Helper()
	reasons, err := unmountable()
	if err != nil {
		t.Fatal(err)
	}
	why, missing := reasons[f.name]
	if missing {
		t.Logf("NOT RUN on %s: %s", f.name, why)
	}
	return !missing
}

// on is the file system of a name.
func on(t *testing.T, name string) filesystem {
	t.Helper()
	for _, one := range filesystems {
		if one.name == name {
			return one
		}
	}
	t.Fatalf("no file system is called %s", name)
	return filesystem{}
}

// ext4 is an empty folder of the logs' owner on a file system of the test's own,
// where this machine can have one.
func ext4(t *testing.T) (folder string, is bool) {
	t.Helper()
	fs := on(t, "ext4")
	if !fs.there(t) {
		return "", false
	}
	return fs.mount(t), true
}

// mount makes the file system, and returns an empty folder on it that is the
// logs' owner's. It goes with the test.
func (f filesystem) mount(t *testing.T) string {
	t.Helper()
	root := scratch(t)
	at := filepath.Join(root, f.name)
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	switch f.name {
	case "tmpfs":
		mountAt(t, at, append([]string{"-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", f.size)}, f.options...), "proof")
	case "overlay":
		below := on(t, "ext4").mount(t)
		for _, name := range []string{"lower", "upper", "work"} {
			if err := os.Mkdir(filepath.Join(below, name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		layers := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", below)
		mountAt(t, at, append([]string{"-t", "overlay", "-o", layers}, f.options...), "proof")
	default:
		image := filepath.Join(root, "image")
		f.format(t, image)
		mountAt(t, at, append([]string{"-o", "loop"}, f.options...), image)
		if err := os.Remove(image); err != nil {
			t.Fatal(err)
		}
	}
	return owned(t, filepath.Join(at, "logs"))
}

// format makes the file system in a file.
func (f filesystem) format(t *testing.T, image string) {
	t.Helper()
	file, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(f.size << 20); err != nil {
		t.Fatal(err)
	}
	_ = file.Close()
	run(t, f.make[0], append(f.make[1:], image)...)
}

func mountAt(t *testing.T, at string, options []string, what string) {
	t.Helper()
	run(t, "mount", append(options, what, at)...)
	t.Cleanup(func() {
		// Whoever still has it open keeps it, unseen, until they end.
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", at, err)
		}
	})
}

// scratch is a folder that other users may enter, unlike those of the testing package.
func scratch(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "inmanta-proof-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}

// owned makes a folder of the logs' owner.
func owned(t *testing.T, folder string) string {
	t.Helper()
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(folder, owner, owner); err != nil {
		t.Fatal(err)
	}
	return folder
}

// run runs a command that has to succeed.
func run(t *testing.T, name string, arguments ...string) string {
	t.Helper()
	command := exec.Command(name, arguments...)
	command.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin", "LC_ALL=C")
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", command, err, output)
	}
	return string(output)
}

// inode is the number of a file.
func inode(t *testing.T, path string) uint64 {
	t.Helper()
	var is unix.Stat_t
	if err := unix.Stat(path, &is); err != nil {
		t.Fatal(err)
	}
	return is.Ino
}
