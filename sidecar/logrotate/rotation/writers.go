package rotation

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
)

// Writer is how a file's writer holds it, as far as it was found out.
type Writer string

// How a writer may hold its file.
const (
	// Unknown: it was never set aside.
	Unknown Writer = ""
	// Keeps: it goes on writing to a file that was renamed. Where it writes is
	// not known yet.
	Keeps Writer = "keeps"
	// Appends: it keeps the file, and writes at the end wherever that is (O_APPEND).
	Appends Writer = "appends"
	// OwnOffset: it keeps the file, and writes where it left off.
	OwnOffset Writer = "own offset"
)

// knowledge is what was found out of one file.
type knowledge struct {
	Inode  Inode  `json:"inode"`
	Log    string `json:"log"` // the log that the file is of
	Writer Writer `json:"writer"`
	// Seam is set from a collapse on until the writer's next line tells Appends
	// from OwnOffset.
	Seam *seam `json:"seam,omitempty"`
	// Gap is what a writer with an offset of its own leaves behind after a
	// collapse: bytes that nobody wrote.
	Gap *archive.Range `json:"gap,omitempty"`
}

// seam is where a file was when its beginning was collapsed.
type seam struct {
	Size   int64 `json:"size"`   // before, in bytes; the writer may have added to it since
	Length int64 `json:"length"` // of what was collapsed
	After  int64 `json:"after"`  // the size after it; 0 where that is not known
}

// writersFile holds the knowledge in the state folder.
const writersFile = "writers.json"

// writers is the knowledge of all files that are there.
type writers map[Inode]knowledge

func (w writers) list() []knowledge {
	all := make([]knowledge, 0, len(w))
	for _, k := range w {
		all = append(all, k)
	}
	return all
}

// readWriters reads the knowledge. What cannot be read is found out again.
func readWriters(state *os.File) (writers, error) {
	w := writers{}
	var all []knowledge
	if err := readState(state, writersFile, &all); err != nil {
		return w, err
	}
	for _, k := range all {
		w[k.Inode] = k
	}
	return w, nil
}

// know notes what was found out, durably before anything relies on it.
func (f *Folder) know(k knowledge) error {
	old, known := f.writers[k.Inode]
	if known && old == k {
		return nil
	}
	f.writers[k.Inode] = k
	err := f.writeState(writersFile, f.writers.list())
	if err != nil {
		if delete(f.writers, k.Inode); known {
			f.writers[k.Inode] = old
		}
	}
	return err
}

// forget drops what is known of files that are gone, of the logs that were
// looked for: of others nothing was seen.
func (f *Folder) forget(looked func(log string) bool, present map[Inode]bool) error {
	gone := false
	for inode, k := range f.writers {
		if !present[inode] && looked(k.Log) {
			delete(f.writers, inode)
			gone = true
		}
	}
	if !gone {
		return nil
	}
	return f.writeState(writersFile, f.writers.list())
}

// now is what is known of an open file as it is now.
func (w writers) now(file *os.File, is facts) (knowledge, error) {
	k := w[is.inode]
	k.Inode = is.inode
	return k.now(file, is.size)
}

// now follows the writer up to the file's present size: a seam that the writer
// has gone on from tells how it writes; a truncated file has neither seam nor gap.
func (k knowledge) now(file *os.File, size int64) (knowledge, error) {
	if k.Gap != nil {
		// What its writer wrote there since, after it truncated the file, counts.
		if empty, err := zero(file, *k.Gap, size); err != nil {
			return k, err
		} else if !empty {
			k.Gap = nil
		}
	}
	if k.Seam == nil {
		return k, nil
	}
	was := *k.Seam
	rest := was.Size - was.Length // what the collapse left, at least
	switch {
	case size < rest:
		k.Seam = nil // truncated: nothing can be told
		return k, nil
	case size < was.Size:
		// A writer with an offset of its own would be beyond its old size.
		if was.After > 0 && size > was.After {
			k.Seam, k.Writer = nil, Appends
		}
		return k, nil
	}
	if start, err := firstData(file, size); err != nil || start >= was.Length {
		k.Seam = nil // the hole is there: nothing was collapsed after all
		return k, err
	}
	gap, found, err := gapAt(file, was, size)
	if err != nil {
		return k, err
	}
	k.Seam = nil
	if found {
		k.Writer, k.Gap = OwnOffset, &gap
	} else {
		k.Writer = Appends
	}
	return k, nil
}

