package ui

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/inmanta/inmanta-docker/progress"
)

// frame is the shortest time between two drawings of a live block.
const frame = 100 * time.Millisecond

// run is progress being shown. Those who report only leave word here; a
// goroutine of its own does the writing, so that a terminal that stands still
// holds up nobody's work.
type run struct {
	u          *UI
	stop       func()
	wake       chan struct{} // there is something to show; sending never blocks
	quit, done chan struct{}

	mu      sync.Mutex // guards what follows; never held while writing
	board   board
	pending strings.Builder // lines to be written, in the modes of lines

	drawn []cellLine // the live block as it stands on the screen; guarded by u.mu
}

// Progress begins to show progress on standard error: a live block on a
// terminal, else a line or a JSON object for each change. A count that changes
// is no line, and an object once for each percent. report may be called by
// anyone at any time, and never waits for the stream; what it is told after
// stop is not shown. stop shows the last state, and returns when that is
// written; calls after the first do nothing. A second Progress stops the first.
//
// Every write to a terminal leaves the cursor visible, below the block, and
// line wrapping on: however the process ends, there is nothing to restore.
func (u *UI) Progress() (report progress.Report, stop func()) {
	r := &run{u: u, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	r.stop = sync.OnceFunc(r.finish)
	u.mu.Lock()
	before := u.run
	u.run = r
	u.mu.Unlock()
	if before != nil {
		before.stop()
	}
	go r.loop()
	return r.report, r.stop
}

func (r *run) report(e progress.Event) {
	now, mode := time.Now(), r.u.mode
	if mode != JSON {
		e.ID, e.Text, e.Detail = line(e.ID), line(e.Text), line(e.Detail)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	it, before, news, moved := r.board.apply(e, now)
	switch {
	case mode == JSON && (news || moved):
		r.pending.WriteString(object(step{now.UTC(), "progress", it.Event}))
	case mode == Plain && news && it.due(before, now):
		r.pending.WriteString(it.plain(r.u.err.Style))
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// loop shows what is reported until quit: at once, but a live block no more
// often than each frame, and in each frame while something is worked on.
func (r *run) loop() {
	defer close(r.done)
	for {
		select {
		case <-r.wake:
		case <-r.quit:
			return
		}
		for again := true; again; {
			again = r.show(false)
			if r.u.mode != TTY {
				break
			}
			select {
			case <-time.After(frame):
			case <-r.quit:
				return
			}
		}
	}
}

// show brings the stream up to date. It tells whether anything is worked on.
func (r *run) show(final bool) bool {
	r.u.mu.Lock()
	defer r.u.mu.Unlock()
	r.flush()
	r.draw(final)
	if final && r.u.run == r {
		r.u.run = nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.board.items, func(it *item) bool { return it.Status == progress.Working })
}

func (r *run) finish() {
	close(r.quit)
	<-r.done
	r.show(true)
}

// clear makes room for other text: what came before is written, and the live
// block taken off the screen. u.mu is held.
func (r *run) clear() {
	r.flush()
	if len(r.drawn) > 0 {
		columns, _ := r.u.size()
		_, _ = io.WriteString(r.u.err, top(r.drawn, columns)+"\x1b[J")
		r.drawn = nil
	}
}

// flush writes the lines that are due. u.mu is held.
func (r *run) flush() {
	r.mu.Lock()
	text := r.pending.String()
	r.pending.Reset()
	r.mu.Unlock()
	if text != "" {
		_, _ = io.WriteString(r.u.err, text)
		*r.u.err.last = flow
	}
}

// draw draws the live block over the one before, in one write. u.mu is held.
func (r *run) draw(final bool) {
	if r.u.mode != TTY {
		return
	}
	columns, rows := r.u.size()
	r.mu.Lock()
	lines := r.board.block(r.u.err.Style, columns, max(1, rows-1), time.Now(), final) // the cursor has a row of its own
	r.mu.Unlock()
	if len(lines) == 0 {
		return
	}
	var b strings.Builder
	// All at once where the terminal can, no cursor, no wrapping.
	b.WriteString("\x1b[?2026h\x1b[?25l\x1b[?7l" + top(r.drawn, columns))
	for _, l := range lines {
		b.WriteString(l.text + "\x1b[K\n")
	}
	b.WriteString("\x1b[J\x1b[?7h\x1b[?25h\x1b[?2026l")
	_, _ = io.WriteString(r.u.err, b.String())
	r.drawn = lines
	*r.u.err.last = flow
}

// top moves the cursor from below a block to its first cell. A terminal that
// has become narrower since has wrapped what is too wide for it.
func top(block []cellLine, columns int) string {
	rows := 0
	for _, l := range block {
		rows += max(1, (l.used+columns-1)/columns)
	}
	if rows == 0 {
		return "\r"
	}
	return fmt.Sprintf("\r\x1b[%dA", rows)
}
