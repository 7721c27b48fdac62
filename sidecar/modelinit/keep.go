package modelinit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
)

// lastRun is the record of the last run; zero where there is none that can be
// read, which means that there is something to do.
func (j *job) lastRun() initrecord.Record {
	text, err := os.ReadFile(filepath.Join(j.config.Places.Folder, initrecord.File))
	if err != nil {
		return initrecord.Record{}
	}
	record, err := initrecord.ParseRecord(text)
	if err != nil {
		return initrecord.Record{}
	}
	return record
}

// keep puts the record in the place of the one before, whole or not at all.
func (j *job) keep(r initrecord.Record) error {
	path := filepath.Join(j.config.Places.Folder, initrecord.File)
	r.Problem = j.log.clean(r.Problem)
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = writeThrough(path+".new", append(text, '\n'))
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("keeping the record of this run: %w", err)
	}
	return nil
}

func writeThrough(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// again is the file that asks for a run although nothing changed. It goes once
// that run has begun, which is on record by then.
func (j *job) again() string { return filepath.Join(j.config.Places.Folder, initrecord.Again) }

// lockFile is on the orchestrator's own volume: what must not be changed by two
// is there.
const lockFile = ".inmanta-init.lock"

// lock keeps other runs away from the orchestrator, until release or the end of
// this process, however that comes.
func (j *job) lock() (release func(), err error) {
	path := filepath.Join(j.config.Places.State, lockFile)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking the orchestrator's volume against other runs: %w", err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder := make([]byte, 200)
		n, _ := file.Read(holder)
		file.Close()
		return nil, failure{
			code: initrecord.CodeLocked, what: strings.TrimSpace("another run is at work on this orchestrator: " + strings.TrimSpace(string(holder[:n]))),
			fix: "wait until it is done: inmanta-docker logs -f init; then, if it is still wanted: inmanta-docker up",
		}
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("locking the orchestrator's volume against other runs: %w", err)
	}
	host, _ := os.Hostname()
	// For whoever finds it locked; the lock holds without it.
	_ = file.Truncate(0)
	_, _ = file.WriteAt(fmt.Appendf(nil, "container %s, since %s\n", host, time.Now().UTC().Format(time.RFC3339)), 0)
	return func() { file.Close() }, nil
}

// clear makes the folder of this run, without anything of one before.
func (j *job) clear() error {
	err := os.RemoveAll(j.config.work())
	if errors.Is(err, fs.ErrPermission) {
		openFolders(j.config.work())
		err = os.RemoveAll(j.config.work())
	}
	if err != nil {
		return fmt.Errorf("removing what the last run left: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(j.config.work(), "home"), 0o700); err != nil {
		return fmt.Errorf("making a folder for this run: %w", err)
	}
	return nil
}

// openFolders lets its owner remove what is in a folder that a test has closed,
// as some caches are.
func openFolders(root string) {
	_ = filepath.WalkDir(root, func(path string, at fs.DirEntry, err error) error {
		if err == nil && at.IsDir() {
			err = os.Chmod(path, 0o700) // before it is read
		}
		if err != nil && at != nil && at.IsDir() {
			return fs.SkipDir // removing it says why
		}
		return nil
	})
}
