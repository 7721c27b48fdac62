package rotation

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
)

// largestPiece is how much of a log goes into one archive when it is taken
// beneath its writer, in bytes: what is archived needs room beside what is
// given back afterwards.
const largestPiece = 256 << 20

// smallestPiece is how much is tried at least where there is little room.
const smallestPiece = 1 << 20

// takePieces archives what is in a segment that its writer keeps, gives its
// blocks back to the file system, and the file its name.
func (f *Folder) takePieces(task Task) Outcome {
	outcome := Outcome{Segment: task.Segment, Result: Failed}
	// Open for writing, this process would be in its own way when it asks for a
	// lease; so not for longer than this.
	file, is, err := f.openFit(task.Segment.Base, unix.O_RDWR)
	if err != nil {
		if !task.Renewed {
			_, unable := f.putBack(task.Segment)
			err = errors.Join(err, unable)
		}
		outcome.Err = err
		return outcome
	}
	defer file.Close()
	k, err := f.writers.now(file, is)
	if err == nil {
		err = f.know(k)
	}
	switch {
	case err != nil:
	case f.can.Block > 0:
		err = f.takeAll(task, file, k, &outcome)
	case task.CopyTruncate:
		err = f.copyTruncate(task, file, is, k, &outcome)
	default:
		err = fmt.Errorf("its writer keeps it open, and this file system cannot give back what is archived beneath a writer: nothing is lost, but it grows until its writer ends (or INMANTA_LOGROTATE_COPYTRUNCATE=yes allows to lose lines)")
	}
	// It has its name back whatever happened: else its writer's next start would
	// not find it.
	back := false
	if !task.Renewed {
		var unable error
		back, unable = f.putBack(task.Segment)
		err = errors.Join(err, unable)
	}
	switch {
	case err != nil:
		outcome.Err = fmt.Errorf("rotating %s: %w", task.Segment.Name.Log, err)
	case back:
		outcome.Result = Returned
	default:
		outcome.Result, outcome.Why = Waiting, "its writer keeps it beside a new file of that name"
	}
	return outcome
}

// takeAll takes piece after piece, then lets the rest move to the beginning.
func (f *Folder) takeAll(task Task, file *os.File, k knowledge, outcome *Outcome) error {
	is, err := look(file, "")
	if err != nil {
		return err
	}
	start, err := firstData(file, is.size)
	if err != nil {
		return err
	}
	// Whole blocks, and never all of it: what cannot be collapsed is not.
	end := (is.size - 1) / f.can.Block * f.can.Block
	most := int64(largestPiece)
	for part := task.Pieces + 1; start < end; {
		piece := archive.Range{Start: start, End: min(end, (start+most)/f.can.Block*f.can.Block)}
		name, next, err := f.freeName(task, part)
		if err != nil {
			return err
		}
		bytes, err := f.takePiece(task, file, is, k, piece, name)
		if errors.Is(err, unix.ENOSPC) && most > smallestPiece {
			most /= 4 // there may be room for a smaller one, and more after it
			continue
		}
		if err != nil {
			return err
		}
		outcome.Archives, outcome.Bytes = append(outcome.Archives, name.String()), outcome.Bytes+bytes
		part = next
		// Over holes, of which there may be more than of anything else.
		if start, err = dataFrom(file, piece.End, is.size); err != nil {
			return err
		}
	}
	if k.Gap != nil && k.Gap.End <= start {
		k.Gap = nil
		if err := f.know(k); err != nil {
			return err
		}
	}
	return f.collapse(file, k)
}

// freeName is the next name of a piece that no archive has.
func (f *Folder) freeName(task Task, part int) (archive.Name, int, error) {
	for ; ; part++ {
		name := archive.Name{Log: task.Segment.Name.Log, Time: task.Segment.Name.Time, Part: part, Format: task.Format}
		taken, err := exists(f.dir, name.String())
		if err != nil || !taken {
			return name, part + 1, err
		}
	}
}

// takePiece archives a part of a file and punches a hole where it was.
func (f *Folder) takePiece(task Task, file *os.File, was facts, k knowledge, piece archive.Range, name archive.Name) (int64, error) {
	temporary := name.Temporary()
	defer func() { _ = unlink(f.dir, temporary) }()
	first, err := firstData(file, was.size)
	if err != nil {
		return 0, err
	}
	head, err := headAt(file, first)
	if err != nil {
		return 0, err
	}
	bytes, err := f.compress(temporary, task, file, was, k, piece)
	if err != nil {
		return 0, err
	}
	f.options.Step("sync piece")
	if err := f.syncNamed(temporary); err != nil {
		return 0, err
	}
	// Its writer can still truncate it: through the descriptor that it has.
	if now, err := look(file, ""); err != nil || now.size < was.size {
		return 0, errors.Join(err, errShrunk)
	}
	f.options.Step("note piece")
	noted := intent{Piece: true, Moves: []move{{
		Segment: task.Segment.Base, Archive: name.String(), Temporary: temporary, Inode: was.inode, First: first, End: piece.End,
	}}}
	if err := f.writeState(intentFile, noted); err != nil {
		return 0, err
	}
	err = f.exclusively(func() error {
		f.options.Step("name piece")
		if err := f.sys.rename(f.dir, temporary, name.String()); err != nil {
			return err
		}
		f.options.Step("sync piece's name")
		if err := f.sys.sync(f.dir); err != nil {
			return err
		}
		f.options.Step("punch")
		// Once more, as close to it as can be; it may have grown again since.
		if now, err := look(file, ""); err != nil || now.size < was.size {
			return errors.Join(err, errShrunk)
		}
		if now, err := headAt(file, first); err != nil || now != head {
			return errors.Join(err, errShrunk)
		}
		if err := f.sys.punch(file, piece.End); err != nil {
			return fmt.Errorf("giving back what is archived: %w", err)
		}
		f.options.Step("sync punched")
		return f.sys.sync(file)
	})
	if err != nil {
		// Either the archive or its source goes: not both stay.
		err = errors.Join(err, f.unfinish(f.completeAll(noted)))
	}
	f.options.Step("forget piece")
	if f.unfinished == nil {
		err = errors.Join(err, f.removeState(intentFile))
	}
	if err != nil {
		return 0, err
	}
	return bytes, nil
}

