package ssh

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/sftp"
)

// reportDescriptor is where the file server's process writes what it did to
// files: the first descriptor after the standard ones.
const reportDescriptor = 3

// longestReport bounds one line of it, in bytes: two paths, escaped.
const longestReport = 64 << 10

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
