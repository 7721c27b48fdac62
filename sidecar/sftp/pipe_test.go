package sftp_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// ways are those in which a server of its own process gets to its client;
// each ends in the same answers.
func ways(t *testing.T) map[string]func(dir string) (*client, *exec.Cmd) {
	return map[string]func(dir string) (*client, *exec.Cmd){
		"pipes": func(dir string) (*client, *exec.Cmd) {
			server := program(t, self(t))
			return serveIn(t, dir, server), server
		},
		"pipes, and no descriptors to spare": func(dir string) (*client, *exec.Cmd) {
			server := program(t, self(t))
			c := serveIn(t, dir, server)
			// The next file it opens is the last.
			most := uint64(lowestFree(t, server) + 1)
			must(t, unix.Prlimit(server.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: most, Max: most}, nil))
			return c, server
		},
		"a socket": func(dir string) (*client, *exec.Cmd) {
			ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			must(t, err)
			ours, theirs := os.NewFile(uintptr(ends[0]), "ours"), os.NewFile(uintptr(ends[1]), "theirs")
			t.Cleanup(func() { ours.Close() })
			server := program(t, self(t))
			return serveOn(t, dir, server, ours, ours, theirs, theirs), server
		},
	}
}

func TestLargeReadsByEveryWay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := pattern(5_000_001)
	put(t, filepath.Join(dir, "file"), data)
	for what, connectTo := range ways(t) {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c, server := connectTo(dir)
			before := pipesOf(t, server)
			handle := c.open("file", fxfRead, attrs{})
			type asked struct{ offset, length int }
			var reads []asked
			for _, length := range []int{1, 4096, 16383, 16384, 16385, 32768, 258048, 261120, 1 << 30} {
				for _, offset := range []int{0, 1, 4095, 999_999, 4_980_000, 4_999_000, 5_000_000} {
					reads = append(reads, asked{offset, length})
				}
			}
			// All of them, and something else after each, before any answer is looked at.
			done := make(chan struct{})
			go func() {
				defer close(done)
				for _, r := range reads {
					c.send(fxpRead, handle, uint64(r.offset), r.length)
					c.send(fxpStat, "file")
				}
			}()
			for _, r := range reads {
				want := data[r.offset:min(len(data), r.offset+min(r.length, 258048))]
				answer := c.read()
				if answer.kind != fxpData {
					t.Fatalf("%+v: %+v", r, answer)
				}
				if got := answer.string(); got != want || len(answer.rest) > 0 {
					t.Fatalf("%+v: %d bytes, want %d", r, len(got), len(want))
				}
				if answer := c.read(); answer.kind != fxpAttrs || answer.stat().size != uint64(len(data)) {
					t.Fatalf("after %+v: %+v", r, answer)
				}
			}
			<-done
			own := 2
			if strings.Contains(what, "no descriptors") {
				own = 0
			}
			if got := pipesOf(t, server) - before; got != own {
				t.Errorf("the server made itself %d ends of pipes, want %d", got, own)
			}
		})
	}
}

// pipesOf is how many ends of pipes a server has.
func pipesOf(t *testing.T, server *exec.Cmd) int {
	t.Helper()
	found := 0
	for _, target := range openIn(t, server) {
		if strings.HasPrefix(target, "pipe:") {
			found++
		}
	}
	return found
}

// lowestFree is the descriptor that what a server opens next gets.
func lowestFree(t *testing.T, server *exec.Cmd) int {
	t.Helper()
	open := openIn(t, server)
	for fd := 0; ; fd++ {
		if _, taken := open[fd]; !taken {
			return fd
		}
	}
}

// openIn is what a server has open, by descriptor.
func openIn(t *testing.T, server *exec.Cmd) map[int]string {
	t.Helper()
	dir := filepath.Join("/proc", strconv.Itoa(server.Process.Pid), "fd")
	entries, err := os.ReadDir(dir)
	must(t, err)
	open := map[int]string{}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		must(t, err)
		open[fd], err = os.Readlink(filepath.Join(dir, entry.Name()))
		must(t, err)
	}
	return open
}

// A read answers with what was there when its turn came, whatever the same
// client wrote afterwards without waiting for the answer.
func TestReadsAreOfTheirTime(t *testing.T) {
	t.Parallel()
	for what, connectTo := range ways(t) {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c, _ := connectTo(dir)
			handle := c.open("file", fxfRead|fxfWrite|fxfCreat, attrs{})
			for round := range 50 {
				before := strings.Repeat(fmt.Sprintf("%08d", 2*round), 4096)
				after := strings.Repeat(fmt.Sprintf("%08d", 2*round+1), 4096)
				c.send(fxpWrite, handle, uint64(0), before)
				c.send(fxpRead, handle, uint64(0), len(before))
				c.send(fxpWrite, handle, uint64(0), after)
				c.read()
				if r := c.read(); r.string() != before {
					t.Fatalf("round %d read what was written later", round)
				}
				c.read()
			}
		})
	}
}

// A file that shrinks and grows while it is read makes answers shorter, never
// the packets wrong.
func TestReadingWhatChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, make([]byte, 4<<20), 0o644))
	for what, connectTo := range ways(t) {
		t.Run(what, func(t *testing.T) {
			c, _ := connectTo(dir)
			stop, stopped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(stopped)
				for size := int64(0); ; size = (size*7 + 12345) % (4 << 20) {
					select {
					case <-stop:
						return
					default:
						_ = os.Truncate(file, size)
						_ = os.Truncate(file, 4<<20)
					}
				}
			}()
			handle := c.open("file", fxfRead, attrs{})
			for range 200 {
				for at := range 4 {
					c.send(fxpRead, handle, uint64(at*999_999), 200_000)
				}
				for range 4 {
					switch r := c.read(); {
					case r.code() == fxEOF:
					case r.kind != fxpData || len(r.string()) > 200_000:
						t.Errorf("%d: %.100q", r.kind, r.rest)
					case r.id == 0 || r.id > c.last:
						t.Errorf("id %d", r.id)
					}
				}
			}
			close(stop)
			<-stopped
			must(t, os.Truncate(file, 4<<20))
			must(t, c.hangUp())
		})
	}
}

// A client that goes away in the middle of a large answer ends the session.
func TestAClientThatLeavesWhileItIsAnswered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "file"), make([]byte, 4<<20), 0o644))
	for what, connectTo := range ways(t) {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c, server := connectTo(dir)
			server.Stderr = nil
			handle := c.open("file", fxfRead, attrs{})
			for range 16 {
				c.send(fxpRead, handle, uint64(0), 258048)
			}
			if _, err := c.from.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			c.to.Close()
			c.from.(*os.File).Close()
			if err := <-c.ended; err == nil {
				t.Error("the server says that all went well")
			} else {
				c.ended <- err
			}
		})
	}
}
