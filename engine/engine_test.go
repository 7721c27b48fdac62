package engine

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/client"
)

// Who asks the engine nothing does not wait for it: config needs none.
func TestClosingDoesNotConnect(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	connections := make(chan net.Conn, 8)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				close(connections)
				return
			}
			_ = c.Close()
			connections <- c
		}
	}()
	t.Setenv("DOCKER_HOST", "unix://"+socket)
	t.Setenv("DOCKER_CONTEXT", "")
	open := func() *Engine {
		e, err := Open(Streams{In: io.NopCloser(strings.NewReader("")), Out: io.Discard, Err: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}

	unused := open()
	if err := unused.Close(); err != nil {
		t.Error(err)
	}
	if len(connections) != 0 {
		t.Error("closing what nobody used has connected")
	}
	used := open()
	if _, err := used.API().Ping(t.Context(), client.PingOptions{}); err == nil {
		t.Error("an engine that hangs up answers")
	}
	if _, ok := <-connections; !ok {
		t.Error("nobody connected, even when asked")
	}
	if err := used.Close(); err != nil {
		t.Error(err)
	}
}
