package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// The limits of what a tarball may unpack to. A release of today has 10,000
// entries and 700 MB.
const (
	mostEntries = 200_000
	mostBytes   = 4 << 30
)

// Install unpacks a tarball whose SHA-256 is to be checksum, for the processor,
// into the volume at root, and makes it the current one. Whatever it leaves
// when it fails, or is killed, is no release: the next one clears it away.
func Install(root string, tarball io.Reader, checksum, processor string) (Manifest, error) {
	if !isChecksum(checksum) {
		return Manifest{}, fmt.Errorf("%q is not a SHA-256 in hexadecimal", checksum)
	}
	volume, err := os.OpenRoot(root)
	if err != nil {
		return Manifest{}, fmt.Errorf("opening the volume: %w", err)
	}
	defer volume.Close()
	if m, err := check(volume, checksum); err == nil && m.Processor == processor {
		return m, swap(volume, checksum) // was there, whole
	}
	before, _ := volume.Readlink(Current)
	if err := clearAway(volume, before); err != nil {
		return Manifest{}, err
	}
	partial := checksum + ".partial"
	for _, folder := range []string{partial, path.Join(partial, tree)} {
		if err := volume.Mkdir(folder, 0o755); err != nil {
			return Manifest{}, refusal(err)
		}
	}
	m, err := unpackInto(volume, path.Join(partial, tree), tarball, checksum, processor)
	if err == nil {
		err = volume.WriteFile(path.Join(partial, manifestName), m.Text(), 0o644)
	}
	if err == nil {
		err = flush(volume)
	}
	if err != nil {
		// What is half there takes room that somebody may need.
		return Manifest{}, errors.Join(refusal(err), volume.RemoveAll(partial))
	}
	if err := volume.RemoveAll(checksum); err != nil { // was there, damaged
		return Manifest{}, refusal(err)
	}
	if err := volume.Rename(partial, checksum); err != nil {
		return Manifest{}, refusal(err)
	}
	return m, swap(volume, checksum)
}

// swap makes a release the current one, at once.
func swap(volume *os.Root, checksum string) error {
	if now, err := volume.Readlink(Current); err == nil && now == checksum {
		return nil
	}
	next := Current + ".partial"
	if err := volume.RemoveAll(next); err != nil {
		return refusal(err)
	}
	if err := volume.Symlink(checksum, next); err != nil {
		return refusal(err)
	}
	if err := volume.Rename(next, Current); err != nil {
		return refusal(err)
	}
	return refusal(flush(volume))
}

// clearAway removes everything but the release that is current: it may be running.
func clearAway(volume *os.Root, current string) error {
	entries, err := fs.ReadDir(volume.FS(), ".")
	if err != nil {
		return fmt.Errorf("reading the volume: %w", err)
	}
	for _, e := range entries {
		if e.Name() == Current || e.Name() == current || e.Name() == "lost+found" {
			continue
		}
		if err := volume.RemoveAll(e.Name()); err != nil {
			return refusal(err)
		}
	}
	return nil
}

// flush has everything written before that on the disk.
func flush(volume *os.Root) error {
	folder, err := volume.Open(".")
	if err != nil {
		return err
	}
	defer folder.Close()
	return unix.Syncfs(int(folder.Fd()))
}

// refusal puts what the file system says into words of the volume.
func refusal(err error) error {
	switch {
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("the volume for code-server is read-only: %w", err)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("the engine's disk is full: %w", err)
	}
	return err
}

// unpacking is one tarball on its way into a folder.
type unpacking struct {
	volume *os.Root
	folder string
	// prefix is the tarball's one folder, which everything in it is below.
	prefix  string
	seen    map[string]Kind
	entries []Entry
	bytes   int64
}

func unpackInto(volume *os.Root, folder string, tarball io.Reader, checksum, processor string) (Manifest, error) {
	sum := sha256.New()
	read := io.TeeReader(tarball, sum)
	u := unpacking{volume: volume, folder: folder, seen: map[string]Kind{}}
	err := u.all(read)
	// All of it counts, what comes after the archive's end too.
	if _, failed := io.Copy(io.Discard, read); failed != nil && err == nil {
		err = fmt.Errorf("reading the tarball: %w", failed)
	}
	// Said first: what is wrong inside a file that is another one is no news.
	if got := hex.EncodeToString(sum.Sum(nil)); got != checksum && !isFileSystem(err) {
		return Manifest{}, fmt.Errorf("the tarball is damaged or another one: its SHA-256 is %s, and %s is expected", got, checksum)
	}
	if err != nil {
		return Manifest{}, err
	}
	made, err := u.processor()
	if err != nil {
		return Manifest{}, err
	}
	if made != processor {
		return Manifest{}, fmt.Errorf("the tarball is for %s, and this engine runs %s", made, processor)
	}
	version, err := u.version()
	if err != nil {
		return Manifest{}, err
	}
	return Manifest{Version: version, Processor: processor, Tarball: checksum, Entries: u.entries}, nil
}

// isFileSystem says that writing failed, not reading.
func isFileSystem(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EROFS) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EIO)
}

func (u *unpacking) all(from io.Reader) error {
	unzipped, err := gzip.NewReader(from)
	if err != nil {
		return fmt.Errorf("the tarball is no gzip file: %w", err)
	}
	archive := tar.NewReader(unzipped)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			// Nothing may hide behind the end of the archive, and gzip's own checksum counts.
			_, err := io.Copy(io.Discard, io.LimitReader(unzipped, mostBytes))
			return err
		}
		if err != nil {
			return fmt.Errorf("reading the tarball: %w", err)
		}
		if err := u.one(header, archive); err != nil {
			return err
		}
	}
}

