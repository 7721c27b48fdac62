package ssh

import (
	"io"
	"sync"
	"sync/atomic"
)

// buffers are what is read into on the way: four packets of the protocol's
// largest size, so that a busy program is read from less often than the client
// is written to.
var buffers = sync.Pool{New: func() any {
	buffer := make([]byte, 128<<10)
	return &buffer
}}

// pour copies until the source ends, and counts what has arrived. A source that
// ends in an error has ended; only what keeps it from arriving is one.
func pour(to io.Writer, from io.Reader, count *atomic.Int64) error {
	if d := directly(to); d != nil {
		to = d
	}
	if d := directly(from); d != nil {
		from = d
	}
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	for {
		n, err := from.Read(*buffer)
		if n > 0 {
			written, err := to.Write((*buffer)[:n])
			count.Add(int64(written))
			if err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

// halfCloser is a two-way stream whose writing half can end by itself.
type halfCloser interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// join carries both ways between two streams until both ways have ended, each
// end passed on as it comes: protocols that answer after the end of the
// question work.
func join(a, b halfCloser) (fromA, fromB int64) {
	var countA, countB atomic.Int64
	var running sync.WaitGroup
	way := func(to, from halfCloser, count *atomic.Int64) {
		if err := pour(to, from, count); err != nil {
			// The other side takes no more, ever: this one may as well stop.
			_ = from.Close()
		}
		_ = to.CloseWrite()
	}
	running.Go(func() { way(b, a, &countA) })
	running.Go(func() { way(a, b, &countB) })
	running.Wait()
	return countA.Load(), countB.Load()
}
