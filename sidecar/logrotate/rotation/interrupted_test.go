package rotation

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
)

// XFS, when the process that collapses is killed, has moved the rest of the file
// to its beginning and not made it shorter: its end is a gap then, also for a
// writer that is known to append.
func TestCollapseThatIsInterrupted(t *testing.T) {
	t.Parallel()
	l := newLogs(t)
	const name = "callback.log"
	file := l.open(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND)
	l.lines(file, 0, 10_000)
	l.rotate()
	l.clock = l.clock.Add(time.Second)
	l.settle() // notes the size
	l.lines(file, 10_000, 20_000)
	l.settle()
	l.lines(file, 20_000, 30_000)
	l.rotate()
	l.lines(file, 30_000, 40_000)
	if all := l.all(); all[0].Live.Writer != Appends {
		t.Fatalf("%+v", all[0].Live)
	}
	collapse := l.sys.collapse
	l.sys.collapse = func(file *os.File, length int64) error {
		is, err := look(file, "")
		if err != nil {
			return err
		}
		if err := collapse(file, length); err != nil {
			return err
		}
		if err := file.Truncate(is.size); err != nil {
			return err
		}
		// As if the process were gone: nothing is noted of it any more.
		return unix.EINTR
	}
	l.clock = l.clock.Add(time.Hour)
	if _, failed := l.SetAside(l.all()); len(failed) != 0 {
		t.Fatal(failed)
	}
	all := l.all()
	outcomes := l.settles(Task{Segment: all[0].Segments[0], Format: archive.Gzip, Take: true})
	if !errors.Is(outcomes[0].Err, unix.EINTR) {
		t.Fatalf("%+v", outcomes)
	}
	l.start()
	l.wants(name, 40_000)
	for next := 50_000; next < 80_000; next += 10_000 {
		l.lines(file, next-10_000, next)
		l.wants(name, next)
		l.rotate()
		l.wants(name, next)
	}
}
