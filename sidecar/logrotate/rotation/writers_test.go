package rotation

import (
	"os"
	"testing"
	"time"
)

// What each kind of writer does, and that nothing of it is lost.

func TestNobodyHoldsIt(t *testing.T) {
	t.Parallel()
	l := newLogs(t)
	file := l.open("server.log", os.O_CREATE|os.O_WRONLY|os.O_APPEND)
	l.lines(file, 0, 1000)
	file.Close()
	outcomes := l.rotate()
	if len(outcomes) != 1 || outcomes[0].Result != Archived {
		t.Fatalf("%+v", outcomes)
	}
	l.wants("server.log", 1000)
	if all := l.all(); all[0].Live != nil || len(all[0].Segments) != 0 || len(all[0].Archives) != 1 {
		t.Errorf("%+v", all)
	}
}

// One that reopens, as Python's WatchedFileHandler: it looks whether its file
// still has its name, before each line.
func TestWriterReopens(t *testing.T) {
	t.Parallel()
	l := newLogs(t)
	file := l.open("server.log", os.O_CREATE|os.O_WRONLY|os.O_APPEND)
	written := 0
	for range 5 {
		l.lines(file, written, written+100)
		l.rotate()
		// On its way: it looked at the name before.
		l.lines(file, written+100, written+101)
		if outcomes := l.settle(); outcomes[len(outcomes)-1].Result != Waiting {
			t.Fatalf("%+v", outcomes)
		}
		old := file
		file = l.open("server.log", os.O_CREATE|os.O_WRONLY|os.O_APPEND)
		l.lines(file, written+101, written+150)
		l.settle()
		l.wants("server.log", written+150)
		old.Close()
		l.clock = l.clock.Add(time.Minute)
		if outcomes := l.settle(); outcomes[0].Result != Archived {
			t.Fatalf("%+v", outcomes)
		}
		written += 150
		l.wants("server.log", written)
	}
}

func TestWriterKeepsAndAppends(t *testing.T) {
	t.Parallel()
	l := newLogs(t)
	l.keeps(l.open("callback.log", os.O_CREATE|os.O_WRONLY|os.O_APPEND), Appends)
}

func TestWriterKeepsWithItsOwnOffset(t *testing.T) {
	t.Parallel()
	l := newLogs(t)
	l.keeps(l.open("callback.log", os.O_CREATE|os.O_WRONLY), OwnOffset)
}

func (l *logs) keeps(file *os.File, want Writer) {
	const name = "callback.log"
	l.Helper()
	l.lines(file, 0, 10_000)
	l.rotate()
	l.clock = l.clock.Add(time.Second)
	l.settle() // notes the size
	l.lines(file, 10_000, 10_001)
	if outcomes := l.settle(); outcomes[0].Result != Returned || len(outcomes[0].Archives) != 1 {
		l.Fatalf("%+v", outcomes)
	}
	l.wants(name, 10_001)
	written := 10_001
	for round := range 6 {
		next := written + 1 + round*4_000
		l.lines(file, written, next)
		written = next
		l.wants(name, written)
		l.rotate()
		l.wants(name, written)
		l.start()
		l.wants(name, written)
	}
	all := l.all()
	if all[0].Live == nil || all[0].Live.Writer != want {
		l.Errorf("%+v, want %s", all[0].Live, want)
	}
	if got := all[0].Live.Allocated; got > 16<<10 {
		l.Errorf("%d bytes are still taken", got)
	}
	file.Close()
	l.rotate()
	l.wants(name, written)
	if all := l.all(); all[0].Live != nil || len(all[0].Segments) > 0 {
		l.Errorf("%+v", all[0])
	}
}

// A look at one log says nothing of another: what is known of how that is written
// to has to stay, or what its writer leaves behind is taken for lines.
func TestOtherLogsAreNotForgotten(t *testing.T) {
	t.Parallel()
	l := newLogs(t)
	file := l.open("agent.out", os.O_CREATE|os.O_WRONLY)
	l.lines(file, 0, 10_000)
	l.rotate()
	l.clock = l.clock.Add(time.Second)
	l.settle() // notes the size
	l.lines(file, 10_000, 20_000)
	l.settle()
	if _, _, err := l.List(func(log string) bool { return log == "server.log" }); err != nil {
		t.Fatal(err)
	}
	l.lines(file, 20_000, 30_000)
	l.rotate()
	l.wants("agent.out", 30_000)
	file.Close()
	l.rotate()
	l.wants("agent.out", 30_000)
	if len(l.writers) != 0 {
		t.Errorf("of files that are gone, this is still known: %+v", l.writers)
	}
}

// What nobody wrote is passed over, however much of it there is.
func TestHolesOfAKeptLog(t *testing.T) {
	t.Parallel()
	l := newLogs(t)
	file := l.open("callback.log", os.O_CREATE|os.O_WRONLY)
	const apart = 100 << 30
	for i := range 3 {
		if _, err := file.Seek(int64(i)*apart, 0); err != nil {
			t.Fatal(err)
		}
		l.lines(file, 1000*i, 1000*(i+1))
	}
	l.rotate()
	l.clock = l.clock.Add(time.Second)
	l.settle() // notes the size
	l.lines(file, 3000, 3001)
	outcomes := l.settle()
	if outcomes[0].Result != Returned || len(outcomes[0].Archives) != 3 {
		t.Fatalf("%+v", outcomes)
	}
}
