package rotation

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
)

// logs is a folder of logs in a test, with a clock that the test moves.
type logs struct {
	*testing.T
	*Folder
	options Options
	clock   time.Time
}

func newLogs(t *testing.T) *logs {
	t.Helper()
	l := &logs{T: t, clock: time.Date(2026, 11, 27, 6, 0, 0, 0, time.UTC)}
	l.options = Options{Path: t.TempDir(), State: t.TempDir(), Now: func() time.Time { return l.clock }}
	l.start()
	return l
}

// start takes the folder over, as the next process would.
func (l *logs) start() {
	l.Helper()
	if l.Folder != nil {
		l.Folder.Close()
	}
	f, err := Open(l.options)
	if err != nil {
		l.Fatal(err)
	}
	l.Folder = f
	l.Cleanup(f.Close)
}

func (l *logs) all() []Log {
	l.Helper()
	all, _, err := l.List(func(string) bool { return true })
	if err != nil {
		l.Fatal(err)
	}
	return all
}

// rotate sets every log aside and settles what there is, until nothing is left
// that only time settles.
func (l *logs) rotate() []Outcome {
	l.Helper()
	l.clock = l.clock.Add(time.Hour)
	_, failed := l.SetAside(live(l.all()))
	for name, err := range failed {
		l.Errorf("%s: %v", name, err)
	}
	return l.settle()
}

func live(all []Log) []Log {
	var some []Log
	for _, one := range all {
		if one.Live != nil {
			some = append(some, one)
		}
	}
	return some
}

func (l *logs) settle() []Outcome {
	l.Helper()
	var tasks []Task
	for _, one := range l.all() {
		for _, segment := range one.Segments {
			tasks = append(tasks, Task{Segment: segment, Format: archive.Gzip, Renewed: one.Live != nil, Take: true, Pieces: one.Pieces(segment)})
		}
	}
	outcomes := l.settles(tasks...)
	for _, o := range outcomes {
		if o.Err != nil {
			l.Errorf("%s: %v", o.Segment.Base, o.Err)
		}
	}
	return outcomes
}

// settles says what became of the segments of the tasks.
func (l *logs) settles(tasks ...Task) (outcomes []Outcome) {
	l.Folder.Settle(context.Background(), slices.Values(tasks), func(o Outcome) { outcomes = append(outcomes, o) })
	return outcomes
}

func (l *logs) path(base string) string { return filepath.Join(l.options.Path, base) }

func (l *logs) open(base string, flags int) *os.File {
	l.Helper()
	file, err := os.OpenFile(l.path(base), flags, 0o644)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { file.Close() })
	return file
}

// lines writes numbered lines, from one number up to another.
func (l *logs) lines(to io.Writer, from, until int) {
	l.Helper()
	var text strings.Builder
	for i := from; i < until; i++ {
		fmt.Fprintf(&text, "line %07d of what the orchestrator says\n", i)
	}
	if _, err := io.WriteString(to, text.String()); err != nil {
		l.Fatal(err)
	}
}

// wants checks that a log's stream is the lines up to that number, once each.
func (l *logs) wants(name string, until int) {
	l.Helper()
	var want strings.Builder
	l.lines(&want, 0, until)
	if got := l.stream(name); got != want.String() {
		l.Errorf("%s has %d bytes, want %d\n%s", name, len(got), want.Len(), differs(got, want.String()))
	}
}

func differs(a, b string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("from byte %d on: %.60q, want %.60q", i, a[i:], b[i:])
		}
	}
	return ""
}

// stream is what a log's files hold, in order.
func (l *logs) stream(name string) string {
	l.Helper()
	var text strings.Builder
	for _, one := range l.all() {
		if one.Name != name {
			continue
		}
		files := append(append([]File{}, one.Archives...), one.Segments...)
		if one.Live != nil {
			files = append(files, *one.Live)
		}
		for _, file := range files {
			text.WriteString(l.content(file))
		}
	}
	return text.String()
}

func (l *logs) content(file File) string {
	l.Helper()
	from, err := os.Open(l.path(file.Base))
	if err != nil {
		l.Fatal(err)
	}
	defer from.Close()
	var text strings.Builder
	if file.Name.Format == archive.Gzip {
		reader, err := gzip.NewReader(from)
		if err != nil {
			l.Fatal(err)
		}
		if _, err := io.Copy(&text, reader); err != nil {
			l.Fatal(err)
		}
		return text.String()
	}
	gaps, err := Gaps(l.state, l.dir, from)
	if err != nil {
		l.Fatal(err)
	}
	ranges := data(from, 0, file.Size)
	for _, gap := range gaps {
		ranges = without(ranges, gap)
	}
	if _, err := copyRanges(&text, from, ranges, make([]byte, 4096)); err != nil {
		l.Fatal(err)
	}
	return text.String()
}
