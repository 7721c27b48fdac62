package rotation

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
)

// recover brings to an end what a process before left half done. What it cannot
// read of the notes is a problem, and found out from the files themselves.
func (f *Folder) recover() error {
	bases, err := f.bases()
	if err != nil {
		return err
	}
	var noted intent
	_, err = look(f.state, writersFile)
	compare := errors.Is(err, unix.ENOENT)
	if err := readState(f.state, intentFile, &noted); err != nil {
		f.Problems = append(f.Problems, fmt.Errorf("reading what was going on: %w", err))
		noted, compare = intent{}, true
	}
	for _, m := range noted.Moves {
		f.options.Step("recover")
		if err := f.exclusively(func() error { return f.complete(noted.Piece, m) }); err != nil {
			// The next attempt at this log says so, too, if it lasts.
			f.Problems = append(f.Problems, fmt.Errorf("completing the rotation of %s: %w", m.Segment, err))
		}
	}
	for _, base := range bases {
		if base == scratch || archive.Temporary(base) {
			if err := unlink(f.dir, base); err != nil {
				return fmt.Errorf("removing %s, which is not complete: %w", base, err)
			}
		}
	}
	if compare {
		if err := f.exclusively(func() error { return f.compare(bases) }); err != nil {
			f.Problems = append(f.Problems, err)
		}
	}
	if err := f.sys.sync(f.dir); err != nil {
		return fmt.Errorf("syncing %s: %w", f.options.Path, err)
	}
	f.options.Step("forget what was going on")
	if err := f.removeState(intentFile); err != nil {
		return err
	}
	return f.writeState(writersFile, f.writers.list())
}

// complete makes sure that what an archive holds is in its source no more.
func (f *Folder) complete(piece bool, m move) error {
	there, err := exists(f.dir, m.Archive)
	if err != nil || !there {
		return err // then nothing was removed
	}
	if piece {
		return f.completePiece(m)
	}
	file, is, err := f.openFit(m.Segment, unix.O_RDONLY)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if is.inode != m.Inode {
		return nil
	}
	if is.size == m.Size && f.sys.lease(file) == nil {
		return unlink(f.dir, m.Segment)
	}
	// Somebody wrote to it since: it is archived again, with that.
	return unlink(f.dir, m.Archive)
}

func (f *Folder) completePiece(m move) error {
	for _, base := range []string{m.Segment, segmentLog(m.Segment)} {
		file, is, err := f.openFit(base, unix.O_RDWR)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return err
		}
		defer file.Close()
		if is.inode != m.Inode {
			continue
		}
		if is.size < m.End {
			return nil // truncated since
		}
		if err := f.sys.punch(file, m.End); err != nil {
			return err
		}
		return f.sys.sync(file)
	}
	return nil
}

// segmentLog is the name of the log that a segment is of.
func segmentLog(base string) string {
	name, _ := archive.Parse(base)
	return name.Log
}

// compare looks, without notes, for archives whose source is still there: it
// begins with what they hold. They are removed, since what they hold is not lost
// with them.
//
// A segment that goes on as its last piece began, to the byte, would be taken
// for one; a log is not like that.
func (f *Folder) compare(bases []string) error {
	newest := map[string]archive.Name{} // by segment
	for _, base := range bases {
		name, is := archive.Parse(base)
		if !is || segment(name) || name.Kind != archive.Ours {
			continue
		}
		of := archive.Name{Log: name.Log, Time: name.Time}.String()
		if last, is := newest[of]; !is || archive.Compare(last, name) < 0 {
			newest[of] = name
		}
	}
	var failed error
	for _, base := range bases {
		last, is := newest[base]
		if !is {
			continue
		}
		holds, err := f.holds(base, last)
		if err == nil && holds {
			f.options.Step("remove what is twice")
			err = unlink(f.dir, last.String())
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("comparing %s with %s: %w", last, base, err))
		}
	}
	return failed
}

// holds says whether a segment begins with all that an archive holds.
func (f *Folder) holds(base string, name archive.Name) (bool, error) {
	source, is, err := f.openFit(base, unix.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer source.Close()
	file, _, err := f.openFit(name.String(), unix.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer file.Close()
	reader, err := archive.NewReader(file, name.Format)
	if err != nil {
		return false, err
	}
	defer reader.Close()
	same := &comparison{with: reader}
	_, err = copyRanges(same, source, data(source, 0, is.size), make([]byte, 64<<10))
	switch {
	case errors.Is(err, errDiffers):
		return false, nil
	case errors.Is(err, errEnds):
		return true, nil
	case err != nil:
		return false, err
	}
	return same.ended()
}

// Gaps are the parts of an open file of a log that a reader leaves out though
// they are no holes: bytes that nobody wrote, and what is in an archive already
// because the process that put it there was killed. state is the folder of the
// state, dir that of the logs.
func Gaps(state, dir, file *os.File) ([]archive.Range, error) {
	w, err := readWriters(state)
	if err != nil {
		return nil, err
	}
	is, err := look(file, "")
	if err != nil {
		return nil, err
	}
	k, err := w.now(file, is)
	if err != nil {
		return nil, err
	}
	var gaps []archive.Range
	if k.Gap != nil {
		gaps = append(gaps, *k.Gap)
	}
	var noted intent
	if err := readState(state, intentFile, &noted); err != nil {
		return nil, err
	}
	for _, m := range noted.Moves {
		if m.Inode != is.inode {
			continue
		}
		if there, err := exists(dir, m.Archive); err != nil {
			return nil, err
		} else if there {
			gaps = append(gaps, archive.Range{Start: 0, End: max(m.Size, m.End)})
		}
	}
	return gaps, nil
}
