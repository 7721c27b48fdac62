package ssh

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

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
	lines := bufio.NewScanner(reports)
	lines.Buffer(nil, longestReport)
	for lines.Scan() {
		var did sftp.Event
		if json.Unmarshal(lines.Bytes(), &did) != nil {
			continue
		}
		e := Event{
			Event: EventFile, Action: string(did.Operation), Path: did.Path, Target: did.To,
			BytesIn: int64(did.Written), BytesOut: int64(did.Read),
		}
		if did.Cut {
			e.Reason = "the session ended before the file was closed"
		}
		s.log(e)
	}
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
		reports := json.NewEncoder(os.NewFile(reportDescriptor, "reports"))
		options.Audit = func(e sftp.Event) { _ = reports.Encode(e) } // the server may be gone
	}
	return sftp.Serve(in, out, options)
}
