package readiness

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
)

const (
	// tailLines is how many lines of a log are shown.
	tailLines = 40
	// scanLines is how many are looked through for a cause.
	scanLines = 400
	// maxLine is the longest line that is kept, in bytes.
	maxLine = 2000
	// maxLogFile is the longest log file that is read through for its end, in
	// bytes: the engine can only hand out whole files.
	maxLogFile = 128 << 20
	// maxLogTail is how much of a log is kept, in bytes.
	maxLogTail = 256 << 10
	// early is how long before its start a container may have printed its first
	// line: the engine takes the time after it has started the process.
	early = 2 * time.Second
	// respite is less than what lies between two runs: the engine waits 100 ms
	// before it starts a container again, and then makes ready for it.
	respite = 100 * time.Millisecond
	// evidenceTimeout bounds the collecting: the report must come even when the engine is slow.
	evidenceTimeout = 10 * time.Second
)

// collect gathers what there is against the culprit. What cannot be had is left out.
func collect(ctx context.Context, engine Engine, s state, culprit *standing, refusal string) (Evidence, []Log) {
	e := Evidence{Engine: refusal}
	if culprit == nil || culprit.ID == "" {
		return e, nil
	}
	e.Container = culprit.Container
	var logs []Log
	add := func(source string, lines []string) {
		e.Log = append(e.Log, lines...)
		if shown := lines[max(0, len(lines)-tailLines):]; len(shown) > 0 {
			logs = append(logs, Log{Source: source, Lines: shown})
		}
	}
	if culprit.State != "created" {
		add("docker logs "+culprit.Name, engineLog(ctx, engine, culprit.Container, culprit.speaks()))
		for i := range logs {
			logs[i].Lines = forPeople(logs[i].Lines)
		}
		// Some images log to both: once is enough.
		if lines := fileLog(ctx, engine, culprit.Container); !endsWith(e.Log, lines) {
			add(culprit.logFile+" in "+culprit.Name, lines)
		}
	}
	for _, n := range culprit.needs {
		for _, r := range s.sorted() {
			if r.Service != n.service {
				continue
			}
			lines := engineLog(ctx, engine, r.Container, culprit.speaks())
			e.Needed = append(e.Needed, lines...)
		}
	}
	return e, logs
}

// engineLog is the end of what a container printed since then.
func engineLog(ctx context.Context, engine Engine, c Container, since time.Time) []string {
	options := client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Tail: strconv.Itoa(scanLines)}
	if !since.IsZero() {
		options.Since = since.Format(time.RFC3339Nano)
	}
	stream, err := engine.ContainerLogs(ctx, c.ID, options)
	if err != nil {
		return nil
	}
	defer stream.Close()
	text := tail{limit: maxLogTail}
	if c.tty {
		_, _ = io.Copy(&text, stream)
	} else {
		_, _ = stdcopy.StdCopy(&text, &text, stream)
	}
	return text.lines()
}

// fileLog is the end of the log file that the container's command line names,
// from its last start on. It works on a container that has ended, too.
func fileLog(ctx context.Context, engine Engine, c Container) []string {
	if c.logFile == "" {
		return nil
	}
	copied, err := engine.CopyFromContainer(ctx, c.ID, client.CopyFromContainerOptions{SourcePath: c.logFile})
	if err != nil {
		return nil
	}
	defer copied.Content.Close()
	if !copied.Stat.Mode.IsRegular() || copied.Stat.Size > maxLogFile || copied.Stat.Mtime.Before(c.speaks()) {
		return nil // the last: this run wrote nothing
	}
	archive := tar.NewReader(copied.Content)
	if _, err := archive.Next(); err != nil {
		return nil
	}
	text := tail{limit: maxLogTail}
	_, _ = io.Copy(&text, archive) // as much as there is
	return lastStart(text.lines())
}

// endsWith says whether the last line of end is among lines.
func endsWith(lines, end []string) bool {
	return len(end) == 0 || slices.Contains(lines, end[len(end)-1])
}

// startLines are what the orchestrator logs early at every start, the earliest first.
var startLines = []string{" inmanta    Not setting up telemetry", " inmanta.server.server Starting server endpoint"}

// lastStart is what the orchestrator logged since it was last started: what it
// said before has nothing to do with this run. All of it, where the start is
// not among the lines.
func lastStart(lines []string) []string {
	for _, start := range startLines {
		for i := len(lines) - 1; i >= 0; i-- {
			if strings.Contains(lines[i], start) {
				return lines[i:]
			}
		}
	}
	return lines
}

// tail keeps the end of what is written to it.
type tail struct {
	limit int
	kept  []byte
	cut   bool
}

// Write implements io.Writer and never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - t.limit; over > t.limit {
		t.kept, t.cut = append(t.kept[:0], t.kept[over:]...), true
	}
	return len(p), nil
}

// lines are what was kept, at most scanLines of them, each of valid text and
// none longer than maxLine.
func (t *tail) lines() []string {
	kept := t.kept
	if over := len(kept) - t.limit; over > 0 {
		kept, t.cut = kept[over:], true
	}
	if t.cut {
		_, kept, _ = bytes.Cut(kept, []byte("\n")) // the first line has lost its beginning
	}
	var list []string
	for line := range bytes.Lines(kept) {
		list = append(list, clean(string(line)))
	}
	return list[max(0, len(list)-scanLines):]
}

// clean is one line of a log, fit to be shown in a report and in JSON.
func clean(line string) string {
	line = strings.TrimRight(line, "\r\n")
	if len(line) > maxLine {
		cut := maxLine
		for cut > 0 && !utf8.RuneStart(line[cut]) {
			cut--
		}
		line = line[:cut] + "…"
	}
	return strings.ToValidUTF8(line, "\uFFFD")
}

// follow tells every cause that is overheard in what the container prints from
// since on, and every step of a one-shot container, until its run or ctx ends.
// news is told of every line.
func follow(ctx context.Context, engine Engine, c Container, since time.Time, news func(), tell func(observation)) {
	options := client.ContainerLogsOptions{
		ShowStdout: true, ShowStderr: true, Follow: true, Timestamps: true, Tail: strconv.Itoa(scanLines),
	}
	if !since.IsZero() {
		options.Since = since.Format(time.RFC3339Nano)
	}
	stream, err := engine.ContainerLogs(ctx, c.ID, options)
	if err != nil {
		return // nothing is overheard; the container's state still tells
	}
	defer stream.Close()
	listen := &listener{line: func(line string) {
		at, text := stamped(line)
		news()
		if s, ok := stepIn(text); ok && c.oneShot {
			tell(stepped{c.ID, c.Started, s})
		}
		if cause, ok := overhear(text); ok {
			tell(told{c.ID, c.Started, finding{Cause: cause, at: at, line: text}})
		}
	}}
	if c.tty {
		_, _ = io.Copy(listen, stream)
	} else {
		_, _ = stdcopy.StdCopy(listen, listen, stream)
	}
}

// stamped splits the engine's time stamp from a line; zero time where there is none.
func stamped(line string) (time.Time, string) {
	stamp, text, _ := strings.Cut(line, " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return time.Time{}, line
	}
	return at, text
}

// listener calls line for every line written to it.
type listener struct {
	line func(string)
	rest []byte
}

// errLine says that a line is too long to be one.
var errLine = errors.New("a line without end")

// Write implements io.Writer.
func (l *listener) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			break
		}
		l.line(clean(string(line)))
		l.rest = rest
	}
	if len(l.rest) > maxLogTail {
		return 0, errLine
	}
	l.rest = append([]byte(nil), l.rest...) // do not hold on to what was read
	return len(p), nil
}
