package rotation

import (
	"errors"
	"io"
	"iter"
	"os"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
)

// data are the parts of a file between from and to that are no holes, in order.
// A file system that does not tell holes has none.
func data(file *os.File, from, to int64) iter.Seq2[archive.Range, error] {
	return func(yield func(archive.Range, error) bool) {
		for at := from; at < to; {
			start, err := unix.Seek(int(file.Fd()), at, unix.SEEK_DATA)
			if errors.Is(err, unix.ENXIO) {
				return // nothing but a hole is left
			}
			if errors.Is(err, unix.EINVAL) {
				yield(archive.Range{Start: at, End: to}, nil)
				return
			}
			if err != nil {
				yield(archive.Range{}, err)
				return
			}
			if start >= to {
				return
			}
			end, err := unix.Seek(int(file.Fd()), start, unix.SEEK_HOLE)
			if err != nil {
				yield(archive.Range{}, err)
				return
			}
			if !yield(archive.Range{Start: start, End: min(end, to)}, nil) {
				return
			}
			at = end
		}
	}
}

// firstData is where the first part that is no hole begins; size where there is none.
func firstData(file *os.File, size int64) (int64, error) { return dataFrom(file, 0, size) }

// dataFrom is firstData, from a place in the file on.
func dataFrom(file *os.File, from, size int64) (int64, error) {
	for r, err := range data(file, from, size) {
		return r.Start, err
	}
	return size, nil
}

// without is what is left of the ranges when one range is left out.
func without(ranges iter.Seq2[archive.Range, error], out archive.Range) iter.Seq2[archive.Range, error] {
	return func(yield func(archive.Range, error) bool) {
		for r, err := range ranges {
			if err != nil || out.End <= r.Start || r.End <= out.Start {
				if !yield(r, err) {
					return
				}
				continue
			}
			if r.Start < out.Start && !yield(archive.Range{Start: r.Start, End: out.Start}, nil) {
				return
			}
			if out.End < r.End && !yield(archive.Range{Start: out.End, End: r.End}, nil) {
				return
			}
		}
	}
}

// copyRanges writes those parts of a file, and says how many bytes they had. A
// file that ends before is an error: its writer truncated it.
func copyRanges(to io.Writer, file *os.File, ranges iter.Seq2[archive.Range, error], buffer []byte) (int64, error) {
	var copied int64
	for r, err := range ranges {
		if err != nil {
			return copied, err
		}
		for at := r.Start; at < r.End; {
			n, err := file.ReadAt(buffer[:min(int64(len(buffer)), r.End-at)], at)
			if n > 0 {
				if _, err := to.Write(buffer[:n]); err != nil {
					return copied, err
				}
				at += int64(n)
				copied += int64(n)
				continue
			}
			if errors.Is(err, io.EOF) {
				return copied, errShrunk
			}
			return copied, err
		}
	}
	return copied, nil
}

// errShrunk is that a file became shorter while it was read.
var errShrunk = errors.New("its writer truncated it meanwhile")
