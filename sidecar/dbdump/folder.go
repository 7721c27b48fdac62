package dbdump

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/dumps"
	"github.com/inmanta/inmanta-docker/sidecar/hostfolder"
)

// folder is that of the dumps, held by this process alone.
type folder struct {
	path, deployment string
	lock             *os.File
	step             func(string)
}

// open holds the folder, by a file in it: a folder of another machine cannot be
// locked itself. Dumps of other deployments may be in there as well.
func open(c Config) (*folder, error) {
	path := filepath.Join(c.Folder, "."+c.Deployment+"-dumps.lock")
	lock, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o640)
	if err != nil {
		return nil, fmt.Errorf("locking the folder of the dumps: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another db-dump sidecar keeps the dumps of %q in this folder", c.Deployment)
		}
		return nil, fmt.Errorf("locking the folder of the dumps: %w", err)
	}
	return &folder{path: c.Folder, deployment: c.Deployment, lock: lock, step: c.Step}, nil
}

func (f *folder) close() { _ = f.lock.Close() }

func (f *folder) at(name string) string { return filepath.Join(f.path, name) }

// found is a dump that is in the folder.
type found struct {
	dumps.Dump
	SHA256 string
	// flaw is why it is no good; empty for a good one.
	flaw string
}

// list are the dumps in the folder, oldest first; m knows how large they were.
func (f *folder) list(m memory) ([]found, error) {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return nil, fmt.Errorf("listing the folder of the dumps: %w", err)
	}
	var all []found
	for _, entry := range entries {
		kind, name, begun := dumps.Parse(f.deployment, entry.Name())
		if kind != dumps.Complete {
			continue
		}
		one := found{Dump: dumps.Dump{Name: name, Begun: begun}}
		info, err := entry.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // gone meanwhile
		case err != nil || !info.Mode().IsRegular():
			one.flaw = "it is no file"
		default:
			one.Size = info.Size()
			one.SHA256, one.flaw = f.sum(name)
		}
		if made, known := m.Made[name]; known && one.flaw == "" && made.SizeBytes != one.Size {
			one.flaw = fmt.Sprintf("it has %d bytes, and had %d when it was made", one.Size, made.SizeBytes)
		}
		all = append(all, one)
	}
	return all, nil
}

// sum is what the file beside a dump says its checksum is.
func (f *folder) sum(name string) (sha256, flaw string) {
	file, err := os.OpenFile(f.at(dumps.Checksum(name)), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "its checksum is not there"
	}
	if err != nil {
		return "", "its checksum cannot be read: " + err.Error()
	}
	defer file.Close()
	const enough = 1 << 10
	text, err := io.ReadAll(io.LimitReader(file, enough))
	if err != nil {
		return "", "its checksum cannot be read: " + err.Error()
	}
	sha256, ok := dumps.ParseSum(name, string(text))
	if !ok {
		return "", dumps.Checksum(name) + " holds no checksum of it"
	}
	return sha256, ""
}

// good are those dumps that are.
func good(all []found) []dumps.Dump {
	var some []dumps.Dump
	for _, one := range all {
		if one.flaw == "" {
			some = append(some, one.Dump)
		}
	}
	return some
}

// sweep removes what was cut short: files that are not complete, and checksums of
// dumps that are not there. It says which.
func (f *folder) sweep() ([]string, error) {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return nil, fmt.Errorf("listing the folder of the dumps: %w", err)
	}
	names := map[string]bool{}
	for _, entry := range entries {
		names[entry.Name()] = true
	}
	var swept []string
	for _, entry := range entries {
		kind, name, _ := dumps.Parse(f.deployment, entry.Name())
		if kind == dumps.Unfinished || kind == dumps.Sum && !names[name] {
			f.step("sweep")
			if err := f.remove(entry.Name()); err != nil {
				return swept, err
			}
			swept = append(swept, entry.Name())
		}
	}
	return swept, nil
}

// remove removes files that may be gone already.
func (f *folder) remove(names ...string) error {
	for _, name := range names {
		if err := os.Remove(f.at(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing %s: %w", name, err)
		}
	}
	return nil
}

// publish gives a dump that is complete its name, with its checksum beside it: the
// checksum first, so that no dump is ever there without. A file that has the name
// stays.
func (f *folder) publish(name, sha256 string) error {
	sum := dumps.Checksum(name)
	f.step("write checksum")
	if err := f.write(dumps.Partial(sum), dumps.SumLine(name, sha256)); err != nil {
		return fmt.Errorf("writing its checksum: %w", err)
	}
	for _, one := range []string{sum, name} {
		f.step("name " + strings.TrimPrefix(one, f.deployment+"-"))
		if err := rename(f.at(dumps.Partial(one)), f.at(one)); err != nil {
			return fmt.Errorf("giving %s its name: %w", one, err)
		}
	}
	f.step("sync folder")
	return hostfolder.Sync(f.path)
}

// rename is that of rename(2), but never onto something.
func rename(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if !slices.Contains([]error{unix.EINVAL, unix.ENOSYS, unix.ENOTSUP}, err) {
		return err
	}
	// A file system of another machine; nobody else uses these names.
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return unix.EEXIST
	}
	return os.Rename(from, to)
}

// write writes a small file to the disk.
func (f *folder) write(name, text string) error {
	file, err := os.OpenFile(f.at(name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = io.WriteString(file, text)
	return errors.Join(err, file.Sync(), file.Close())
}
