package rotation

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
)

// What may happen at the worst moment to a file that its writer keeps.

const kept = "agent.out"

// keeper is a writer that was found to keep its file, which has been rotated
// once; its lines so far are in one archive and the file.
func (l *logs) keeper(flags int) *os.File {
	l.Helper()
	file := l.open(kept, os.O_CREATE|os.O_WRONLY|flags)
	l.lines(file, 0, 10_000)
	l.rotate()
	l.clock = l.clock.Add(time.Second)
	l.settle()
	l.lines(file, 10_000, 20_000)
	l.settle()
	if all := l.all(); len(all) != 1 || all[0].Live == nil || len(all[0].Archives) != 1 {
		l.Fatalf("%+v", all)
	}
	return file
}

// take rotates, and says what became of the first segment.
func (l *logs) take() Outcome {
	l.Helper()
	l.clock = l.clock.Add(time.Hour)
	if _, failed := l.SetAside(live(l.all())); len(failed) > 0 {
		l.Fatal(failed)
	}
	segment := l.all()[0].Segments[0]
	return l.settles(Task{Segment: segment, Format: archive.Gzip, Take: true})[0]
}

func TestGapThatIsWrittenTo(t *testing.T) {
	t.Parallel()
	l := newLogs(t)
	file := l.keeper(0)
	l.lines(file, 20_000, 20_001) // and leaves a gap
	l.rotate()
	before := l.stream(kept)
	archived := before[:len(before)-len(l.tail(before))]
	// Its writer starts anew, and writes over where the gap was.
	if err := file.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	l.lines(file, 0, 50_000)
	l.rotate()
	l.rotate()
	after := l.stream(kept)
	if len(after) <= len(archived) {
		t.Fatalf("%d bytes, %d were archived before", len(after), len(archived))
	}
	var want logText
	l.lines(&want, 0, 50_000)
	if got := after[len(archived):]; got != string(want) {
		t.Errorf("%d bytes of what was written anew, want %d: %s", len(got), len(want), differs(got, string(want)))
	}
}

type logText []byte

func (t *logText) Write(p []byte) (int, error) { *t = append(*t, p...); return len(p), nil }

// tail is what no archive has of a log's stream.
func (l *logs) tail(stream string) string {
	l.Helper()
	archived := 0
	for _, file := range l.all()[0].Archives {
		archived += len(l.content(file))
	}
	return stream[archived:]
}

func TestDiskFailsAtTheWorstMoment(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]func(*logs){
		"syncing names": func(l *logs) {
			sync, failed := l.sys.sync, false
			l.sys.sync = func(file *os.File) error {
				if file == l.dir && !failed {
					failed = true
					return unix.EIO
				}
				return sync(file)
			}
		},
		"punching half way": func(l *logs) {
			punch, failed := l.sys.punch, false
			l.sys.punch = func(file *os.File, length int64) error {
				if failed {
					return punch(file, length)
				}
				failed = true
				return errors.Join(unix.EIO, punch(file, length/2/4096*4096))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLogs(t)
			file := l.keeper(os.O_APPEND)
			l.lines(file, 20_000, 30_000)
			breaks(l)
			if o := l.take(); !errors.Is(o.Err, unix.EIO) {
				t.Fatalf("%+v", o)
			}
			l.wants(kept, 30_000)
			l.rotate()
			l.wants(kept, 30_000)
		})
	}
}

// As long as what was begun cannot be completed nothing else is done.
func TestDiskThatStaysBroken(t *testing.T) {
	t.Parallel()
	l := newLogs(t)
	file := l.keeper(os.O_APPEND)
	l.lines(file, 20_000, 30_000)
	punch := l.sys.punch
	l.sys.punch = func(file *os.File, length int64) error {
		return errors.Join(unix.EIO, punch(file, length/2/4096*4096))
	}
	if o := l.take(); !errors.Is(o.Err, unix.EIO) {
		t.Fatalf("%+v", o)
	}
	if l.Unfinished() == nil {
		t.Fatal("it goes on")
	}
	l.wants(kept, 30_000)
	l.start() // with a disk that is well
	l.wants(kept, 30_000)
	l.rotate()
	l.wants(kept, 30_000)
}

type killed struct{}

func TestBackupLinksWhatWasBegun(t *testing.T) {
	t.Parallel()
	l := newLogs(t)
	file := l.keeper(os.O_APPEND)
	l.lines(file, 20_000, 30_000)
	l.Folder.options.Step = func(name string) {
		if name == "punch" {
			panic(killed{})
		}
	}
	func() {
		defer func() {
			if recover() != (killed{}) {
				t.Fatal("it was not killed")
			}
		}()
		l.take()
	}()
	l.wants(kept, 30_000)
	if err := os.Link(l.path(l.all()[0].Segments[0].Base), l.path("backup")); err != nil {
		t.Fatal(err)
	}
	l.start()
	if err := os.Remove(l.path("backup")); err != nil {
		t.Fatal(err)
	}
	l.wants(kept, 30_000)
	l.settle()
	l.wants(kept, 30_000)
}

// What its writer wrote anew is not taken for what was archived.
func TestTruncatedAtTheWorstMoment(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"punch", "collapse"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			l := newLogs(t)
			var file *os.File
			l.options.Step = func(name string) {
				if name == step && file != nil {
					if err := file.Truncate(0); err != nil {
						t.Error(err)
					}
					l.lines(file, 90_000, 99_000)
					file = nil
				}
			}
			l.start()
			writer := l.keeper(os.O_APPEND)
			l.rotate()
			l.lines(writer, 20_000, 21_000)
			file = writer
			if o := l.take(); !errors.Is(o.Err, errShrunk) {
				t.Errorf("%+v", o)
			}
			var want logText
			l.lines(&want, 90_000, 99_000)
			stream := l.stream(kept)
			if got := stream[max(0, len(stream)-len(want)):]; got != string(want) {
				t.Errorf("of what was written anew: %s", differs(got, string(want)))
			}
		})
	}
}

func TestArchiveThatSomebodyUnpacks(t *testing.T) {
	t.Parallel()
	l := newLogs(t)
	file := l.open("server.log", os.O_CREATE|os.O_WRONLY)
	l.lines(file, 0, 100)
	file.Close()
	l.rotate()
	packed := l.all()[0].Archives[0]
	text := l.content(packed)
	name := packed.Name
	name.Format = archive.Plain
	if err := os.WriteFile(l.path(name.String()), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	l.settle()
	l.wants("server.log", 100)
	if all := l.all(); len(all[0].Segments) > 0 || len(all[0].Archives) != 1 {
		t.Errorf("%+v", all[0])
	}
}

// Neither a folder in the place of a temporary file nor a name that no archive
// could have keeps other logs from being rotated.
func TestNamesThatAreInTheWay(t *testing.T) {
	t.Parallel()
	l := newLogs(t)
	long := strings.Repeat("x", 230) + ".log"
	for _, folder := range []string{".server.log-20260101T000000Z.gz.tmp", scratch} {
		if err := os.Mkdir(l.path(folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	l.start()
	if len(l.Problems) == 0 {
		t.Error("nothing is said of the folders")
	}
	for _, base := range []string{"server.log", long} {
		file := l.open(base, os.O_CREATE|os.O_WRONLY)
		l.lines(file, 0, 10)
		file.Close()
	}
	l.rotate()
	l.wants("server.log", 10)
	_, refused, err := l.List(func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	if len(refused) != 1 || refused[0].Base != long || !refused[0].Fault {
		t.Errorf("%+v", refused)
	}
	if _, err := os.Stat(l.path(long)); err != nil {
		t.Error(err)
	}
}
