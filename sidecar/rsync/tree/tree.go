// Package tree is a directory whose content is changed by names that somebody
// else chose: no name, and no symbolic link met on the way, leads out of it.
//
// Every name is walked one element at a time from a descriptor of the
// directory above, and no element that is a symbolic link is followed. What
// was walked last is remembered, so that a list of files in order costs one
// open for each directory.
package tree

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Tree is a directory and what is below it. It is for one goroutine.
type Tree struct {
	// Path is where it is, absolute, for messages.
	Path  string
	root  int
	steps []step // from the root down to the directory used last
}

// step is one directory on the way.
type step struct {
	name       string
	descriptor int
}

// ErrName is a name that is none below the tree: absolute, with "..", empty
// elements or a NUL in it.
var ErrName = errors.New("not a name below the directory")

// Open opens the directory at a path that the user chose: links in it are
// followed.
func Open(where string) (*Tree, error) {
	descriptor, err := openAt(unix.AT_FDCWD, where, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &Tree{Path: absolute(where), root: descriptor}, nil
}

// absolute is a path for messages; where the working directory cannot be told
// it stays as it is.
func absolute(where string) string {
	if path.IsAbs(where) {
		return path.Clean(where)
	}
	wd, err := os.Getwd()
	if err != nil {
		return where
	}
	return path.Join(wd, where)
}

// Clone is the same tree for another goroutine.
func (t *Tree) Clone() (*Tree, error) {
	descriptor, err := unix.FcntlInt(uintptr(t.root), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &Tree{Path: t.Path, root: descriptor}, nil
}

// Close lets go of it.
func (t *Tree) Close() {
	t.forget(0)
	_ = unix.Close(t.root)
}

// forget closes what was walked beyond so many elements.
func (t *Tree) forget(keep int) {
	for _, s := range t.steps[keep:] {
		_ = unix.Close(s.descriptor)
	}
	t.steps = t.steps[:keep]
}

// Full is the whole path of a name, for messages.
func (t *Tree) Full(name string) string { return path.Join(t.Path, name) }

// Valid says whether a name is one below the tree. "." is the tree itself.
func Valid(name string) bool {
	if name == "." {
		return true
	}
	if name == "" || strings.IndexByte(name, 0) >= 0 {
		return false
	}
	for element := range strings.SplitSeq(name, "/") {
		if element == "" || element == "." || element == ".." {
			return false
		}
	}
	return true
}

// walk opens the directory of this name; the descriptor stays the tree's.
func (t *Tree) walk(directory string) (int, error) {
	if directory == "." {
		return t.root, nil
	}
	at, depth := t.root, 0
	for element := range strings.SplitSeq(directory, "/") {
		if depth < len(t.steps) && t.steps[depth].name == element {
			at = t.steps[depth].descriptor
			depth++
			continue
		}
		t.forget(depth)
		next, err := openAt(at, element, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if err != nil {
			return -1, err
		}
		t.steps = append(t.steps, step{element, next})
		at = next
		depth++
	}
	return at, nil
}

// parent opens the directory that a name is in.
func (t *Tree) parent(name string) (at int, base string, err error) {
	if !Valid(name) {
		return -1, "", fmt.Errorf("%q: %w", name, ErrName)
	}
	if name == "." {
		return t.root, ".", nil
	}
	directory, base := ".", name
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		directory, base = name[:i], name[i+1:]
	}
	at, err = t.walk(directory)
	return at, base, err
}

// moved forgets what was walked through a name that is now something else.
func (t *Tree) moved(name string) {
	depth := 0
	for element := range strings.SplitSeq(name, "/") {
		if depth >= len(t.steps) || t.steps[depth].name != element {
			return
		}
		depth++
	}
	t.forget(depth - 1)
}

// openAt opens as the kernel does, again when a signal came between.
func openAt(at int, name string, flags int, mode uint32) (int, error) {
	for {
		descriptor, err := unix.Openat(at, name, flags|unix.O_CLOEXEC, mode)
		if !errors.Is(err, unix.EINTR) {
			return descriptor, err
		}
	}
}
