package ssh

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/filelog"
	"github.com/inmanta/inmanta-docker/sidecar/sftp"
)

// reportDescriptor is where the file server's process writes what it did to
// files: the first descriptor after the standard ones.
const reportDescriptor = 3

// longestReport bounds one line of it, in bytes: two paths of the kernel's
// longest, escaped as JSON escapes at worst, are 98 KiB.
const longestReport = 128 << 10

// reportGrace is how long what a file server said before it ended may take to
// be read.
const reportGrace = 5 * time.Second

// report logs what a file server says it did. It is a process of the session,
// which can make it say anything: it is a log of what honest clients did.
func (s *session) report(reports io.ReadCloser) {
	defer reports.Close()
	var from io.Reader = reports
	if d := directly(reports); d != nil {
		from = d
	}
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, longestReport)
	more := false // has come in already
	lines.Split(func(data []byte, atEnd bool) (int, []byte, error) {
		n, line, err := bufio.ScanLines(data, atEnd)
		more = bytes.IndexByte(data[n:], '\n') >= 0
		return n, line, err
	})
	var done []Event
	for lines.Scan() {
		var did filelog.Event
		if json.Unmarshal(lines.Bytes(), &did) == nil {
			done = append(done, fileEvent(did))
		}
		if !more {
			s.log(done...)
			done = done[:0]
		}
	}
	s.log(done...)
}

func fileEvent(did filelog.Event) Event {
	e := Event{
		Event: EventFile, Action: string(did.Operation), Path: did.Path, Target: did.To,
		BytesIn: int64(did.Written), BytesOut: int64(did.Read),
	}
	if did.Cut {
		e.Reason = "not all of the file was transferred"
	}
	return e
}

// SFTP is the file server of the sftp subsystem, on standard input and output.
// With reporting, what it does to files goes to the server that started it.
func SFTP(in io.Reader, out io.Writer, reporting bool) error {
	// Who may only use this must not get at the process through its own /proc.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("closing memory and descriptors to the client: %w", err)
	}
	// A reader that is gone is an error to report, not the end of the process.
	signal.Ignore(unix.SIGPIPE)
	// Its memory is what listings leave; each client has one of these.
	debug.SetGCPercent(25)
	options := sftp.Options{}
	if home, err := os.UserHomeDir(); err == nil {
		options.Start = home
	}
	if reporting {
		reports := filelog.NewReporter(os.NewFile(reportDescriptor, "reports"))
		defer reports.Deliver()
		options.Audit = reports.Add
	}
	return sftp.Serve(in, out, options)
}
