package ssh

import (
	"io"
	"sync"

	"golang.org/x/crypto/ssh"
)

// turnsChannel is a channel that several may write to, one after the other:
// x/crypto puts what is written together in one place for each stream, and
// leaves it to those who write not to do so at once.
type turnsChannel struct {
	ssh.Channel
	out, errors turns
}

func inTurns(channel ssh.Channel) *turnsChannel {
	return &turnsChannel{Channel: channel, out: turns{ReadWriter: channel}, errors: turns{ReadWriter: channel.Stderr()}}
}

func (c *turnsChannel) Write(text []byte) (int, error) { return c.out.Write(text) }
func (c *turnsChannel) Stderr() io.ReadWriter          { return &c.errors }

// CloseWrite is the last to write.
func (c *turnsChannel) CloseWrite() error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.errors.mu.Lock()
	defer c.errors.mu.Unlock()
	return c.Channel.CloseWrite()
}

// turns is one stream of it.
type turns struct {
	io.ReadWriter
	mu sync.Mutex
}

func (t *turns) Write(text []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ReadWriter.Write(text)
}
