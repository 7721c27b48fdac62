package wire

import (
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// batch is how many bytes are worth a write of their own.
	batch = 32 << 10
	// backlog is how many bytes may wait to be written before whoever adds to
	// the stream has to wait too.
	backlog = 256 << 10
	// maxBacklog is how many bytes of messages may wait in addition: messages
	// never wait, so a peer that reads none of them is given up.
	maxBacklog = backlog + 16<<20
)

// errNotRead is what becomes of a peer that never reads.
var errNotRead = errors.New("the other side does not read its messages")

// Writer sends frames. A goroutine of its own does the writing, so that
// whoever only has a message never waits for the peer: the peer may be waiting
// for that one to read. Any number of goroutines may use it.
type Writer struct {
	mu      sync.Mutex
	changed *sync.Cond
	pending []byte
	open    int // where the open Data frame's header is in pending; -1: none
	framed  bool
	flush   bool
	closed  bool
	err     error
	done    chan struct{}

	// perSecond limits what is written, in bytes; 0 is no limit.
	perSecond int64
	total     atomic.Int64
	wrote     atomic.Int64
}

// NewWriter writes to the peer, without frames yet, at most so many bytes a
// second (0: as fast as it goes). It must be closed.
func NewWriter(destination io.Writer, perSecond int64) *Writer {
	w := &Writer{open: -1, done: make(chan struct{}), perSecond: perSecond}
	w.changed = sync.NewCond(&w.mu)
	w.wrote.Store(time.Now().UnixNano())
	go w.run(destination)
	return w
}

// run writes what is pending until Close, or until writing fails.
func (w *Writer) run(destination io.Writer) {
	defer close(w.done)
	var spare []byte
	for {
		w.mu.Lock()
		for len(w.pending) < batch && !(w.flush && len(w.pending) > 0) && !w.closed {
			w.changed.Wait()
		}
		if len(w.pending) == 0 && w.closed {
			w.mu.Unlock()
			return
		}
		full := w.pending
		w.pending, w.open, w.flush = spare[:0], -1, false
		w.changed.Broadcast()
		w.mu.Unlock()

		n, err := destination.Write(full)
		w.total.Add(int64(n))
		w.wrote.Store(time.Now().UnixNano())
		if err != nil {
			w.fail(err)
			return
		}
		if w.perSecond > 0 {
			<-time.After(time.Duration(int64(n) * int64(time.Second) / w.perSecond))
		}
		// A burst of messages must not hold its memory for ever.
		if spare = full; cap(spare) > 2*backlog {
			spare = nil
		}
	}
}

func (w *Writer) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
	w.changed.Broadcast()
}

// Frame says that frames begin here.
func (w *Writer) Frame() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.framed = true
}

// Total is how much was written, in bytes, frame headers included.
func (w *Writer) Total() int64 { return w.total.Load() }

// LastWrote is when something was written the last time.
func (w *Writer) LastWrote() time.Time { return time.Unix(0, w.wrote.Load()) }

// Write adds to the stream; it waits while too much is pending. Its only
// errors are those of writing to the peer, and they stay.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	written := 0
	for written < len(p) {
		for w.err == nil && len(w.pending) >= backlog {
			w.changed.Wait()
		}
		if w.err != nil {
			return written, w.err
		}
		piece := p[written:]
		if w.framed {
			if w.open < 0 || len(w.pending)-w.open-4 >= maxFrame {
				w.open = len(w.pending)
				w.pending = append(w.pending, 0, 0, 0, tagBase)
			}
			piece = piece[:min(len(piece), maxFrame-(len(w.pending)-w.open-4))]
		}
		before := len(w.pending)
		w.pending = append(w.pending, piece...)
		if w.framed {
			length := len(w.pending) - w.open - 4
			w.pending[w.open] = byte(length)
			w.pending[w.open+1] = byte(length >> 8)
			w.pending[w.open+2] = byte(length >> 16)
		}
		if before < batch && len(w.pending) >= batch {
			w.changed.Broadcast()
		}
		written += len(piece)
	}
	return written, nil
}

// Message sends a frame beside the stream, at once and without waiting. What
// is too long is cut.
func (w *Writer) Message(tag Tag, payload []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.framed || w.err != nil {
		return
	}
	payload = payload[:min(len(payload), maxMessage)]
	if len(w.pending)+len(payload) > maxBacklog {
		w.err = errNotRead
		w.changed.Broadcast()
		return
	}
	w.open = -1
	w.pending = binary.LittleEndian.AppendUint32(w.pending, uint32(tagBase+tag)<<24|uint32(len(payload)))
	w.pending = append(w.pending, payload...)
	w.flush = true
	w.changed.Broadcast()
}

// MessageInt sends a frame that holds a number.
func (w *Writer) MessageInt(tag Tag, value int32) {
	w.Message(tag, binary.LittleEndian.AppendUint32(nil, uint32(value)))
}

// Flush sees to it that what is pending is written soon. It does not wait.
func (w *Writer) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pending) > 0 && !w.flush {
		w.flush = true
		w.changed.Broadcast()
	}
}

// Close waits until everything is written, and says whether it was.
func (w *Writer) Close() error {
	w.mu.Lock()
	w.closed = true
	w.changed.Broadcast()
	w.mu.Unlock()
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