// one puts one entry of the archive in place.
func (u *unpacking) one(header *tar.Header, content io.Reader) error {
	full := strings.TrimSuffix(header.Name, "/")
	first, name, below := strings.Cut(full, "/")
	if !local(full) || u.prefix != "" && first != u.prefix {
		return fmt.Errorf("the tarball has an entry where none belongs: %q", header.Name)
	}
	u.prefix = first
	if !below {
		if header.Typeflag != tar.TypeDir {
			return fmt.Errorf("the tarball has an entry beside its folder: %q", header.Name)
		}
		return nil
	}
	if u.seen[name] != 0 && header.Typeflag != tar.TypeDir {
		return fmt.Errorf("the tarball has an entry twice: %q", header.Name)
	}
	if len(u.entries) >= mostEntries || header.Size > mostBytes-u.bytes {
		return errors.New("the tarball holds more than any release of code-server does")
	}
	if err := u.folders(path.Dir(name)); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return u.folders(name)
	case tar.TypeReg:
		return u.file(name, header, content)
	case tar.TypeSymlink:
		return u.link(name, header)
	case tar.TypeLink:
		return u.again(name, header)
	}
	return fmt.Errorf("the tarball has an entry of a kind that no release has: %q", header.Name)
}

// folders makes a folder, and those above it.
func (u *unpacking) folders(name string) error {
	switch kind := u.seen[name]; {
	case name == ".", kind == Folder:
		return nil
	case kind != 0: // not through a link, wherever that leads
		return fmt.Errorf("the tarball has an entry below what is no folder: %q", name)
	}
	if err := u.folders(path.Dir(name)); err != nil {
		return err
	}
	if err := u.volume.Mkdir(path.Join(u.folder, name), 0o755); err != nil {
		return fmt.Errorf("making the folder %q: %w", name, err)
	}
	u.add(Entry{Kind: Folder, Path: name})
	return nil
}

func (u *unpacking) add(e Entry) {
	u.seen[e.Path] = e.Kind
	u.entries = append(u.entries, e)
}

func (u *unpacking) file(name string, header *tar.Header, content io.Reader) error {
	e := Entry{Kind: File, Path: name, Size: header.Size}
	mode := fs.FileMode(0o644)
	if header.Mode&0o111 != 0 {
		e.Kind, mode = Executable, 0o755
	}
	file, err := u.volume.OpenFile(path.Join(u.folder, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("writing %q: %w", name, err)
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(file, sum), content)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("writing %q: %w", name, err)
	}
	e.Digest = digestOf(sum)
	u.bytes += header.Size
	u.add(e)
	return nil
}

func digestOf(sum hash.Hash) string { return hex.EncodeToString(sum.Sum(nil)) }

// link makes a link that leads to somewhere in the release, or nowhere.
func (u *unpacking) link(name string, header *tar.Header) error {
	target := header.Linkname
	leads := path.Join(path.Dir(name), target)
	if target == "" || path.IsAbs(target) || !local(leads) || strings.ContainsAny(target, "\x00\\") {
		return fmt.Errorf("the tarball has a link that leads out of it: %q to %q", header.Name, target)
	}
	if err := u.volume.Symlink(target, path.Join(u.folder, name)); err != nil {
		return fmt.Errorf("making the link %q: %w", name, err)
	}
	u.add(Entry{Kind: Link, Path: name, Digest: target})
	return nil
}

// again gives a file another name: tar writes it once, and its other names as
// links to the first.
func (u *unpacking) again(name string, header *tar.Header) error {
	at := slices.IndexFunc(u.entries, func(e Entry) bool {
		return path.Join(u.prefix, e.Path) == header.Linkname && (e.Kind == File || e.Kind == Executable)
	})
	if at < 0 {
		return fmt.Errorf("the tarball has another name for a file that it does not have: %q for %q", header.Name, header.Linkname)
	}
	e := u.entries[at]
	if err := u.volume.Link(path.Join(u.folder, e.Path), path.Join(u.folder, name)); err != nil {
		return fmt.Errorf("writing %q: %w", name, err)
	}
	e.Path = name
	u.add(e)
	return nil
}

// machines are the processors that code-server is made for.
var machines = map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64", elf.EM_ARM: "arm"}

// processor is what the release is made for, as its own JavaScript engine says.
func (u *unpacking) processor() (string, error) {
	for _, needed := range []string{node, entry} {
		if u.seen[needed] == 0 {
			return "", fmt.Errorf("the tarball is no release of code-server: it has no %s", needed)
		}
	}
	file, err := u.volume.Open(path.Join(u.folder, node))
	if err != nil {
		return "", err
	}
	defer file.Close()
	program, err := elf.NewFile(file)
	if err != nil {
		return "", fmt.Errorf("the tarball is no release of code-server for Linux: its %s is no program (%w)", node, err)
	}
	if name, ok := machines[program.Machine]; ok {
		return name, nil
	}
	return program.Machine.String(), nil
}

// version is what the release says it is.
func (u *unpacking) version() (string, error) {
	content, err := u.volume.ReadFile(path.Join(u.folder, "package.json"))
	if err != nil {
		return "", fmt.Errorf("the tarball is no release of code-server: %w", err)
	}
	var about struct{ Version string }
	if err := json.NewDecoder(bytes.NewReader(content)).Decode(&about); err != nil || !isWord(about.Version) {
		return "", errors.New("the tarball is no release of code-server: its package.json gives no version")
	}
	return about.Version, nil
}
