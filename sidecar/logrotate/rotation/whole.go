package rotation

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
)

// free is a segment that nobody writes to. As long as the file is open, whoever
// wants to has to wait, and it is known that somebody does.
type free struct {
	task Task
	file *os.File
	is   facts
}

// part is an archive being made of a free segment.
type part struct {
	free
	archive, temporary string
	bytes              int64
	err                error
}

// archiveWhole archives segments and removes them, each step for all of them
// before the next one, and tells what became of each.
func (f *Folder) archiveWhole(parts []part, tell func(Outcome)) {
	if len(parts) == 0 {
		return
	}
	for i := range parts {
		parts[i] = f.begin(parts[i].free)
	}
	f.options.Step("sync archives")
	f.syncArchives(parts)
	err := f.finish(parts)
	for i := range parts {
		p := &parts[i]
		o := p.outcome(err)
		if p.temporary != "" {
			// It has its own name by now, or is of no use.
			if err := unlink(f.dir, p.temporary); err != nil && o.Err == nil {
				o.Err = err
			}
		}
		// With that the file system gives the segment's blocks back.
		p.file.Close()
		*p = part{}
		tell(o)
	}
}

func (p *part) outcome(err error) Outcome {
	o := Outcome{Segment: p.task.Segment, Result: Archived, Bytes: p.bytes}
	if p.err != nil {
		err = p.err
	}
	switch {
	case errors.Is(err, errHeld):
		o.Result, o.Why, o.Bytes = Waiting, "somebody opened it while it was archived", 0
	case err != nil:
		o.Result, o.Err, o.Bytes = Failed, fmt.Errorf("archiving %s: %w", p.task.Segment.Base, err), 0
	case p.archive != "":
		o.Archives = []string{p.archive}
	}
	return o
}

// begin writes what is in a segment to a temporary file.
func (f *Folder) begin(one free) part {
	p := part{free: one}
	k, err := f.writers.now(one.file, one.is)
	if err != nil {
		p.err = err
		return p
	}
	if one.is.size == 0 && !one.task.Empty {
		return p // only to be removed
	}
	name := archive.Name{Log: one.task.Segment.Name.Log, Time: one.task.Segment.Name.Time, Format: one.task.Format}
	if taken, err := exists(f.dir, name.String()); err != nil || taken {
		// Somebody has unpacked an archive beside it, or made one.
		same, err := f.holdsNoMore(one, name)
		if err != nil || same {
			p.err = err
			return p // only to be removed
		}
		if name, _, err = f.freeName(one.task, one.task.Pieces+1); err != nil {
			p.err = err
			return p
		}
	}
	p.archive, p.temporary = name.String(), name.Temporary()
	p.bytes, p.err = f.compress(p.temporary, one.task, one.file, one.is, k, archive.Range{Start: 0, End: one.is.size})
	return p
}

// finish gives the archives their names and removes what they were made of.
func (f *Folder) finish(parts []part) error {
	var noted intent
	for i := range parts {
		p := &parts[i]
		if p.err == nil && !f.sys.leased(p.file) {
			p.err = errHeld
		}
		if p.err == nil && p.archive != "" {
			noted.Moves = append(noted.Moves, move{
				Segment: p.task.Segment.Base, Archive: p.archive, Temporary: p.temporary, Inode: p.is.inode, Size: p.is.size,
			})
		}
	}
	f.options.Step("note archives")
	if len(noted.Moves) > 0 {
		if err := f.writeState(intentFile, noted); err != nil {
			return err
		}
	}
	err := f.exclusively(func() error {
		for i := range parts {
			p := &parts[i]
			if p.err != nil || p.archive == "" {
				continue
			}
			f.options.Step("name archive")
			if p.err = f.sys.rename(f.dir, p.temporary, p.archive); p.err == nil {
				p.temporary = ""
			}
		}
		f.options.Step("sync names")
		if err := f.sys.sync(f.dir); err != nil {
			// What may not last must not be taken for an archive, and the next
			// attempt must not make another one beside it.
			for _, p := range parts {
				if p.archive != "" && p.temporary == "" {
					err = errors.Join(err, unlink(f.dir, p.archive))
				}
			}
			return err
		}
		for i := range parts {
			p := &parts[i]
			if p.err != nil {
				continue
			}
			f.options.Step("remove segment")
			p.err = f.removeWhole(p)
		}
		f.options.Step("sync removals")
		return f.sys.sync(f.dir)
	})
	if len(noted.Moves) == 0 {
		return err
	}
	if err != nil || slices.ContainsFunc(parts, func(p part) bool { return p.err != nil }) {
		// Either the archive or its source goes: not both stay.
		if unable := f.unfinish(f.completeAll(noted)); unable != nil {
			return errors.Join(err, unable)
		}
	}
	f.options.Step("forget archives")
	return errors.Join(err, f.removeState(intentFile))
}

// removeWhole removes a segment whose archive is complete, if it still is what
// was archived. If it stays, the archive goes: it will be archived again.
func (f *Folder) removeWhole(p *part) error {
	now, err := look(f.dir, p.task.Segment.Base)
	switch {
	case errors.Is(err, unix.ENOENT), err == nil && now.inode != p.is.inode:
		// Somebody took it away: the archive is all that is left of it.
		return nil
	case err != nil:
	case now.size != p.is.size || !f.sys.leased(p.file):
		err = errHeld
	default:
		err = unlink(f.dir, p.task.Segment.Base)
	}
	if err != nil && p.archive != "" {
		err = errors.Join(err, unlink(f.dir, p.archive))
	}
	return err
}