// headAt is what a piece begins with: what its writer truncates and writes anew
// begins with something else.
func headAt(file *os.File, first int64) ([512]byte, error) {
	var head [512]byte
	_, err := file.ReadAt(head[:], first)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return head, err
}

// unfinish notes that something noted could not be completed. Nothing else is
// done until the folder is opened anew.
func (f *Folder) unfinish(err error) error {
	if err != nil && f.unfinished == nil {
		f.unfinished = err
	}
	return err
}

// Unfinished is why the folder has to be closed and opened anew, which completes
// what was begun; nil where it need not.
func (f *Folder) Unfinished() error { return f.unfinished }

// collapse removes the hole at the beginning of a file, so that it is as short
// as it looks, unless its writer would go on far behind the end.
//
// Nothing but a hole is removed, so a process that dies here leaves nothing to
// be mended. A writer of which it is not known whether it appends is tried with
// this: if it does not, its next line leaves a gap, which is noted and left out
// from then on.
func (f *Folder) collapse(file *os.File, k knowledge) error {
	if !f.can.Collapse || k.Writer == OwnOffset || k.Seam != nil || k.Gap != nil {
		return nil
	}
	is, err := look(file, "")
	if err != nil {
		return err
	}
	hole, err := firstData(file, is.size)
	if err != nil || hole == 0 || hole >= is.size || hole%f.can.Block != 0 {
		return err
	}
	// Also of one that is known to append: it may have started anew since, in
	// another way, and XFS leaves as much of a gap itself when the process is
	// killed within the call.
	k.Seam = &seam{Size: is.size, Length: hole}
	f.options.Step("note seam")
	if err := f.know(k); err != nil {
		return err
	}
	uncache(file, hole, is.size)
	err = f.exclusively(func() error {
		f.options.Step("collapse")
		// Once more, as close to it as can be: its writer can truncate it.
		if start, err := firstData(file, is.size); err != nil || start < hole {
			return errors.Join(err, errShrunk)
		}
		return f.sys.collapse(file, hole)
	})
	if cannot(err) {
		k.Seam = nil
		return f.know(k) // the hole stays: that costs nothing
	}
	if err != nil {
		// How far it came is found out with the writer's next lines.
		return fmt.Errorf("removing the hole at the beginning: %w", err)
	}
	after, err := look(file, "")
	if err != nil {
		return err
	}
	noted := *k.Seam
	noted.After = after.size
	k.Seam = &noted
	f.options.Step("note what is left")
	return f.know(k)
}

// copyTruncate archives a file and truncates it beneath its writer. Lines that
// are written between the last look and the truncation are lost: it is only done
// where an operator allows it and nothing else frees the file's blocks.
func (f *Folder) copyTruncate(task Task, file *os.File, is facts, k knowledge, outcome *Outcome) error {
	name, _, err := f.freeName(task, task.Pieces+1)
	if err != nil {
		return err
	}
	temporary := name.Temporary()
	defer func() { _ = unlink(f.dir, temporary) }()
	bytes, err := f.compress(temporary, task, file, is, k, archive.Range{Start: 0, End: is.size})
	if err != nil {
		return err
	}
	if err := f.syncNamed(temporary); err != nil {
		return err
	}
	noted := intent{Piece: true, Moves: []move{{
		Segment: task.Segment.Base, Archive: name.String(), Temporary: temporary, Inode: is.inode, End: is.size,
	}}}
	if err := f.writeState(intentFile, noted); err != nil {
		return err
	}
	err = f.exclusively(func() error {
		// What came while that went to the disk, which is most of it.
		late, err := f.append(temporary, task, file, is.size)
		if err != nil {
			return err
		}
		if err := f.syncNamed(temporary); err != nil {
			return err
		}
		f.options.Step("truncate")
		if err := f.sys.rename(f.dir, temporary, name.String()); err != nil {
			return err
		}
		if err := file.Truncate(0); err != nil {
			return fmt.Errorf("truncating it: %w", errors.Join(err, unlink(f.dir, name.String())))
		}
		outcome.Archives, outcome.Bytes = []string{name.String()}, bytes+late
		return f.sys.sync(f.dir)
	})
	return errors.Join(err, f.removeState(intentFile))
}

// append adds what a file has behind a place to an archive, as a member of its own.
func (f *Folder) append(temporary string, task Task, file *os.File, from int64) (int64, error) {
	is, err := look(file, "")
	if err != nil || is.size <= from {
		return 0, err
	}
	to, err := f.sys.open(f.dir, temporary, unix.O_WRONLY|unix.O_APPEND)
	if err != nil {
		return 0, err
	}
	defer to.Close()
	if err := f.press.on(to, task.Format, task.Level); err != nil {
		return 0, err
	}
	late, err := copyRanges(&f.press, file, data(file, from, is.size), f.press.buffer)
	return late, errors.Join(err, f.press.Close())
}
