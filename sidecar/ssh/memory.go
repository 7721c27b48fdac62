package ssh

import (
	"fmt"
	"net"
	"runtime"
	"runtime/metrics"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
)

// What a client sends and nothing takes is kept by x/crypto, up to the window of
// 2 MiB of each channel. It is kept packet by packet: of one byte each, they are
// 42 times as much. So what counts is what it comes to, in the whole server.

// meteredConn is a connection that knows how much has come over it.
type meteredConn struct {
	net.Conn
	received atomic.Int64
	// weigh is called once for each step of it.
	weigh func()
}

// weighingStep is after how many bytes of a connection the server looks at what
// it holds.
const weighingStep = 1 << 20

func (m *meteredConn) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	now := m.received.Add(int64(n))
	if now/weighingStep != (now-int64(n))/weighingStep {
		go m.weigh()
	}
	return n, err
}

// takenChannel is a channel that counts what is taken of what came through it.
type takenChannel struct {
	ssh.Channel
	taken *atomic.Int64
}

func (t takenChannel) Read(p []byte) (int, error) {
	n, err := t.Channel.Read(p)
	t.taken.Add(int64(n))
	return n, err
}

// unread is about how much the client has sent that nothing has taken, in bytes
// on the wire, since all was well.
func (c *connection) unread() int64 {
	return c.wire.received.Load() - c.taken.Load() - c.settled.Load()
}

// settle says that all is well.
func (c *connection) settle() {
	c.settled.Store(c.wire.received.Load() - c.taken.Load())
}

// weigh ends the connection of which most is unread, when the server holds more
// than it may.
func (s *Server) weigh() {
	if !s.weighing.TryLock() {
		return // somebody does
	}
	defer s.weighing.Unlock()
	limit := s.config.Limits.Memory
	held := heap()
	if held > limit {
		runtime.GC() // without what is no more than not yet cleared away
		held = heap()
	}
	s.mu.Lock()
	var worst *connection
	for c := range s.connections {
		if held < limit/2 {
			c.settle()
		}
		if worst == nil || c.unread() > worst.unread() {
			worst = c
		}
	}
	s.mu.Unlock()
	if held <= limit || worst == nil {
		return
	}
	worst.end(fmt.Sprintf("the server holds %d MiB, more than the %d it may, and most is what this client sent and nothing has taken", held>>20, limit>>20))
	<-worst.ctx.Done() // then it is gone, or nobody would know whether one more has to go
}

// heap is how much memory is in use, in bytes.
func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
