package rotation

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
)

// Options are what the folder needs to be told.
type Options struct {
	// Path is the folder of the logs; State is one for notes, on any file system.
	Path, State string
	// Now tells the time; nil is the clock.
	Now func() time.Time
	// Step is called between any two effects, with the name of the one that
	// comes next: tests end the process there. Nil does nothing.
	Step func(name string)
}

// Folder is a folder of logs, which nobody else rotates meanwhile.
type Folder struct {
	// Problems are notes of an earlier run that could not be read. Nothing is
	// lost with them: what they said is found out again.
	Problems []error

	options Options
	dir     *os.File
	state   *os.File
	busy    *os.File
	gate    *os.File
	alone   sync.Mutex
	sys     system
	can     Abilities
	writers writers
	watches map[string]watch
	// unfinished is why something noted could not be completed.
	unfinished error
	press      press
}

// ErrLocked is that another process rotates the folder's logs.
var ErrLocked = errors.New("another process rotates the logs of this folder")

// scratch is the file that the file system is tried with.
const scratch = ".inmanta-logrotate-try"

// BusyFile is locked by flock(2), in the state folder: alone while bytes are
// both in an archive and in its source, shared by whoever reads both.
const BusyFile = "busy"

// GateFile is locked by readers while they lock BusyFile, and by the process that
// rotates before that and for as long: else readers that take turns would never
// let it in.
const GateFile = "gate"

// Open takes the folder over, and brings to an end what a process before left
// half done. Both folders must exist.
func Open(o Options) (*Folder, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Step == nil {
		o.Step = func(string) {}
	}
	f := &Folder{options: o, sys: linux, watches: map[string]watch{}}
	if err := f.open(); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (f *Folder) open() (err error) {
	if f.dir, err = os.Open(f.options.Path); err != nil {
		return fmt.Errorf("opening the folder of the logs: %w", err)
	}
	// On the folder itself: whatever else the two have apart, it is this one.
	if err := unix.Flock(int(f.dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%s: %w", f.options.Path, ErrLocked)
	} else if err != nil {
		return fmt.Errorf("locking %s: %w", f.options.Path, err)
	}
	if f.state, err = os.Open(f.options.State); err != nil {
		return fmt.Errorf("opening the folder of the state: %w", err)
	}
	for base, lock := range map[string]**os.File{BusyFile: &f.busy, GateFile: &f.gate} {
		if *lock, err = os.OpenFile(filepath.Join(f.options.State, base), os.O_CREATE|os.O_RDWR, 0o644); err != nil {
			return fmt.Errorf("opening the lock for readers: %w", err)
		}
	}
	known := true
	if f.writers, err = readWriters(f.state); err != nil {
		known = false
		f.Problems = append(f.Problems, fmt.Errorf("reading what was known of the writers: %w", err))
	}
	return f.recover(known)
}

// Close lets go of the folder.
func (f *Folder) Close() {
	for _, file := range []*os.File{f.gate, f.busy, f.state, f.dir} {
		if file != nil {
			file.Close()
		}
	}
}

// Abilities are what the file system can do. It is tried at the first call, and
// again after one that failed.
func (f *Folder) Abilities() (Abilities, error) {
	if f.can != (Abilities{}) {
		return f.can, nil
	}
	can, err := f.tryOut()
	if err == nil {
		f.can = can
	}
	return can, err
}

// Path is the folder of the logs.
func (f *Folder) Path() string { return f.options.Path }

// patience is how long readers may keep a step from being taken. One that is
// stopped half way must not keep logs from being rotated.
const patience = 10 * time.Second

// exclusively does something that no reader may see half done.
func (f *Folder) exclusively(do func() error) error {
	f.alone.Lock()
	defer f.alone.Unlock()
	// Readers that come from now on wait at the gate; those that are in come out.
	for _, lock := range []*os.File{f.gate, f.busy} {
		if err := lockSoon(lock); err != nil {
			return fmt.Errorf("locking readers out: %w", err)
		}
		defer func() { _ = unix.Flock(int(lock.Fd()), unix.LOCK_UN) }()
	}
	return do()
}

// lockSoon locks a file, or lets it be where somebody does not give it back.
func lockSoon(file *os.File) error {
	fd := int(file.Fd())
	err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for end := time.Now().Add(patience); errors.Is(err, unix.EWOULDBLOCK) && time.Now().Before(end); {
			<-tick.C
			err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		}
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	}
	return err
}

// File is one file of a log.
type File struct {
	Base string // its name in the folder
	// Name says which log it is of and when it was set aside or archived; of
	// the live file only the log is set.
	Name      archive.Name
	Size      int64       // as the file says, in bytes
	Allocated int64       // what it takes of the file system, in bytes
	Mode      fs.FileMode // its permission bits
	Modified  time.Time
	// Born is zero where the file system does not keep it.
	Born   time.Time
	Inode  Inode
	Writer Writer
}

// Log is what there is of one log. The lists are oldest first.
type Log struct {
	Name string
	// Live is nil where nobody has made the file anew yet.
	Live     *File
	Segments []File
	Archives []File
}

// Newest is the time of the newest of its segments and archives; zero where
// there is none.
func (l Log) Newest() time.Time {
	var newest time.Time
	for _, files := range [][]File{l.Segments, l.Archives} {
		for _, file := range files {
			if file.Name.Time.After(newest) {
				newest = file.Name.Time
			}
		}
	}
	return newest
}

// Pieces is the highest number of the archives that were taken from a segment in
// place, whatever they are compressed with: the next one comes after them.
func (l Log) Pieces(segment File) int {
	highest := 0
	for _, file := range l.Archives {
		if file.Name.Kind == archive.Ours && file.Name.Time.Equal(segment.Name.Time) {
			highest = max(highest, file.Name.Part)
		}
	}
	return highest
}

// Refusal is a file that has a log's name and is not rotated.
type Refusal struct {
	Base, Log, Why string
	// Fault: it is a file, which some log's writer may have made, and no link or
	// folder that somebody put there.
	Fault bool
}

// Is says whether what os.Stat found is this folder.
func (f *Folder) Is(found os.FileInfo) bool {
	own, err := f.dir.Stat()
	return err == nil && os.SameFile(own, found)
}

// Size is a file's size in bytes, or 0.
func (f *Folder) Size(base string) int64 {
	is, err := look(f.dir, base)
	if err != nil {
		return 0
	}
	return is.size
}

// Chmod gives a file other permission bits.
func (f *Folder) Chmod(file File, mode fs.FileMode) error {
	open, is, err := f.openFit(file.Base, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer open.Close()
	if is.inode != file.Inode {
		return nil // made anew meanwhile: the next look sees it
	}
	if err := open.Chmod(mode); err != nil {
		return fmt.Errorf("giving %s the mode %04o: %w", file.Base, mode, err)
	}
	return nil
}