// seamSlack bounds how much a writer may have written between the look at the
// size and the collapse, in bytes.
const seamSlack = 16 << 20

// gapAt looks for what a writer with an offset of its own leaves unwritten after
// a collapse: zeros up to where it went on, which is where the file ended or, for
// what it wrote in that moment, a little behind. Others that append may have
// written over the beginning of it.
func gapAt(file *os.File, was seam, size int64) (archive.Range, bool, error) {
	rest := was.Size - was.Length
	gap, found, err := run(file, archive.Range{Start: max(rest, was.Size-leastGap), End: min(size, was.Size+seamSlack)})
	if err != nil || !found || gap.End < was.Size {
		return archive.Range{}, false, err
	}
	// It begins further to the front, where the last byte is that somebody wrote.
	var written []archive.Range
	for r, err := range data(file, rest, gap.Start) {
		if err != nil {
			return archive.Range{}, false, err
		}
		written = append(written, r)
	}
	gap.Start = rest
	for _, r := range slices.Backward(written) {
		zeros, err := zerosBefore(file, r)
		if err != nil {
			return archive.Range{}, false, err
		}
		if zeros < r.End-r.Start {
			gap.Start = r.End - zeros
			break
		}
	}
	return gap, gap.End-gap.Start >= min(was.Length, leastGap), nil
}

// leastGap is what a writer leaves at least: what is collapsed are whole blocks.
const leastGap = 4 << 10

// run is the first run of at least leastGap zero bytes, or of as many as there
// are up to the end, in a part of a file, and how far it goes.
func run(file *os.File, in archive.Range) (archive.Range, bool, error) {
	buffer := make([]byte, 64<<10)
	start := in.Start
	for at := in.Start; at < in.End; {
		n, err := file.ReadAt(buffer[:min(int64(len(buffer)), in.End-at)], at)
		if n == 0 {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return archive.Range{}, false, err
		}
		for i, b := range buffer[:n] {
			if b == 0 {
				continue
			}
			if here := at + int64(i); here-start >= leastGap {
				return archive.Range{Start: start, End: here}, true, nil
			}
			start = at + int64(i) + 1
		}
		at += int64(n)
	}
	return archive.Range{Start: start, End: in.End}, in.End-start >= leastGap, nil
}

// zerosBefore is how many zero bytes a part of a file ends with.
func zerosBefore(file *os.File, in archive.Range) (int64, error) {
	buffer := make([]byte, 64<<10)
	for end := in.End; end > in.Start; {
		start := max(in.Start, end-int64(len(buffer)))
		n, err := file.ReadAt(buffer[:end-start], start)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if written := bytes.TrimRight(buffer[:n], "\x00"); len(written) > 0 {
			return in.End - start - int64(len(written)), nil
		}
		end = start
	}
	return in.End - in.Start, nil
}

// zero says whether a part of a file is there and has nothing but zeros.
func zero(file *os.File, in archive.Range, size int64) (bool, error) {
	if size < in.End {
		return false, nil
	}
	buffer := make([]byte, 64<<10)
	for r, err := range data(file, in.Start, in.End) {
		if err != nil {
			return false, err
		}
		for at := r.Start; at < r.End; {
			n, err := file.ReadAt(buffer[:min(int64(len(buffer)), r.End-at)], at)
			if n == 0 {
				return false, err
			}
			if bytes.ContainsFunc(buffer[:n], func(c rune) bool { return c != 0 }) {
				return false, nil
			}
			at += int64(n)
		}
	}
	return true, nil
}

// readState reads a file of the state folder; nothing where there is none.
func readState(state *os.File, base string, into any) error {
	file, err := linux.open(state, base, unix.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, largestState))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// largestState is what a file of state may hold, in bytes.
const largestState = 64 << 20
