package ssh

import (
	"bytes"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// pieces is a connection that remembers what it is asked to write.
type pieces struct {
	net.Conn
	written chan []byte
	fails   error
}

func (p *pieces) Write(piece []byte) (int, error) {
	if p.fails != nil {
		return 0, p.fails
	}
	p.written <- bytes.Clone(piece)
	return len(piece), nil
}

func (*pieces) Close() error                     { return nil }
func (*pieces) SetWriteDeadline(time.Time) error { return nil }

// As bufio writes packets: the first 4 KiB of a long one, then the rest.
func TestPacketsAreWrittenInOnePiece(t *testing.T) {
	under := &pieces{written: make(chan []byte, 10)}
	conn := wide(under)
	packet := bytes.Repeat([]byte("packet."), 5000)
	for _, length := range []int{1, beginning - 1, beginning + 1, 2 * beginning, 3*beginning + 1, len(packet)} {
		packet := packet[:length]
		if length > beginning {
			if _, err := conn.Write(packet[:beginning]); err != nil {
				t.Fatal(err)
			}
			packet = packet[beginning:]
		}
		if n, err := conn.Write(packet); n != len(packet) || err != nil {
			t.Fatal(n, err)
		}
	}
	for _, length := range []int{1, beginning - 1, beginning + 1, 2 * beginning, 3*beginning + 1, len(packet)} {
		if piece := <-under.written; !bytes.Equal(piece, packet[:length]) {
			t.Errorf("%d bytes were written in one piece, want the %d of the packet", len(piece), length)
		}
	}
}

func TestPacketThatLooksLikeABeginningIsWritten(t *testing.T) {
	under := &pieces{written: make(chan []byte, 10)}
	conn := wide(under)
	packet := bytes.Repeat([]byte{7}, beginning)
	for range 3 {
		if _, err := conn.Write(packet); err != nil {
			t.Fatal(err)
		}
		if piece := <-under.written; !bytes.Equal(piece, packet) {
			t.Errorf("%d bytes were written, want %d", len(piece), len(packet))
		}
	}
}

func TestCloseWritesWhatIsHeld(t *testing.T) {
	under := &pieces{written: make(chan []byte, 10)}
	conn := wide(under)
	packet := bytes.Repeat([]byte{7}, beginning)
	if _, err := conn.Write(packet); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case piece := <-under.written:
		if !bytes.Equal(piece, packet) {
			t.Errorf("%d bytes were written, want %d", len(piece), len(packet))
		}
	default:
		t.Error("what was held was lost")
	}
}

func TestWhatGoesWrongWithHeldBytesIsSaid(t *testing.T) {
	under := &pieces{fails: io.ErrClosedPipe}
	conn := wide(under)
	if _, err := conn.Write(make([]byte, beginning)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := conn.Write([]byte("rest")); err != io.ErrClosedPipe {
			t.Errorf("the error is %v, want %v", err, io.ErrClosedPipe)
		}
	}
}

// A client that reads nothing does not hold up the end of its connection.
func TestCloseWaitsForNobody(t *testing.T) {
	for _, held := range []bool{false, true} {
		client, server := connected(t)
		conn := wide(server)
		_ = server.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		for {
			if _, err := server.Write(make([]byte, 1<<20)); err != nil {
				break // it is full
			}
		}
		_ = server.SetWriteDeadline(time.Time{})
		writing := make(chan error, 1)
		if held {
			if _, err := conn.Write(make([]byte, beginning)); err != nil {
				t.Fatal(err)
			}
			writing <- nil
		} else {
			go func() {
				_, err := conn.Write(make([]byte, 2*beginning))
				writing <- err
			}()
		}
		closed := make(chan struct{})
		go func() {
			_ = conn.Close()
			close(closed)
		}()
		within(t, closed, "the end of the connection")
		<-writing
		_ = client.Close()
	}
}

// connected are the two ends of a TCP connection.
func connected(t *testing.T) (client, server net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if client, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close(); _ = server.Close() })
	return client, server
}

func TestDirectly(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	in, out := directly(write), directly(read)
	if in == nil || out == nil {
		t.Fatal("a pipe is not written or read directly")
	}
	// More than the pipe holds, so that both have to wait for each other.
	sent := bytes.Repeat([]byte("all of it, in order"), 50_000)
	go func() {
		_, _ = in.Write(sent)
		_ = write.Close()
	}()
	got, err := io.ReadAll(out)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes arrived (%v), want %d", len(got), err, len(sent))
	}
}

func TestDirectlySaysWhatIsWrong(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	in := directly(write)
	_ = read.Close()
	if _, err := in.Write([]byte("to nobody")); err == nil {
		t.Error("writing to a pipe that nobody reads is no error")
	}
	_ = write.Close()
	if _, err := in.Write([]byte("nowhere")); err == nil {
		t.Error("writing to a closed pipe is no error")
	}

	_, server := connected(t)
	d := directly(server)
	_ = server.SetDeadline(time.Now().Add(-time.Second))
	_, err = d.Read(make([]byte, 1))
	if timeout, ok := err.(net.Error); !ok || !timeout.Timeout() {
		t.Errorf("reading after the deadline: %v", err)
	}
	_ = server.SetDeadline(time.Time{})
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		_, err = d.Read(make([]byte, 1))
	}()
	_ = server.Close()
	within(t, reading, "a read of a connection that is closed")
	if err == nil || err == io.EOF {
		t.Errorf("reading a closed connection: %v", err)
	}
}

// What could wait in the kernel would keep everything else waiting.
func TestDirectlyLeavesAloneWhatWaits(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	_ = read.Fd() // from here on it waits
	if directly(read) != nil {
		t.Error("a pipe that waits is read directly")
	}
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	if directly(ours) != nil {
		t.Error("what has no descriptor is read directly")
	}
}
