package release

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// ErrAbsent says that the volume holds no release.
var ErrAbsent = errors.New("the volume holds no code-server")

// Verified is the current release of the volume at root, every byte of which
// has been read and is what it was unpacked as. checksum is the SHA-256 that
// its tarball must have had; "" takes any. The errors say what is wrong.
func Verified(root, checksum, processor string) (Installed, error) {
	volume, err := os.OpenRoot(root)
	if err != nil {
		return Installed{}, fmt.Errorf("opening the volume: %w", err)
	}
	defer volume.Close()
	current, err := volume.Readlink(Current)
	if errors.Is(err, fs.ErrNotExist) {
		return Installed{}, ErrAbsent
	}
	if err != nil || !isChecksum(current) {
		return Installed{}, fmt.Errorf("what is current in the volume is no release: %q", current)
	}
	if checksum != "" && checksum != current {
		return Installed{}, fmt.Errorf("the volume holds the code-server of tarball %s, and that of %s is configured", current, checksum)
	}
	m, err := check(volume, current)
	if err != nil {
		return Installed{}, err
	}
	if m.Processor != processor {
		return Installed{}, fmt.Errorf("the code-server in the volume is for %s, and this machine is %s", m.Processor, processor)
	}
	return Installed{Folder: filepath.Join(root, current, tree), Manifest: m}, nil
}

// largestManifest is far more than that of any release, in bytes.
const largestManifest = 64 << 20

// check reads a release in the volume, all of it.
func check(volume *os.Root, checksum string) (Manifest, error) {
	folder, err := volume.OpenRoot(checksum)
	if err != nil {
		return Manifest{}, fmt.Errorf("opening the release: %w", err)
	}
	defer folder.Close()
	file, err := folder.Open(manifestName)
	if err != nil {
		return Manifest{}, fmt.Errorf("opening the release's manifest: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, largestManifest))
	if err != nil {
		return Manifest{}, fmt.Errorf("reading the release's manifest: %w", err)
	}
	m, err := parse(text)
	if err != nil {
		return Manifest{}, err
	}
	if m.Tarball != checksum {
		return Manifest{}, fmt.Errorf("the manifest is that of another release: %s", m.Tarball)
	}
	return m, compare(filepath.Join(volume.Name(), checksum, tree), m.Entries)
}

// mostNamed is how many of the files that differ are named.
const mostNamed = 5

// compare reads everything below folder and says what differs from the entries.
func compare(folder string, entries []Entry) error {
	var mu sync.Mutex
	wrong := map[string]string{}
	note := func(name, what string) {
		mu.Lock()
		defer mu.Unlock()
		wrong[name] = what
	}
	// The largest first, so that the last to be read are small and end together.
	order := slices.Clone(entries)
	slices.SortStableFunc(order, func(a, b Entry) int { return int(min(max(b.Size-a.Size, -1), 1)) })
	var next atomic.Int64
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			buffer := make([]byte, 1<<18)
			for i := next.Add(1) - 1; i < int64(len(order)); i = next.Add(1) - 1 {
				if what := differs(folder, order[i], buffer); what != "" {
					note(order[i].Path, what)
				}
			}
		})
	}
	group.Go(func() { strangers(folder, entries, note) })
	group.Wait()
	if len(wrong) == 0 {
		return nil
	}
	var lines []string
	for name, what := range wrong {
		lines = append(lines, fmt.Sprintf("%q %s", name, what))
	}
	slices.Sort(lines)
	more := ""
	if len(lines) > mostNamed {
		more = fmt.Sprintf(" and %d more", len(lines)-mostNamed)
		lines = lines[:mostNamed]
	}
	return fmt.Errorf("the code-server in the volume is not what was put there: %s%s", strings.Join(lines, ", "), more)
}

// differs says how what is in the folder differs from an entry; "" if it does
// not. It asks the kernel and nobody in between: there are ten thousand of them,
// and somebody waits. That a folder on the way may be a link does no harm, since
// strangers does not go through links.
func differs(folder string, e Entry, buffer []byte) string {
	name := filepath.Join(folder, e.Path)
	switch e.Kind {
	case Folder:
		if info, err := os.Lstat(name); err != nil || !info.IsDir() {
			return "is no folder"
		}
		return ""
	case Link:
		if target, err := os.Readlink(name); err != nil || target != e.Digest {
			return "is another link"
		}
		return ""
	}
	// Never waiting, should it be a pipe.
	file, err := unix.Open(name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return "is missing"
	case err != nil:
		return "cannot be opened: " + err.Error()
	}
	defer unix.Close(file)
	var info unix.Stat_t
	if err := unix.Fstat(file, &info); err != nil {
		return "cannot be looked at: " + err.Error()
	}
	if info.Mode&unix.S_IFMT != unix.S_IFREG || info.Size != e.Size || info.Mode&0o111 != 0 != (e.Kind == Executable) {
		return "is another file"
	}
	sum := sha256.New()
	for {
		n, err := unix.Read(file, buffer)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return "cannot be read: " + err.Error()
		}
		if n == 0 {
			break
		}
		sum.Write(buffer[:n])
	}
	if digestOf(sum) != e.Digest {
		return "has another content"
	}
	return ""
}

// strangers finds what is in the folder and no entry of the release's.
func strangers(folder string, entries []Entry, note func(name, what string)) {
	known := make(map[string]bool, len(entries))
	for _, e := range entries {
		known[e.Path] = true
	}
	err := fs.WalkDir(os.DirFS(folder), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name = path.Clean(name); name != "." && !known[name] {
			note(name, "does not belong to it")
			if entry.IsDir() {
				return fs.SkipDir
			}
		}
		return nil
	})
	if err != nil {
		note(".", "cannot be read: "+err.Error())
	}
}
