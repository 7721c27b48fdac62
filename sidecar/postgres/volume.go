package postgres

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// The cluster is at the top of its volume, where the stock image has it, and
// what belongs to this package is in one folder there. Its name begins like
// PostgreSQL's temporary files: a base backup leaves those out, wherever they
// are (basebackup.c, sendDir), and the server never looks at this one.
const ownFolder = "pgsql_tmp.inmanta-docker"

// volume is a database's volume: the path of its cluster.
type volume string

func (v volume) own(name string) string { return filepath.Join(string(v), ownFolder, name) }

// staging is where a cluster is made; previous is where the one goes that it
// takes the place of, until the new one is in step.
func (v volume) staging() string  { return v.own("staging") }
func (v volume) previous() string { return v.own("previous") }

// phase is how far a new cluster is on its way into its place.
type phase string

const (
	settled phase = ""
	// making: in staging, and worth nothing when cut short.
	making phase = "making"
	// settingAside: what was there goes to previous, its PG_VERSION first.
	settingAside phase = "setting aside"
	// installing: what is in staging goes to its place, its PG_VERSION last.
	installing phase = "installing"
)

// versionFile is what every reader takes a folder for a cluster by: the image's
// entrypoint, this package, and the server.
const versionFile = "PG_VERSION"

// lockFile is what a process that uses the volume holds.
const lockFile = "lock"

// errInUse is that another process holds the volume.
var errInUse = errors.New("another container uses this volume")

// hold takes the volume for this process alone, for as long as it lives. A file
// with a process number would not do: each container counts its own.
func (v volume) hold() error {
	if err := os.MkdirAll(filepath.Join(string(v), ownFolder), 0o700); err != nil {
		return err
	}
	fd, err := unix.Open(v.own(lockFile), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("locking the volume: %w", err)
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = unix.Close(fd)
		if errors.Is(err, unix.EWOULDBLOCK) {
			return errInUse
		}
		return fmt.Errorf("locking the volume: %w", err)
	}
	return nil // open until the process ends
}

// hasCluster says whether a cluster is in its place.
func (v volume) hasCluster() bool {
	info, err := os.Stat(filepath.Join(string(v), versionFile))
	return err == nil && info.Size() > 0
}

// entries are what is in the cluster's place.
func (v volume) entries() ([]string, error) {
	list, err := os.ReadDir(string(v))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range list {
		if e.Name() != ownFolder && e.Name() != "lost+found" {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// install puts what is in staging into the cluster's place, and what was there
// into previous. It goes on from wherever an earlier call of it was cut short:
// at says where, and is told each step, durably, before it is taken.
func (v volume) install(at phase, tell func(phase) error) error {
	if at == settled || at == making {
		if _, err := os.Stat(filepath.Join(v.staging(), versionFile)); err != nil {
			return fmt.Errorf("there is no complete cluster to install: %w", err)
		}
		if err := errors.Join(os.RemoveAll(v.previous()), os.Mkdir(v.previous(), 0o700)); err != nil {
			return err
		}
		if err := tell(settingAside); err != nil {
			return err
		}
		at = settingAside
	}
	if at == settingAside {
		names, err := v.entries()
		if err != nil {
			return err
		}
		if err := moveAll(string(v), v.previous(), names, true); err != nil {
			return fmt.Errorf("setting the old cluster aside: %w", err)
		}
		if err := tell(installing); err != nil {
			return err
		}
	}
	list, err := os.ReadDir(v.staging())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	if len(names) > 0 { // else all of it is there already
		if err := moveAll(v.staging(), string(v), names, false); err != nil {
			return fmt.Errorf("putting the new cluster in its place: %w", err)
		}
	}
	// The server refuses a folder that others may look into.
	if err := os.Chmod(string(v), 0o700); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(v.staging()), tell(settled))
}

// moveAll moves the names; PG_VERSION is the first or the last, and alone.
func moveAll(from, to string, names []string, versionFirst bool) error {
	move := func(name string) error { return os.Rename(filepath.Join(from, name), filepath.Join(to, name)) }
	has := slices.Contains(names, versionFile)
	if has && versionFirst {
		if err := errors.Join(move(versionFile), syncFolder(from), syncFolder(to)); err != nil {
			return err
		}
	}
	for _, name := range names {
		if name == versionFile {
			continue
		}
		if err := move(name); err != nil {
			return err
		}
	}
	if err := errors.Join(syncFolder(from), syncFolder(to)); err != nil {
		return err
	}
	if has && !versionFirst {
		return errors.Join(move(versionFile), syncFolder(from), syncFolder(to))
	}
	return nil
}

// sync writes everything in the volume's file system to the disk.
func (v volume) sync() error {
	folder, err := os.Open(string(v))
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(folder.Fd())), folder.Close())
}

// room is what the volume's file system has left for an ordinary user, in bytes.
func (v volume) room() (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(string(v), &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil
}

// ranAlone says whether the cluster was last started by something else than
// this package: PostgreSQL notes the command line of its last start.
func (v volume) ranAlone() bool {
	text, err := os.ReadFile(filepath.Join(string(v), "postmaster.opts"))
	return err == nil && !strings.Contains(string(text), filepath.Join(runFolder, configFile))
}
