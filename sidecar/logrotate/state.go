package logrotate

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/rotation"
)

// State is what the sidecar says of itself: as JSON, what `logrotate ls --json`
// prints.
type State struct {
	// Healthy: everything is as it should be; if not, Reasons say why, each with
	// the file and what is wrong with it.
	Healthy bool     `json:"healthy"`
	Reasons []string `json:"reasons"`
	// Notes are about what the file system cannot do, and what is not rotated.
	Notes  []string `json:"notes"`
	Folder string   `json:"folder"`
	// Next is when the next log is rotated; zero where there is none.
	Next time.Time `json:"next,omitzero"`
	// FreeBytes is the room in the file system of the logs.
	FreeBytes int64      `json:"free_bytes"`
	Logs      []LogState `json:"logs"`
}

// LogState is what there is of one log.
type LogState struct {
	Name string `json:"name"`
	// SizeBytes is how much is in the log's file that no archive has.
	SizeBytes int64 `json:"size_bytes"`
	// Writer is how its writer holds it, as far as it was found out: "unknown",
	// "reopens", "keeps", "appends" or "own offset".
	Writer       string    `json:"writer"`
	LastRotation time.Time `json:"last_rotation,omitzero"`
	NextRotation time.Time `json:"next_rotation,omitzero"`
	// Result is "ok", "none yet", or what was wrong with the last rotation.
	Result string `json:"result"`
	// Archives are oldest first, as are those Waiting for their writer.
	Archives []ArchiveState `json:"archives"`
	Waiting  []WaitingState `json:"waiting"`

	// keeps: its writer keeps the file, of which the beginning may be a hole.
	keeps bool
}

// ArchiveState is one archive.
type ArchiveState struct {
	File      string    `json:"file"`
	Time      time.Time `json:"time"`
	SizeBytes int64     `json:"size_bytes"`
	Format    string    `json:"format"`
}

// WaitingState is a part of a log that was set aside and is not archived yet.
type WaitingState struct {
	File      string `json:"file"`
	SizeBytes int64  `json:"size_bytes"`
	Why       string `json:"why"`
}

// publish makes what the keeper knows the state that is told.
func (d *daemon) publish(k *keeper) {
	now := k.config.Now()
	s := &State{Folder: k.config.Folder, Next: k.due, Reasons: []string{}, Notes: k.notes(), Logs: make([]LogState, 0, len(k.logs))}
	for _, l := range k.logs {
		s.Logs = append(s.Logs, k.logState(l, now))
		if r := k.records[l.Name]; r != nil {
			s.Reasons = append(s.Reasons, r.errors()...)
		}
	}
	for _, why := range k.unremoved {
		s.Reasons = append(s.Reasons, why)
	}
	for _, r := range k.refused {
		if r.Fault {
			s.Reasons = append(s.Reasons, refusalText(r))
		}
	}
	slices.SortFunc(s.Logs, func(a, b LogState) int { return cmp.Compare(a.Name, b.Name) })
	slices.Sort(s.Reasons)
	d.state.Store(s)
}

// notes are what an operator should know and need not act on.
func (k *keeper) notes() []string {
	notes := []string{}
	can, err := k.folder.Abilities()
	switch {
	case err != nil:
	case !can.Lease:
		notes = append(notes, "this file system does not tell whether a log is still written to: what is set aside stays as it is, and is not compressed")
	case can.Block == 0:
		notes = append(notes, "this file system cannot give back what is archived beneath a writer that keeps its file: such logs grow until their writer ends")
	}
	for _, r := range k.refused {
		if !r.Fault {
			notes = append(notes, refusalText(r))
		}
	}
	return append(notes, k.saver.notes()...)
}

func (k *keeper) logState(l rotation.Log, now time.Time) LogState {
	s := LogState{Name: l.Name, Writer: "unknown", Result: resultNone, NextRotation: k.next(l, now), Archives: []ArchiveState{}, Waiting: []WaitingState{}}
	if r := k.records[l.Name]; r != nil {
		s.LastRotation = r.Rotated
		switch {
		case len(r.Failed) > 0:
			s.Result = r.errors()[0]
		case !r.Rotated.IsZero():
			s.Result = resultOK
		}
		if r.Reopens {
			s.Writer = "reopens"
		}
	}
	if l.Live != nil {
		s.keeps = l.Live.Writer != rotation.Unknown
		if s.keeps {
			s.Writer = string(l.Live.Writer)
		}
	}
	for _, file := range l.Archives {
		s.Archives = append(s.Archives, archiveState(file, now))
	}
	for _, file := range l.Segments {
		if o, waits := k.waiting[file.Base]; waits {
			s.Waiting = append(s.Waiting, WaitingState{File: file.Base, SizeBytes: content(file), Why: o.Why})
		} else {
			s.Archives = append(s.Archives, archiveState(file, now))
		}
	}
	return s
}

