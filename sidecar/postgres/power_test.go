package postgres

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// FS_IOC_SHUTDOWN makes ext4 forget, at once, whatever is not on the disk, as a
// machine does that loses its power.
const (
	shutdown   = 0x8004587d
	withoutLog = 2
)

// disk is a file system that can lose its power.
type disk struct {
	t         *testing.T
	image, at string
}

// plug makes one; nil where that cannot be done.
func plug(t *testing.T) *disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Log("NOT RUN: it takes root to mount a file system")
		return nil
	}
	d := &disk{t, filepath.Join(t.TempDir(), "image"), t.TempDir()}
	d.must("truncate", "-s", "16M", d.image)
	d.must("mkfs.ext4", "-q", d.image)
	t.Cleanup(func() { _ = unix.Unmount(d.at, unix.MNT_DETACH) })
	d.mount()
	return d
}

func (d *disk) must(command ...string) {
	d.t.Helper()
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		d.t.Fatalf("%q: %v: %s", command, err, out)
	}
}

// mount: what is written reaches the disk by itself after so many seconds, and
// the content of a file not because of its new name.
func (d *disk) mount() {
	d.t.Helper()
	d.must("mount", "-o", "loop,commit=300,noauto_da_alloc", d.image, d.at)
}

// cut takes the power away, and gives it back.
func (d *disk) cut() {
	d.t.Helper()
	folder, err := os.Open(d.at)
	if err == nil {
		err = errors.Join(unix.IoctlSetPointerInt(int(folder.Fd()), shutdown, withoutLog), folder.Close())
	}
	if err != nil {
		d.t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); unix.Unmount(d.at, 0) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatal("it stays mounted")
		}
	}
	d.mount()
}

// A node's note is on the disk when it has been taken, and so is its name. These
// tests run by themselves: what another one starts has the file system's files
// open for a moment, and then there is no unmounting.
func TestANoteSurvivesAPowerCut(t *testing.T) {
	d := plug(t)
	if d == nil {
		return
	}
	before, after := Record{Node: FirstNode, Role: Primary, System: ours}, Record{Node: FirstNode, Role: Primary, System: ours, Strict: true}
	if err := errors.Join(writeRecord(d.at, before), volume(d.at).sync(), writeRecord(d.at, after)); err != nil {
		t.Fatal(err)
	}
	d.cut()
	if got, found, err := readRecord(d.at); err != nil || !found || got != after {
		t.Errorf("%v: after a power cut the note is %+v, want %+v", err, got, after)
	}
}

// A copy is on the disk before it takes the place of what is there.
func TestACopySurvivesAPowerCut(t *testing.T) {
	d := plug(t)
	if d == nil {
		return
	}
	a := &agent{config: Config{Node: SecondNode, Peer: FirstNode}, volume: volume(d.at), log: io.Discard}
	fill(t, a.volume.own(""), "", lockFile) // one that this process holds would stay open
	if err := a.enter(making); err != nil {
		t.Fatal(err)
	}
	fill(t, a.volume.staging(), "new", versionFile, "base/1/2", "global/pg_control")
	if err := a.settle(func(r *Record) { r.Role = Standby }); err != nil {
		t.Fatal(err)
	}
	d.cut()
	if content, is := whole(t, d.at); !is || content != "new" {
		t.Error("after a power cut the copy is not whole")
	}
}
