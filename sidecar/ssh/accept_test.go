package ssh

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// A listener that fails for lack of something goes on once it is there again;
// one that fails for good is the end.
func TestListenerThatFails(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	before := s.dial(t, key)
	listener := &failing{Listener: listen(t), with: []error{syscall.EMFILE, syscall.ECONNABORTED}}
	served := make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { served <- s.server.Serve(ctx, ctx, listener) }()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client, err := s.login(conn, s.account(), ssh.PublicKeys(key))
	if err != nil {
		t.Fatal(err)
	}
	unharmed(t, client)
	_ = client.Close()
	unharmed(t, before)
	over := &failing{Listener: listen(t), with: []error{net.ErrClosed}}
	if err := s.server.Serve(ctx, ctx, over); !errors.Is(err, net.ErrClosed) {
		t.Errorf("it ends with %v", err)
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// failing is a listener that fails a few times first.
type failing struct {
	net.Listener
	mu   sync.Mutex
	with []error
}

func (f *failing) Accept() (net.Conn, error) {
	f.mu.Lock()
	if len(f.with) > 0 {
		err := f.with[0]
		f.with = f.with[1:]
		f.mu.Unlock()
		return nil, &net.OpError{Op: "accept", Err: err}
	}
	f.mu.Unlock()
	return f.Listener.Accept()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// What listens for a client, too, goes on once there are descriptors again.
func TestForwardedListenerThatFails(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	client := s.dial(t, key)
	unharmed(t, client)
	var c *connection
	s.server.mu.Lock()
	for one := range s.server.connections {
		c = one
	}
	s.server.mu.Unlock()
	socket := &failing{Listener: listen(t), with: []error{syscall.EMFILE, syscall.ENFILE}}
	over := make(chan struct{})
	go func() {
		defer close(over)
		c.passOn(socket, "somewhere", &ssh.Request{Type: "tcpip-forward", Payload: ssh.Marshal(listenTCP{"somewhere", 1})})
	}()
	opened := client.HandleChannelOpen("forwarded-tcpip")
	conn, err := net.Dial("tcp", socket.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	select {
	case asked := <-opened:
		_ = asked.Reject(ssh.Prohibited, "")
	case <-time.After(longEnough):
		t.Error("the client hears of no connection")
	}
	_ = socket.Close()
	within(t, over, "the listener to end")
	unharmed(t, client)
}
