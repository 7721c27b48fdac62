package main

import (
	"bufio"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// way is how a writer holds its log.
type way string

const (
	// appends keeps its file open and appends: Python's FileHandler.
	appends way = "keeps its file, appends"
	// ownOffset keeps its file open and goes on where it was: open("wb").
	ownOffset way = "keeps its file, at an offset of its own"
	// reopens looks before each line whether the log's name leads to another
	// file: Python's WatchedFileHandler.
	reopens way = "opens its file anew"
)

// script is what a writer is told.
type script struct {
	Log  string // its name in the folder
	Way  way
	Rate int // lines a second, in bursts of a millisecond
	// UID and GID are who it becomes, once it is in the folder, which the engine
	// keeps to root.
	UID, GID int
}

// stroke is what was written in one burst.
type stroke struct {
	At int64 // nanoseconds since 1970
	// Longest is how long the longest write(2) took.
	Longest time.Duration
}

// written is all that a writer did.
type written struct {
	Lines   int
	Strokes []stroke
}

// lineLength is that of each line, in bytes. It begins with its number; what is
// behind that is the same in all, so that what is left of one is none.
const (
	lineLength   = 100
	numberLength = 12
)

var lineRest = " inmanta.resource_action " + strings.Repeat("-", lineLength-numberLength-26-4) + " end\n"

// pen is a process that writes a log as the user inmanta.
type pen struct {
	command *exec.Cmd
	input   io.Closer
	output  *bufio.Reader
	said    strings.Builder
}

// write begins to write a log.
func (d *rotationDuel) write(ctx context.Context, r *rotator, s script) (*pen, error) {
	s.UID, s.GID = d.uid, d.gid
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	p := &pen{command: exec.CommandContext(ctx, self)}
	p.command.Env = []string{asWriter + "=" + string(text)}
	p.command.Dir = r.logs
	p.command.Stderr = &p.said
	if p.input, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.output = bufio.NewReader(output)
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	if _, err := p.output.ReadString('\n'); err != nil {
		return nil, fmt.Errorf("a writer: %w: %s", errors.Join(err, p.command.Wait()), p.said.String())
	}
	return p, nil
}

// stop ends the writer, and says what it did.
func (p *pen) stop() (written, error) {
	var w written
	err := errors.Join(p.input.Close(), gob.NewDecoder(p.output).Decode(&w), p.command.Wait())
	if err != nil {
		err = fmt.Errorf("a writer: %w: %s", err, p.said.String())
	}
	return w, err
}

// asWriter has the script where this program is started to write a log.
const asWriter = "INMANTA_BENCH_WRITER"

// writeLog is the process of a pen.
func writeLog(context.Context) error {
	var s script
	if err := json.Unmarshal([]byte(os.Getenv(asWriter)), &s); err != nil {
		return err
	}
	if s.Way == appends {
		// Nothing but a write itself is to keep it from writing.
		debug.SetGCPercent(-1)
	}
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(s.GID), syscall.Setuid(s.UID)); err != nil {
		return err
	}
	log, err := s.open()
	if err != nil {
		return err
	}
	var stop atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop.Store(true)
	}()
	fmt.Println("it writes")
	var w written
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	line := make([]byte, 0, lineLength)
	for begin := time.Now(); !stop.Load(); <-tick.C {
		now := stroke{At: time.Now().UnixNano()}
		for due := int(time.Since(begin).Seconds() * float64(s.Rate)); w.Lines < due; w.Lines++ {
			line = append(fmt.Appendf(line[:0], "%0*d", numberLength, w.Lines), lineRest...)
			before := time.Now()
			if s.Way == reopens {
				log, err = s.reopen(log)
				if errors.Is(err, os.ErrPermission) {
					continue // that is an exception in the place of a line
				}
				if err != nil {
					return err
				}
			}
			if _, err := log.Write(line); err != nil {
				return err
			}
			now.Longest = max(now.Longest, time.Since(before))
		}
		if now.Longest > 0 {
			w.Strokes = append(w.Strokes, now)
		}
	}
	return gob.NewEncoder(os.Stdout).Encode(w)
}

func (s script) open() (*os.File, error) {
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if s.Way == ownOffset {
		flags = os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	}
	return os.OpenFile(s.Log, flags, 0o644)
}

// reopen opens the log anew where its name is gone or another file's, or where
// it could not be opened for the line before: nil is that of none. logrotate's
// `create` makes the file as root's and 0600 first, and gives it away then.
func (s script) reopen(log *os.File) (*os.File, error) {
	if log == nil {
		return s.open()
	}
	is, err := log.Stat()
	if err != nil {
		return nil, err
	}
	now, err := os.Stat(s.Log)
	if err == nil && os.SameFile(is, now) {
		return log, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := log.Close(); err != nil {
		return nil, err
	}
	return s.open()
}
