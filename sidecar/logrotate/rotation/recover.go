package rotation

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
)

// recover brings to an end what a process before left half done. What it cannot
// read of the notes is a problem, and found out from the files themselves; known
// says whether the one of the writers could be read.
func (f *Folder) recover(known bool) error {
	bases, err := f.Bases()
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
	if err := f.completeAll(noted); err != nil {
		return err
	}
	for _, base := range bases {
		if strings.HasPrefix(base, scratch) || archive.Temporary(base) {
			if err := unlink(f.dir, base); err != nil {
				f.Problems = append(f.Problems, fmt.Errorf("removing %s, which is not complete: %w", base, err))
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
	if known && !compare {
		return nil // it is as it was; where nothing more can be written, archives can still be removed
	}
	return f.writeState(writersFile, f.writers.list())
}

// completeAll brings what was noted to an end. As long as that fails nothing
// else may be done: the note would be lost.
func (f *Folder) completeAll(noted intent) error {
	for _, m := range noted.Moves {
		f.options.Step("recover")
		if err := f.exclusively(func() error { return f.complete(noted.Piece, m) }); err != nil {
			return fmt.Errorf("completing the rotation of %s: %w", m.Segment, err)
		}
	}
	return nil
}

// complete makes sure that what an archive holds is in its source no more, or
// that there is no such archive.
func (f *Folder) complete(piece bool, m move) error {
	there, err := exists(f.dir, m.Archive)
	if err != nil || !there {
		return err // then nothing was removed
	}
	if piece {
		return f.completePiece(m)
	}
	// Also one that was given a second name meanwhile, as backups do.
	file, is, err := f.openRegular(m.Segment, unix.O_RDONLY)
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
		file, is, err := f.openRegular(base, unix.O_RDWR)
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
		return f.punchRest(file, base, is, m)
	}
	return nil
}

// punchRest completes a piece whose source is there, by what is left in it.
func (f *Folder) punchRest(file *os.File, base string, is facts, m move) error {
	start, err := firstData(file, is.size)
	switch {
	case err != nil:
		return err
	case start >= m.End:
		return nil // it is punched
	case start > m.First && is.size >= m.End:
		// In part. A file that its writer truncated begins at its beginning, or
		// where the writer left off.
		if err := f.sys.punch(file, m.End); err != nil {
			return err
		}
		return f.sys.sync(file)
	}
	name, _ := archive.Parse(m.Archive)
	holds, err := f.holds(base, name)
	if err != nil || !holds {
		return err // it was truncated and written anew: the archive is all there is of what was in it
	}
	// Nothing is punched, so the archive is not needed.
	if err := unlink(f.dir, m.Archive); err != nil {
		return err
	}
	return f.sys.sync(f.dir)
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

// holdsNoMore says whether an archive and a segment hold the same.
func (f *Folder) holdsNoMore(one free, name archive.Name) (bool, error) {
	begins, length, err := f.holding(one.task.Segment.Base, name)
	if err != nil || !begins {
		return false, err
	}
	var bytes int64
	for r, err := range data(one.file, 0, one.is.size) {
		if err != nil {
			return false, err
		}
		bytes += r.End - r.Start
	}
	return bytes == length, nil
}

// holds says whether a segment begins with all that an archive holds.
func (f *Folder) holds(base string, name archive.Name) (bool, error) {
	begins, _, err := f.holding(base, name)
	return begins, err
}

// holding says whether a segment begins with all that an archive holds, and how
// many bytes that are.
func (f *Folder) holding(base string, name archive.Name) (begins bool, length int64, err error) {
	source, is, err := f.openRegular(base, unix.O_RDONLY)
	if err != nil {
		return false, 0, err
	}
	defer source.Close()
	ranges := data(source, 0, is.size)
	if k, err := f.writers.now(source, is); err != nil {
		return false, 0, err
	} else if k.Gap != nil {
		ranges = without(ranges, *k.Gap)
	}
	file, _, err := f.openRegular(name.String(), unix.O_RDONLY)
	if err != nil {
		return false, 0, err
	}
	defer file.Close()
	reader, err := archive.NewReader(file, name.Format)
	if err != nil {
		return false, 0, err
	}
	defer reader.Close()
	same := &comparison{with: reader}
	_, err = copyRanges(same, source, ranges, make([]byte, 64<<10))
	switch {
	case errors.Is(err, errDiffers):
		return false, 0, nil
	case errors.Is(err, errEnds):
		return true, same.length, nil
	case err != nil:
		return false, 0, err
	}
	begins, err = same.ended()
	return begins, same.length, err
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
