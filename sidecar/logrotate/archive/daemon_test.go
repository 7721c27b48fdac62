package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// holds is how the writer of a log holds its file.
type holds int

const (
	reopens   holds = iota // looks before each line whether the file has its name
	appends                // keeps it, O_APPEND
	ownOffset              // keeps it, and writes where it left off
)

// daemon rotates one log of a real folder, one labelled step after the other as
// the test says, and is the log's writer as well.
type daemon struct {
	t      testing.TB
	random *rand.Rand
	folder *os.File
	log    string
	format Format
	holds  holds

	written bytes.Buffer // all that was ever written
	length  atomic.Int64 // of that
	lines   int
	writer  *os.File
	now     time.Time
	gaps    sync.Map // of Range, by inode
	seam    Range    // where the next line of a writer with its own offset leaves a gap
	steps   []string

	segment string // set aside and not archived; empty where there is none
	pieces  int
	next    func()
}

const block = 4096

func newDaemon(t testing.TB, random *rand.Rand, path string, format Format, holds holds) *daemon {
	folder, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{
		t: t, random: random, folder: folder, log: "server.log", format: format, holds: holds,
		now: moment,
	}
	d.write()
	return d
}

func (d *daemon) close() {
	d.writer.Close()
	d.folder.Close()
}

func (d *daemon) path(base string) string { return filepath.Join(d.folder.Name(), base) }

func (d *daemon) must(label string, err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatalf("%s: %v, after %q", label, err, d.steps)
	}
}

// step does one thing that the daemon or the writer does, whole.
func (d *daemon) step() {
	switch {
	case d.random.IntN(3) == 0:
		d.note("write")
		d.write()
	case d.next != nil:
		d.next()
	default:
		d.setAside()
	}
}

func (d *daemon) note(label string) { d.steps = append(d.steps, label) }

func (d *daemon) write() {
	if d.writer == nil || d.holds == reopens && inode(d.folder, d.log) != d.inode(d.writer) {
		if d.writer != nil {
			d.writer.Close()
		}
		flags := os.O_WRONLY | os.O_CREATE
		if d.holds != ownOffset {
			flags |= os.O_APPEND
		}
		var err error
		d.writer, err = os.OpenFile(d.path(d.log), flags, 0o600)
		d.must("opening the log", err)
	}
	text := bytes.NewBuffer(nil)
	for range 1 + d.random.IntN(100) {
		d.lines++
		fmt.Fprintf(text, "%s INFO line %d %0*d end of %d\n", d.now.Format("2006-01-02 15:04:05,000"), d.lines, 1+d.random.IntN(120), 0, d.lines)
	}
	if d.seam != (Range{}) {
		d.gaps.Store(d.inode(d.writer), d.seam)
		d.seam = Range{}
	}
	d.written.Write(text.Bytes())
	_, err := d.writer.Write(text.Bytes())
	d.must("writing", err)
	d.length.Store(int64(d.written.Len()))
	d.now = d.now.Add(time.Duration(d.random.IntN(2000)) * time.Millisecond)
}

func (d *daemon) inode(file *os.File) uint64 {
	var stat unix.Stat_t
	d.must("looking", unix.Fstat(int(file.Fd()), &stat))
	return stat.Ino
}

func (d *daemon) readGaps(file *os.File) ([]Range, error) {
	if gap, is := d.gaps.Load(d.inode(file)); is {
		return []Range{gap.(Range)}, nil
	}
	return nil, nil
}

func (d *daemon) setAside() {
	if inode(d.folder, d.log) == 0 {
		return
	}
	d.note("set aside")
	d.now = d.now.Truncate(time.Second).Add(time.Second)
	d.segment, d.pieces = Name{Log: d.log, Time: d.now}.String(), 0
	d.rename(d.log, d.segment)
	d.next = d.settle
}

func (d *daemon) rename(from, to string) {
	fd := int(d.folder.Fd())
	d.must("renaming "+from, unix.Renameat2(fd, from, fd, to, unix.RENAME_NOREPLACE))
}

// settle archives a segment whole once its writer has gone on, and in pieces
// where he never does.
func (d *daemon) settle() {
	switch {
	case d.holds != reopens:
		d.next = d.takePiece
	case inode(d.folder, d.log) == 0:
		d.note("wait")
	case d.format == Plain:
		d.note("it is its archive")
		d.segment, d.next = "", nil
	default:
		d.note("archive whole")
		file, err := os.Open(d.path(d.segment))
		d.must("opening the segment", err)
		defer file.Close()
		d.archive(file, 0, 1<<40, 0)
		d.must("removing", os.Remove(d.path(d.segment)))
		d.segment, d.next = "", nil
	}
}

// archive writes what is in a part of a file to an archive of its own.
func (d *daemon) archive(file *os.File, from, to int64, part int) {
	name, _ := Parse(d.segment)
	name.Part, name.Format = part, d.format
	target, err := os.OpenFile(d.path(name.Temporary()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	d.must("making an archive", err)
	defer target.Close()
	writer, err := NewWriter(target, d.format, 0)
	d.must("compressing", err)
	text, err := io.ReadAll(io.NewSectionReader(file, from, to-from))
	d.must("reading", err)
	// No line has a NUL: what is one was never written, or is in an archive.
	_, err = writer.Write(bytes.ReplaceAll(text, []byte{0}, nil))
	d.must("archiving", err)
	d.must("completing", writer.Close())
	d.rename(name.Temporary(), name.String())
}

func (d *daemon) takePiece() {
	file, err := os.OpenFile(d.path(d.segment), os.O_RDWR, 0)
	d.must("opening the segment", err)
	defer file.Close()
	size, err := file.Seek(0, io.SeekEnd)
	d.must("measuring", err)
	start, _, err := dataAfter(file, 0)
	d.must("looking for data", err)
	end := (size - 1) / block * block
	if end <= start {
		d.next = d.putBack
		_, gap := d.gaps.Load(d.inode(file))
		if start > 0 && start%block == 0 && start < size && !gap && d.seam == (Range{}) && d.random.IntN(2) == 0 {
			d.next = d.collapse
		}
		return
	}
	d.note("take a piece")
	end = min(end, start+int64(1+d.random.IntN(4))*block)
	d.pieces++
	d.archive(file, start, end, d.pieces)
	d.must("punching", unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, end))
	if d.random.IntN(3) == 0 {
		d.next = d.putBack
	}
}

func (d *daemon) collapse() {
	file, err := os.OpenFile(d.path(d.segment), os.O_RDWR, 0)
	d.must("opening the segment", err)
	defer file.Close()
	size, err := file.Seek(0, io.SeekEnd)
	d.must("measuring", err)
	hole, _, err := dataAfter(file, 0)
	d.must("looking for data", err)
	d.next = d.putBack
	err = unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_COLLAPSE_RANGE, 0, hole)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
		d.note("cannot collapse")
		return
	}
	d.must("collapsing", err)
	d.note("collapse")
	if d.holds == ownOffset {
		d.seam = Range{size - hole, size}
	}
}

func (d *daemon) putBack() {
	d.note("put back")
	d.rename(d.segment, d.log)
	d.segment, d.next = "", nil
}

// retain removes all but so many archives and segments, the oldest first.
func (d *daemon) retain(keep int) (removed int) {
	l, err := list(d.folder, d.log)
	d.must("listing", err)
	var archives []item
	for _, i := range l.items {
		if i.fixed() {
			archives = append(archives, i)
		}
	}
	for _, i := range archives[:max(0, len(archives)-keep)] {
		d.note("remove " + i.base())
		d.must("removing", os.Remove(d.path(i.base())))
		removed++
	}
	return removed
}