func refusalText(r rotation.Refusal) string {
	base := r.Base
	if quoted := strconv.Quote(base); quoted != `"`+base+`"` {
		base = quoted // not whatever it does to a terminal
	}
	return fmt.Sprintf("%s is not rotated: %s", base, r.Why)
}

func archiveState(file rotation.File, now time.Time) ArchiveState {
	return ArchiveState{File: file.Base, Time: made(file, now).UTC(), SizeBytes: file.Size, Format: file.Name.Format.String()}
}

// look takes the size that the log has by now: the keeper looks at it when there
// is something to do.
func (l *LogState) look(folder string) {
	l.SizeBytes = 0
	var is unix.Stat_t
	if unix.Lstat(filepath.Join(folder, l.Name), &is) != nil || is.Mode&unix.S_IFMT != unix.S_IFREG {
		return
	}
	l.SizeBytes = is.Size
	if l.keeps {
		l.SizeBytes = min(is.Size, is.Blocks*512)
	}
}

// silence is how long the keeper may show no sign of life: it looks up every
// tick, and between any two steps of a rotation, one of which is to fill an
// archive with some MiB.
const silence = 5 * time.Minute

// late is how long a rotation may be due before that is a fault.
const late = 2 * time.Minute

// spare is room that is always needed, in bytes.
const spare = 4 << 20

// spareState is what the notes of a rotation need, in bytes.
const spareState = 256 << 10

// State is the keeper's state, and what there is to say of the folder right now.
func (d *daemon) State() State {
	s := *d.state.Load()
	// Never null in JSON, whatever there is.
	s.Logs, s.Notes = append([]LogState{}, s.Logs...), append([]string{}, s.Notes...)
	need := int64(spare)
	for i := range s.Logs {
		s.Logs[i].look(d.config.Folder)
		need = max(need, spare+min(s.Logs[i].SizeBytes, 256<<20)/4)
	}
	now := d.config.Now()
	reasons := slices.Clone(s.Reasons)
	quiet := d.pulse.Quiet()
	switch overdue := now.Sub(s.Next); {
	case quiet > silence:
		reasons = append(reasons, fmt.Sprintf("the scheduler has been stuck for %s: restart the sidecar", quiet.Truncate(time.Second)))
	case !s.Next.IsZero() && overdue > late && !d.busy.Load():
		reasons = append(reasons, fmt.Sprintf("a rotation has been due since %s", s.Next.Format(time.RFC3339)))
	}
	free, wrong := usable(d.config.Folder)
	reasons = append(reasons, wrong...)
	if s.FreeBytes = free; len(wrong) == 0 && free < need {
		reasons = append(reasons, fmt.Sprintf("%s has %d MiB free, and the next rotation may need %d: make room, or keep fewer archives", d.config.Folder, free>>20, need>>20))
	}
	free, wrong = usable(d.config.State)
	reasons = append(reasons, wrong...)
	if len(wrong) == 0 && free < spareState {
		reasons = append(reasons, fmt.Sprintf("%s has %d KiB free, and without a note of it nothing is rotated: make room there", d.config.State, free>>10))
	}
	s.Reasons, s.Healthy = reasons, len(reasons) == 0
	return s
}

// usable is how many bytes are free in the file system of a folder, and what is
// wrong with it.
func usable(folder string) (free int64, wrong []string) {
	// As who this serves, not as who it is.
	if err := unix.Faccessat(unix.AT_FDCWD, folder, unix.R_OK|unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		wrong = append(wrong, fmt.Sprintf("%s cannot be read and written: %v", folder, err))
	}
	var space unix.Statfs_t
	if err := unix.Statfs(folder, &space); err != nil {
		return 0, append(wrong, fmt.Sprintf("%s: how much room there is cannot be found out: %v", folder, err))
	}
	if space.Files > 0 && space.Ffree < 16 {
		wrong = append(wrong, fmt.Sprintf("%s has room for %d more files only: remove some", folder, space.Ffree))
	}
	return int64(space.Bavail) * space.Bsize, wrong
}

// What LogState.Result is where nothing was wrong.
const (
	resultOK   = "ok"
	resultNone = "none yet"
)
