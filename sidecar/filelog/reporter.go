package filelog

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"path/filepath"
	"sync"
	"time"
)

// Socket is where the ssh server hears of files from programs that a session's
// shell has started, in the abstract namespace of unix(7).
const Socket = "@inmanta-sidecar-ssh-files"

// delivery is how long a report is kept, so that several go together: of
// thousands of small files, one at a time costs more than reading them.
const delivery = 10 * time.Millisecond

// patience is how long the ssh server may take to listen, and to take a report.
// A file is not held up for longer by what is written of it.
const patience = 5 * time.Second

// Reporter tells the ssh server of files, as one JSON object a line. What cannot
// be told is no reason for a transfer to fail. It is safe for use by many at once.
type Reporter struct {
	mu   sync.Mutex
	to   *bufio.Writer
	late *time.Timer
}

// NewReporter reports to a stream.
func NewReporter(to io.Writer) *Reporter {
	r := &Reporter{to: bufio.NewWriterSize(to, 4<<10)}
	r.late = time.AfterFunc(delivery, r.Deliver)
	return r
}

// Connect reports to the ssh server that listens on a socket, or to nobody where
// none does or it does not want to hear. The server says that it does, by one byte,
// once it knows whose reports they are: of a process that has ended it could not.
func Connect(socket string) *Reporter {
	conn, err := net.DialTimeout("unix", socket, patience)
	if err != nil {
		return NewReporter(io.Discard)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		_ = conn.Close()
		return NewReporter(io.Discard)
	}
	return NewReporter(unhurried{conn})
}

// Welcome tells a process that connected that its reports are heard.
func Welcome(conn net.Conn) { _, _ = conn.Write([]byte{0}) }

// unhurried is a connection whose other end may take its time, but not for ever.
type unhurried struct{ net.Conn }

func (u unhurried) Write(text []byte) (int, error) {
	_ = u.SetWriteDeadline(time.Now().Add(patience))
	return u.Conn.Write(text)
}

// Add tells of an event, soon. A relative path is one of the working directory.
func (r *Reporter) Add(e Event) {
	if full, err := filepath.Abs(e.Path); err == nil {
		e.Path = full
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.to.Buffered() == 0 {
		r.late.Reset(delivery)
	}
	_ = json.NewEncoder(r.to).Encode(e) // the server may be gone
}

// Deliver tells now what has not been told yet.
func (r *Reporter) Deliver() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.to.Flush()
}
