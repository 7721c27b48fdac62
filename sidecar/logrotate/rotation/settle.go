package rotation

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
)

// Task is a segment, and how it is to be archived.
type Task struct {
	Segment File
	Format  archive.Format
	Level   int
	// Renewed: the log's name is taken by a new file.
	Renewed bool
	// Take: archive also what its writer keeps. Otherwise such a segment waits.
	Take bool
	// Pieces is the highest number of those that were taken from it before.
	Pieces int
	// Empty: also what is empty becomes an archive; else it is removed.
	Empty bool
	// CopyTruncate allows to truncate a file beneath its writer where nothing
	// else frees its blocks: what is written at that moment is lost.
	CopyTruncate bool
}

// Result is what became of a segment.
type Result string

// What may become of a segment.
const (
	// Archived: it is gone, and what was in it is in archives.
	Archived Result = "archived"
	// Kept: nobody holds it, and it is an archive as it is.
	Kept Result = "kept"
	// Returned: its writer keeps it; what there was is archived, and it has the
	// log's name again.
	Returned Result = "returned"
	// Waiting: it stays aside until something happens; Why says what.
	Waiting Result = "waiting"
	// Failed: nothing is lost, and the next call tries again.
	Failed Result = "failed"
)

// Outcome is what became of a segment.
type Outcome struct {
	Segment File
	Result  Result
	// Archives are those that were made, by their names in the folder.
	Archives []string
	// Bytes is how much of the log they hold.
	Bytes int64
	Why   string
	// Again is when it is worth to call again, though nothing happened to the
	// folder; zero where it is not.
	Again time.Time
	// Grows: it is worth to call again when it is larger than Segment.Size.
	Grows bool
	Err   error
}

// watch is what is known of a held segment of which nothing was found out yet.
type watch struct {
	since time.Time
	size  int64 // once lines that were on their way have arrived; -1 before
}

// settling is how long a line that was on its way when the file was renamed may
// take to arrive. One that takes longer is taken for a writer's that keeps its
// file, which loses nothing: such a file is only rotated in another way.
const settling = time.Second

// Settle does with each segment what can be done now, and tells what became of
// it. Whole ones are archived in batches; ctx is looked at between them.
func (f *Folder) Settle(ctx context.Context, tasks iter.Seq[Task], tell func(Outcome)) {
	most := min(largestBatch, descriptors()/2)
	var batch []part
	var bytes int64
	flush := func() {
		f.archiveWhole(batch, tell)
		batch, bytes = batch[:0], 0
	}
	for task := range tasks {
		if f.unfinished != nil {
			tell(Outcome{Segment: task.Segment, Result: Failed, Err: f.unfinished})
			continue
		}
		if ctx.Err() != nil {
			tell(Outcome{Segment: task.Segment, Result: Waiting, Why: "the sidecar is stopping"})
			continue
		}
		one, outcome := f.approach(task)
		if one == nil {
			tell(outcome)
			continue
		}
		batch = append(batch, part{free: *one})
		if bytes += one.is.allocated; len(batch) == most || bytes > fullBatch {
			flush()
		}
	}
	flush()
}

// A batch shares what takes longest of small files: waiting for the disk.
const (
	largestBatch = 1024
	fullBatch    = 64 << 20 // bytes
)

// descriptors is how many files this process may have open.
func descriptors() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 256
	}
	return int(min(limit.Cur, 1<<20))
}

// approach finds out who holds a segment. One that is free is handed back; of
// one that is held, it does what can be done.
func (f *Folder) approach(task Task) (*free, Outcome) {
	outcome := Outcome{Segment: task.Segment, Result: Failed}
	file, is, err := f.openFit(task.Segment.Base, unix.O_RDONLY)
	if errors.Is(err, unix.ENOENT) {
		outcome.Result = Archived // somebody removed it
		return nil, outcome
	}
	if err != nil {
		outcome.Err = err
		return nil, outcome
	}
	leased := f.sys.lease(file)
	if leased == nil {
		delete(f.watches, task.Segment.Base)
		if task.Format == archive.Plain && is.size > 0 {
			file.Close()
			outcome.Result = Kept
			return nil, outcome
		}
		return &free{task: task, file: file, is: is}, outcome
	}
	defer file.Close()
	can, err := f.Abilities()
	if err != nil {
		outcome.Err = err
		return nil, outcome
	}
	if !errors.Is(leased, errHeld) {
		if uid := os.Geteuid(); can.Lease && uid != 0 && is.uid != uint32(uid) {
			outcome.Err = fmt.Errorf("%s: it belongs to user %d and this is user %d, so it cannot be known whether it is still written to: give it the owner of the other logs", task.Segment.Base, is.uid, uid)
			return nil, outcome
		}
		outcome.Result = Waiting
		outcome.Why = fmt.Sprintf("this file system does not tell whether it is still written to (%v), so it is kept as it is", leased)
		return nil, outcome
	}
	return nil, f.held(task, file, is)
}

// held deals with a segment that somebody has open for writing.
func (f *Folder) held(task Task, file *os.File, is facts) Outcome {
	outcome := Outcome{Segment: task.Segment, Result: Waiting}
	outcome.Segment.Size = is.size
	w, watched := f.watches[task.Segment.Base]
	now := f.options.Now()
	if !watched || now.Before(w.since) {
		w = watch{since: now, size: -1}
	}
	settled := !now.Before(w.since.Add(settling))
	// One that truncates it keeps it as well.
	grown := w.size >= 0 && is.size != w.size
	if w.size < 0 && settled {
		w.size = is.size
	}
	f.watches[task.Segment.Base] = w
	switch decide(f.writers[is.inode].Writer, task.Take, task.Renewed, settled, grown) {
	case takeIt:
		if f.writers[is.inode].Writer == Unknown {
			if err := f.know(knowledge{Inode: is.inode, Log: task.Segment.Name.Log, Writer: Keeps}); err != nil {
				outcome.Result, outcome.Err = Failed, err
				return outcome
			}
		}
		return f.takePieces(task)
	case waitForLines:
		outcome.Why = "somebody has it open, and whether it is written to is being found out"
		outcome.Again = w.since.Add(settling)
	case waitForGrowth:
		outcome.Why = "somebody has it open and has written nothing since: it is archived once its writer has closed it"
		outcome.Grows = true
	case waitForClose:
		outcome.Why = "its writer has not closed it yet"
		outcome.Grows = f.writers[is.inode].Writer == Unknown
	}
	return outcome
}

// verdict is what to do with a segment that somebody holds.
type verdict int

const (
	waitForLines  verdict = iota // until lines that were on their way have arrived
	waitForGrowth                // or the new file, or the end of its writer
	waitForClose                 // its writer reopened
	takeIt                       // its writer keeps it
)

// decide says what to do with a segment that somebody holds: what is known of
// its writer; whether its log is to be rotated now; whether its name is taken
// anew; whether lines on their way have had their time; and whether it has grown
// since.
func decide(writer Writer, take, renewed, settled, grown bool) verdict {
	switch {
	case writer != Unknown && take:
		return takeIt
	case writer != Unknown:
		return waitForClose
	case !settled:
		return waitForLines
	case grown:
		// Also beside a new file: one of several writers keeps this one.
		return takeIt
	case renewed:
		return waitForClose
	default:
		return waitForGrowth
	}
}
