package archive

import (
	"bytes"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Range is a part of a file, in bytes from its beginning; End is behind it.
type Range struct{ Start, End int64 }

// uncompressed reads a file as it is, without its holes and gaps, while it grows
// and what is at its beginning is taken away.
type uncompressed struct {
	file *os.File
	gaps func(*os.File) ([]Range, error) // nil where there are none
	at   int64
	// head is where the data began when its reading began. It moves when what
	// was archived becomes a hole, and when that hole is removed.
	head int64
	// last are the bytes before at, as they were read.
	last []byte
}

// errMoved is that a file does not have any more what was read of it where it
// was read.
var errMoved = errors.New("what was read is not there any more")

// verified is how many bytes are looked at again before a file is read on.
const verified = 64

// Read reads on, or says errMoved. io.EOF is only true at the moment.
func (u *uncompressed) Read(p []byte) (int, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(u.file.Fd()), &stat); err != nil {
		return 0, err
	}
	// What its writer adds from here on is read the next time: the gaps are those
	// of this size.
	size := stat.Size
	if moved, err := u.moved(); err != nil {
		return 0, err
	} else if moved {
		return 0, errMoved
	}
	var gaps []Range
	if u.gaps != nil {
		var err error
		if gaps, err = u.gaps(u.file); err != nil {
			return 0, err
		}
	}
	part, err := u.part(size, gaps)
	if err != nil {
		return 0, err
	}
	if part.Start >= part.End {
		return 0, io.EOF
	}
	n, err := u.file.ReadAt(p[:min(int64(len(p)), part.End-part.Start)], part.Start)
	if n == 0 {
		if errors.Is(err, io.EOF) {
			err = errMoved // its writer truncated it just now
		}
		return 0, err
	}
	u.at = part.Start + int64(n)
	u.last = append(u.last[:0], p[max(0, n-verified):n]...)
	return n, nil
}

// moved tells whether the file has changed before the place where it is read.
func (u *uncompressed) moved() (bool, error) {
	head, _, err := dataAfter(u.file, 0)
	if u.at == 0 {
		u.head = head
	}
	if err != nil || head != u.head {
		return true, err
	}
	var again [verified]byte
	n, err := u.file.ReadAt(again[:len(u.last)], u.at-int64(len(u.last)))
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return !bytes.Equal(again[:n], u.last), nil
}

// part is what is to be read next of a file of that size; empty at its end.
func (u *uncompressed) part(size int64, gaps []Range) (Range, error) {
	for at := u.at; at < size; {
		start, end, err := dataAfter(u.file, at)
		if err != nil {
			return Range{}, err
		}
		part := Range{start, min(end, size)}
		inside := false
		for _, gap := range gaps {
			if gap.Start <= part.Start && part.Start < gap.End {
				part.Start, inside = gap.End, true
			} else if gap.Start > part.Start {
				part.End = min(part.End, gap.Start)
			}
		}
		if !inside && part.Start < part.End {
			return part, nil
		}
		// Behind a gap there may be a hole, or another gap.
		at = part.Start
	}
	return Range{}, nil
}

// dataAfter is the first part of a file from a place on that is no hole. Where
// none follows it begins and ends at the largest number.
func dataAfter(file *os.File, at int64) (start, end int64, err error) {
	const never = 1<<63 - 1
	start, err = unix.Seek(int(file.Fd()), at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return never, never, nil
	case errors.Is(err, unix.EINVAL):
		return at, never, nil // this file system does not tell holes
	case err != nil:
		return 0, 0, err
	}
	end, err = unix.Seek(int(file.Fd()), start, unix.SEEK_HOLE)
	if errors.Is(err, unix.ENXIO) {
		return never, never, nil // truncated in between
	}
	return start, end, err
}
