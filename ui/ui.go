// Package ui is how inmanta-docker talks to its user: progress, tables, failure
// reports, problems and JSON.
//
// Results go to standard output and everything about how they came to be goes
// to standard error, as docker compose does it: a table, a value and JSON can be
// piped on while progress, notes, problems and reports stay before the reader.
// With --json, standard output holds exactly one JSON value, the command's
// result or its problems, and standard error one JSON object for each event:
//
//	{"time":"…","type":"progress","id":"container inmanta-db","text":"Started","status":"done"}
//	{"time":"…","type":"note","text":"…"}
//
// What is shown is decided by Choose from plain facts and drawn by pure
// functions from plain data to text; UI puts that text on the streams. Text from
// elsewhere is made safe by Clean before it is drawn.
package ui

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
)

// UI writes to the two streams of one command. It is safe for concurrent use.
type UI struct {
	mode Mode
	size func() (columns, rows int)

	mu       sync.Mutex // guards what follows; taken before run.mu
	out, err stream
	failed   error
	run      *run // the progress being shown, nil when there is none
}

// stream is one of the two, and what was last written on it; two streams on one
// terminal share that.
type stream struct {
	io.Writer
	Style
	last *kind
}

// kind is how text stands among other text.
type kind int

const (
	nothing kind = iota
	flow         // lines that follow each other
	heading      // belongs to what comes below it
	block        // has an empty line above it
)

// New is a UI on any writers. size is asked whenever something is fitted to the
// terminal; it may be nil, and zeros mean unknown: 80 columns and 24 rows.
func New(out, err io.Writer, look Look, size func() (columns, rows int)) *UI {
	last := [2]kind{}
	u := &UI{mode: look.Mode, out: stream{out, look.Out, &last[0]}, err: stream{err, look.Err, &last[1]}}
	if look.Out.Terminal && look.Err.Terminal {
		u.err.last = u.out.last
	}
	u.size = func() (columns, rows int) {
		if size != nil {
			columns, rows = size()
		}
		if columns <= 0 || rows <= 0 {
			return 80, 24
		}
		return columns, rows
	}
	return u
}

// Open is a UI on a process's standard streams and environment.
func Open(out, err *os.File, getenv func(string) string, asked Asked) *UI {
	e := Environment{
		Asked:       asked,
		OutTerminal: term.IsTerminal(int(out.Fd())),
		ErrTerminal: term.IsTerminal(int(err.Fd())),
		NoColor:     getenv("NO_COLOR"),
		Term:        getenv("TERM"),
		CI:          getenv("CI"),
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if e.Locale == "" {
			e.Locale = getenv(name)
		}
	}
	screen := out
	if e.ErrTerminal {
		screen = err
	}
	return New(out, err, Choose(e), func() (int, int) {
		columns, rows, e := term.GetSize(int(screen.Fd()))
		if e != nil {
			return 0, 0
		}
		return columns, rows
	})
}

// JSON tells that the result is to be a Value. Table, KeyValues, Heading, Line
// and Report then write nothing, as what they say is in that value.
func (u *UI) JSON() bool { return u.mode == JSON }

// Value writes a result as indented JSON, in every mode.
func (u *UI) Value(v any) {
	text, err := encode(v, "  ")
	u.result(flow, text, err)
}

// Heading writes a title above a part of a longer result.
func (u *UI) Heading(title string) {
	u.show(heading, u.out.in(bold, line(title))+"\n")
}

// Table writes a header and rows.
func (u *UI) Table(header []string, rows []Row) {
	u.show(block, table(u.out.Style, u.columns(u.out), header, rows))
}

// KeyValues writes facts, one a line.
func (u *UI) KeyValues(facts []Fact) {
	u.show(block, keyValues(u.out.Style, "", facts))
}

// Line writes a line, or several, of a container's or a file's own text: as it
// is, but to a terminal only what Clean leaves of it.
func (u *UI) Line(text string) {
	if u.out.Terminal {
		text = Clean(text)
	}
	u.show(flow, strings.TrimSuffix(text, "\n")+"\n")
}

// Note tells the reader something beside the result, with a marker where a
// status is given. It stands above a live block.
func (u *UI) Note(status progress.Status, text string) {
	if u.JSON() {
		u.aside(flow, object(note{time.Now().UTC(), "note", status, text}))
		return
	}
	var b strings.Builder
	first, rest := "", ""
	if status != "" {
		first, rest = u.err.mark(status)+" ", "  "
	}
	hang(&b, first, rest, text, u.columns(u.err)-len(rest))
	u.aside(flow, b.String())
}

// Problems writes all that is wrong: on standard error for a reader, as the one
// value {"problems":[…]} on standard output in JSON.
func (u *UI) Problems(list problem.List) {
	if u.JSON() {
		u.Value(map[string]problem.List{"problems": append(problem.List{}, list...)})
		return
	}
	u.aside(block, problems(u.err.Style, u.columns(u.err), list))
}

// Report writes sections on standard error, an empty line between them.
func (u *UI) Report(sections []Section) {
	for _, s := range sections {
		if !u.JSON() {
			u.aside(block, section(u.err.Style, u.columns(u.err), s))
		}
	}
}

// Err is the first failure to write a result: a full disk, a value that JSON
// cannot hold. A command that ends well returns it.
func (u *UI) Err() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.failed
}

// columns is the width lines are fitted to: 0, without end, off the terminal.
func (u *UI) columns(s stream) int {
	if !s.Terminal {
		return 0
	}
	columns, _ := u.size()
	return columns
}

// show writes text for people to standard output.
func (u *UI) show(k kind, text string) {
	if !u.JSON() {
		u.result(k, text, nil)
	}
}

// result writes to standard output, and keeps the first failure to make or to
// write that text.
func (u *UI) result(k kind, text string, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err == nil {
		err = u.print(u.out, k, text)
	}
	if err != nil && u.failed == nil {
		u.failed = fmt.Errorf("writing the result: %w", err)
	}
}

// aside writes to standard error, where there is nobody to tell of a failure.
func (u *UI) aside(k kind, text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	_ = u.print(u.err, k, text)
}

// print writes text after whatever progress came before it, and above the live
// block. u.mu is held.
func (u *UI) print(s stream, k kind, text string) error {
	if text == "" {
		return nil
	}
	if u.run != nil {
		u.run.clear()
		defer u.run.draw(false)
	}
	last := *s.last
	*s.last = k
	if k >= heading && last != nothing && last != heading || k == flow && last == block {
		text = "\n" + text
	}
	_, err := io.WriteString(s, text)
	return err
}
