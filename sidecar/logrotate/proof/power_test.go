package proof

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Power is cut as file systems are tested against that: FS_IOC_SHUTDOWN makes
// ext4 and xfs forget, at once, whatever is not on the disk or in the log that
// is. What is found after the next mount is what a machine would find.

const (
	shutdown   = 0x8004587d // FS_IOC_SHUTDOWN
	withoutLog = 2          // not even what waits to be written to the log
)

// A disk is a file system that can lose its power.
type disk struct {
	t         *testing.T
	image, at string
}

// plug makes one, and its folder of logs.
func (f filesystem) plug(t *testing.T) (*disk, string) {
	t.Helper()
	root := scratch(t)
	d := &disk{t: t, image: filepath.Join(root, "image"), at: filepath.Join(root, f.name)}
	f.format(t, d.image)
	if err := os.Mkdir(d.at, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "mount", "-o", "loop", d.image, d.at)
	t.Cleanup(func() { _ = unix.Unmount(d.at, unix.MNT_DETACH) })
	return d, owned(t, filepath.Join(d.at, "logs"))
}

// sync brings all that is written so far to the disk.
func (d *disk) sync() { d.on(func(fd int) error { return unix.Syncfs(fd) }) }

// commit has somebody else wait for the disk: with that, names and sizes are on
// it, and of the bytes of others as much as happens to be.
func (d *disk) commit() {
	file, err := os.Create(filepath.Join(d.at, "other"))
	if err == nil {
		_, _ = file.WriteString("x")
		err = errors.Join(file.Sync(), file.Close())
	}
	if err != nil {
		d.t.Error(err)
	}
}

// cut takes the power away: nothing can be read or written until it is back.
func (d *disk) cut() {
	d.on(func(fd int) error { return unix.IoctlSetPointerInt(fd, shutdown, withoutLog) })
}

func (d *disk) on(do func(fd int) error) {
	fd, err := unix.Open(d.at, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err == nil {
		err = do(fd)
		_ = unix.Close(fd)
	}
	if err != nil {
		d.t.Errorf("%s: %v", d.at, err)
	}
}

// back mounts it again: the file system mends itself from its log.
func (d *disk) back() {
	d.t.Helper()
	// A process that starts just now in another test may have our files open
	// until it is one.
	eventually(d.t, func() error { return unix.Unmount(d.at, 0) })
	run(d.t, "mount", "-o", "loop", d.image, d.at)
}

// It runs alone: each process that another test starts has the files of this one
// open for a moment, and then there is no unmounting.
func TestPowerCutBeforeEachChange(t *testing.T) {
	for _, name := range []string{"ext4", "xfs"} {
		if name != "ext4" && !soaking {
			continue
		}
		t.Run(name, func(t *testing.T) {
			if fs := on(t, name); fs.there(t) {
				powerCutBeforeEachChange(t, fs)
			}
		})
	}
}

// The lines were on the disk before the rotation began; after the cut and the
// next start, each of them is there, once.
func powerCutBeforeEachChange(t *testing.T, fs filesystem) {
	d, folder := fs.plug(t)
	what := taskIn(t, folder)
	what.State = owned(t, filepath.Join(d.at, "state"))
	s := stock(t, what)
	var total sum
	for number := 1; ; number++ {
		s.begin()
		s.write(150)
		d.sync()
		var last change
		_, err := traced(t, what, func(now int, next change) bool {
			last = next
			if now < number {
				return true
			}
			if number%2 == 0 {
				d.commit()
			}
			d.cut()
			return false
		})
		if err == nil {
			t.Logf("%d changes: %v", number-1, total)
			if number < 30 {
				t.Errorf("only %d changes were seen", number-1)
			}
			return
		}
		s.restart(d.back)
		found := s.mend(what)
		total.add(found)
		if !found.perfect() {
			t.Fatalf("cut before change %d, %s: %v", number, last, found)
		}
	}
}
