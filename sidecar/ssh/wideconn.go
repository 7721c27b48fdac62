package ssh

import (
	"bufio"
	"io"
	"net"
	"sync"
	"time"
)

// wideConn is a connection as x/crypto should see it. That goes through buffers
// of 4 KiB both ways, which makes several system calls of each packet, and
// several packets of TCP.
type wideConn struct {
	net.Conn
	reads *bufio.Reader

	mu    sync.Mutex
	wire  io.Writer
	held  *[]byte // the beginning of a packet, until the rest of it comes
	late  *time.Timer
	wrong error // what became of bytes that were held
}

const (
	// readAhead is how much is read at once, in bytes.
	readAhead = 64 << 10
	// beginning is the size of bufio's buffer. A packet that is longer is written
	// in two pieces, of which this is the first.
	beginning = 4096
	// soon is when the second piece is there; a packet of just that size has none.
	soon = time.Millisecond
)

// packets are buffers that the longest packet of a channel fits in.
var packets = sync.Pool{New: func() any {
	buffer := make([]byte, 0, 36<<10)
	return &buffer
}}

func wide(conn net.Conn) net.Conn {
	var wire io.ReadWriter = conn
	if d := directly(conn); d != nil {
		wire = d
	}
	w := &wideConn{Conn: conn, reads: bufio.NewReaderSize(wire, readAhead), wire: wire}
	w.late = time.AfterFunc(soon, w.flush)
	return w
}

func (w *wideConn) Read(p []byte) (int, error) { return w.reads.Read(p) }

// Write writes p, or holds it where more is on its way. What goes wrong with
// bytes that were held is said at the next call.
func (w *wideConn) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wrong != nil {
		return 0, w.wrong
	}
	if w.held != nil {
		*w.held = append(*w.held, p...)
		w.send()
		return len(p), w.wrong
	}
	if len(p) != beginning {
		return w.wire.Write(p)
	}
	w.held = packets.Get().(*[]byte)
	*w.held = append((*w.held)[:0], p...)
	w.late.Reset(soon)
	return len(p), nil
}

// send writes what is held.
func (w *wideConn) send() {
	w.late.Stop()
	_, w.wrong = w.wire.Write(*w.held)
	packets.Put(w.held)
	w.held = nil
}

func (w *wideConn) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held != nil {
		w.send()
	}
}

// Close writes what is held, unless there is no room for it.
func (w *wideConn) Close() error {
	if w.mu.TryLock() {
		if w.held != nil {
			_ = w.SetWriteDeadline(time.Now().Add(soon))
			w.send()
		}
		w.mu.Unlock()
	}
	return w.Conn.Close()
}
