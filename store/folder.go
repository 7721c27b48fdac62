package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/problem"
)

// Folder is a store in a folder that is there already: one that is not may be a
// disk that is not mounted. Files are for their owner only. One that is being
// written has a hidden name, and the lock of whoever writes it; the next Create
// removes those whose writers are gone.
type Folder string

// String implements Store.
func (f Folder) String() string { return strings.TrimSuffix(string(f), "/") + "/" }

// partial is how the hidden name of a file that is being written ends.
const partial = Extension + "-partial"

func (f Folder) path(name string) (string, error) {
	path := filepath.Join(string(f), name)
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return "", malformed(path, "this is no name of a file")
	}
	return path, nil
}

func malformed(where, what string) error {
	return problem.Problem{ID: Malformed, Where: where, What: what, Fix: "give a folder, a file, or s3://BUCKET/PREFIX/"}
}

// open opens the folder, to do something below it and nowhere else.
func (f Folder) open() (*os.Root, error) {
	// os.OpenRoot has no error of its own for this.
	if info, err := os.Stat(string(f)); err == nil && !info.IsDir() {
		return nil, refusal(f.String(), unix.ENOTDIR)
	}
	folder, err := os.OpenRoot(string(f))
	return folder, refusal(f.String(), err)
}

// creatable refuses names that List would not show: mostly that of a folder which
// is not there, or of a prefix without its slash.
func creatable(where, name string) error {
	if strings.HasSuffix(name, Extension) && !strings.HasPrefix(name, ".") {
		return nil
	}
	return problem.Problem{
		ID: Malformed, Where: where, What: fmt.Sprintf("the name of a backup ends in %s", Extension),
		Fix: "give such a name, or end that of a folder with a slash",
	}
}

// Create implements Store.
func (f Folder) Create(ctx context.Context, name string) (Upload, error) {
	path, err := f.path(name)
	if err != nil {
		return nil, err
	}
	if err := creatable(path, name); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	folder, err := f.open()
	if err != nil {
		return nil, err
	}
	u := &written{ctx: ctx, folder: folder, name: name, path: path}
	if err := u.begin(); err != nil {
		_ = folder.Close()
		return nil, refusal(path, err)
	}
	return u, nil
}

// Open implements Store.
func (f Folder) Open(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	path, err := f.path(name)
	if err != nil {
		return nil, 0, err
	}
	// Not waiting, should it be a pipe.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, refusal(path, err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = problem.Problem{ID: Missing, Where: path, What: "this is no regular file", Fix: "give a file that `inmanta-docker backup` made"}
	}
	if err != nil {
		_ = file.Close()
		return nil, 0, refusal(path, err)
	}
	return &measured{ctx: ctx, from: file, where: path, size: info.Size()}, info.Size(), nil
}

// List implements Store.
func (f Folder) List(ctx context.Context) ([]Entry, error) {
	found, err := os.ReadDir(string(f))
	if err != nil {
		return nil, refusal(f.String(), err)
	}
	var entries []Entry
	for _, one := range found {
		if !one.Type().IsRegular() || !strings.HasSuffix(one.Name(), Extension) || strings.HasPrefix(one.Name(), ".") {
			continue
		}
		info, err := one.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed in between
		}
		if err != nil {
			return nil, refusal(filepath.Join(string(f), one.Name()), err)
		}
		entries = append(entries, Entry{one.Name(), info.Size(), info.ModTime()})
	}
	newestFirst(entries)
	return entries, ctx.Err()
}

// newestFirst sorts entries; those of one moment by name.
func newestFirst(entries []Entry) {
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(b.Modified.Compare(a.Modified), cmp.Compare(a.Name, b.Name))
	})
}

// Remove implements Store.
func (f Folder) Remove(ctx context.Context, name string) error {
	path, err := f.path(name)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	folder, err := f.open()
	if err != nil {
		return err
	}
	defer folder.Close()
	if info, err := folder.Lstat(name); err == nil && info.IsDir() {
		return malformed(path, "this is a folder, not a backup")
	}
	if err := folder.Remove(name); err != nil {
		return refusal(path, err)
	}
	return refusal(f.String(), flush(folder))
}

// flush has the names in a folder on the disk.
func flush(folder *os.Root) error {
	open, err := folder.Open(".")
	if err != nil {
		return err
	}
	defer open.Close()
	if err := open.Sync(); err != nil && !errors.Is(err, unix.EINVAL) { // some network file systems cannot
		return fmt.Errorf("syncing the folder: %w", err)
	}
	return nil
}

// measured reads a file that is to have the size that it had.
type measured struct {
	ctx        context.Context
	from       io.ReadCloser
	where      string
	read, size int64
}

// Read implements io.Reader.
func (m *measured) Read(into []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.from.Read(into)
	m.read += int64(n)
	switch {
	case m.read > m.size, errors.Is(err, io.EOF) && m.read < m.size:
		return n, sizeDiffers(m.where, m.read, m.size)
	case err != nil && !errors.Is(err, io.EOF):
		return n, refusal(m.where, err)
	}
	return n, err
}

// Close implements io.Closer.
func (m *measured) Close() error { return m.from.Close() }
