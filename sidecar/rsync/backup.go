package rsync

import (
	"errors"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/rsync/tree"
)

// backups keeps what is replaced or deleted, with option --backup. It is for
// the goroutine that base is for.
type backups struct {
	*session
	base  *tree.Tree // the destination
	other *tree.Tree // of --backup-dir, once it is needed
}

// keep moves a file to its other name, and says whether its place is free. One
// that is not there is kept already.
func (b *backups) keep(name string) bool {
	has, err := b.base.Stat(name)
	if errors.Is(err, unix.ENOENT) {
		return true
	}
	if err == nil && isDirectory(&has) {
		err = unix.EISDIR
	}
	if err == nil {
		err = b.move(name)
	}
	if err != nil {
		b.complain("backing up", b.base.Full(name), err)
		return false
	}
	return true
}

func (b *backups) move(name string) error {
	to := b.base
	if b.backupDir != "" {
		if err := b.open(); err != nil {
			return err
		}
		to = b.other
	}
	kept := name + b.suffix
	err := b.base.RenameTo(name, to, kept)
	if directory := directoryOf(kept); errors.Is(err, unix.ENOENT) && to != b.base && directory != "." {
		if err := to.MkdirAll(directory, 0o777&^umask()); err != nil {
			return err
		}
		err = b.base.RenameTo(name, to, kept)
	}
	return err
}

// open opens the other directory, which the user chose, from the destination.
func (b *backups) open() error {
	if b.other != nil {
		return nil
	}
	where := b.backupDir
	if !path.IsAbs(where) {
		where = path.Join(b.base.Path, where)
	}
	if err := os.MkdirAll(where, 0o777); err != nil {
		return err
	}
	var err error
	b.other, err = tree.Open(where)
	return err
}
