package ssh

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/inmanta/inmanta-docker/sidecar/process"
)

// hears collects what a session says.
type hears struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (h *hears) Write(text []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(text)
}

func (h *hears) has(words string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Contains(h.text.String(), words)
}

const notice = "The ssh sidecar is stopping"

func TestDrain(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	idle, busy, forwarding := s.dial(t, key), s.dial(t, key), s.dial(t, key)
	entering := knock(t, s, here)
	var plain, terminal, said hears
	begin := func(session *ssh.Session, command string) io.WriteCloser {
		input, err := session.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := session.Start(command); err != nil {
			t.Fatal(err)
		}
		return input
	}
	piped, onTerminal := open(t, busy), open(t, busy)
	piped.Stderr, piped.Stdout = &plain, &said
	plainInput := begin(piped, "echo began; read line; echo went on: $line")
	if err := onTerminal.RequestPty("xterm", 24, 80, nil); err != nil {
		t.Fatal(err)
	}
	onTerminal.Stdout = &terminal
	terminalInput := begin(onTerminal, "echo began; read line")
	eventually(t, "the sessions run", func() bool { return said.has("began") && terminal.has("began") })
	conn, err := forwarding.Dial("tcp", echoing(t, "tcp", "127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	s.stop()
	_ = idle.Wait() // closed at once
	within(t, entering, "whoever has not logged in to be sent away")
	eventually(t, "the sessions are told", func() bool { return plain.has(notice) && terminal.has(notice) })
	eventually(t, "nobody is let in", func() bool {
		conn, err := s.connect(here)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	// What runs goes on to its own end.
	_, _ = io.WriteString(plainInput, "here\n")
	if err := piped.Wait(); err != nil || !said.has("went on: here") {
		t.Errorf("the session ended with %v", err)
	}
	echo(t, conn)
	_ = forwarding.Wait() // its last channel is gone
	_, _ = io.WriteString(terminalInput, "\n")
	_ = onTerminal.Wait()
	_ = busy.Wait()
	within(t, s.served, "the server to stop")
	for _, event := range []string{EventStopping, EventStopped} {
		s.log.await(t, event, kind(event))
	}
}

func TestDrainIsHurried(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	client, stuck := s.dial(t, key), enter(t, s, key)
	session := open(t, client)
	if _, err := session.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := session.Start(recorded(s, "exec cat")); err != nil {
		t.Fatal(err)
	}
	pid := s.recorded(t)
	// One whose client takes nothing, not even the notice.
	channel, err := stuck.open("session", 0, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := stuck.request(channel, "exec", textOf("exec cat /dev/zero")); !ok {
		t.Fatal(err)
	}
	s.stop()
	s.log.await(t, "that it stops", kind(EventStopping))
	select {
	case <-s.served:
		t.Error("it does not wait for its sessions")
	default:
	}
	s.hurry()
	within(t, s.served, "the server to stop")
	if n := s.log.count(reason(EventDisconnected, "the grace period is over")); n != 2 {
		t.Errorf("%d connections ended for that, want 2", n)
	}
	eventually(t, "the program ends", func() bool { return dead(pid) })
}

// Connections that were taken as the server was told to stop are not served,
// and do not keep it.
func TestNobodyEntersAfterTheGateIsShut(t *testing.T) {
	t.Parallel()
	g := newGate(DefaultLimits)
	g.shut()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	if _, err := g.enter(near); err == nil {
		t.Error("one enters")
	}
}

// What the server says to a session and what its program says are two things.
func TestNoticesDoNotMixWithOutput(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	client := s.dial(t, key)
	talking := open(t, client)
	if err := talking.RequestPty("xterm", 24, 80, nil); err != nil {
		t.Fatal(err)
	}
	output, _ := talking.StdoutPipe()
	const zeros, notices, text = 20 << 20, 2000, "a notice"
	if err := talking.Start(fmt.Sprintf("stty raw; head -c %d /dev/zero", zeros)); err != nil {
		t.Fatal(err)
	}
	if _, err := output.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	var told *session
	s.server.mu.Lock()
	for c := range s.server.connections {
		c.mu.Lock()
		for open := range c.sessions {
			told = open
		}
		c.mu.Unlock()
	}
	s.server.mu.Unlock()
	var telling sync.WaitGroup
	telling.Go(func() {
		for range notices {
			told.notify(text)
		}
	})
	got := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(output)
		got <- all
	}()
	telling.Wait()
	all := <-got
	if n := bytes.Count(all, []byte("\r\n"+text+"\r\n")); n != notices {
		t.Errorf("%d notices are whole, want %d", n, notices)
	}
	if n := bytes.Count(all, []byte{0}); n != zeros-1 {
		t.Errorf("%d bytes of output, want %d", n, zeros-1)
	}
}

// One session that takes no notice keeps nobody else from it.
func TestNoticeReachesTheOtherSessions(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	w := enter(t, s, key)
	const free = 9
	for n := range uint32(free + 1) {
		window := uint32(0)
		if n == free {
			window = 1 << 20
		}
		channel, err := w.open("session", n, window, nil)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := w.request(channel, "exec", textOf("exec sleep 1000")); !ok {
			t.Fatal(err)
		}
	}
	eventually(t, "all of them run", func() bool { return s.log.count(kind(EventSessionStart)) == free+1 })
	s.stop()
	for {
		packet, err := w.await(msgExtendedData)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(packet, []byte(notice)) {
			break
		}
	}
}

// The signals are the process's own, so this one is not parallel.
func TestSecondSignalHurries(t *testing.T) {
	stop, hurry, cancel := process.UntilTold(Grace)
	defer cancel()
	if stop.Err() != nil || hurry.Err() != nil {
		t.Fatal("told before it was")
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	within(t, stop.Done(), "the first signal")
	if hurry.Err() != nil {
		t.Fatal("the first hurries")
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	within(t, hurry.Done(), "the second signal")
}

// A file that is open when the grace period is over is logged as cut short,
// before the log ends.
func TestDrainHearsOfFilesThatAreCut(t *testing.T) {
	t.Parallel()
	for name, hurries := range map[string]bool{"by the client's leaving": false, "by the end of the grace period": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, key := serveOne(t, "")
			client := s.dial(t, key)
			session := open(t, client)
			input, err := session.StdinPipe()
			if err == nil {
				err = session.RequestSubsystem("sftp")
			}
			if err != nil {
				t.Fatal(err)
			}
			const write, create = 0x02, 0x08
			for _, packet := range [][]byte{
				append([]byte{1}, 0, 0, 0, 3),
				append([]byte{3}, ssh.Marshal(struct {
					ID           uint32
					Path         string
					Flags, Attrs uint32
				}{1, s.home("cut"), write | create, 0})...),
			} {
				if _, err := input.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(packet))), packet...)); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "the file is open", func() bool {
				_, err := os.Stat(s.home("cut"))
				return err == nil
			})
			s.stop()
			if hurries {
				s.hurry()
			} else {
				_ = client.Close()
			}
			within(t, s.served, "the server to stop")
			if n := s.log.count(func(e Event) bool { return file(s.home("cut"))(e) && e.Reason != "" }); n != 1 {
				t.Errorf("%d lines say that the file was cut, want 1", n)
			}
		})
	}
}
