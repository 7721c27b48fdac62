package ssh

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// knock connects and stays without a word, until the server ends it.
func knock(t *testing.T, s *stand, source string) (ended <-chan struct{}) {
	t.Helper()
	conn := s.reach(t, source)
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err) // not even greeted
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_, _ = io.Copy(io.Discard, conn)
	}()
	return closed
}

func isOpen(ended <-chan struct{}) bool {
	select {
	case <-ended:
		return false
	default:
		return true
	}
}

func TestOldestOfTheBiggestSourceIsEvicted(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "", limited(func(l *Limits) { l.Handshakes = 6 }))
	before := s.dial(t, key)
	unharmed(t, before) // so it is none of those that are logging in
	small := knock(t, s, "127.3.0.1")
	var big []<-chan struct{}
	for range 5 {
		big = append(big, knock(t, s, "127.3.0.2"))
	}
	for i := range 3 {
		knock(t, s, fmt.Sprintf("127.3.1.%d", i))
		within(t, big[i], "the oldest of the biggest source to go")
		if !isOpen(small) || !isOpen(big[i+1]) {
			t.Fatalf("after %d more, another is gone too", i+1)
		}
	}
	unharmed(t, before)
	// All are of different sources, or as big: still there is room for one who knocks.
	unharmed(t, s.dial(t, key))
	s.log.await(t, "why", reason(EventRefused, "this was the oldest of them"))
}

func TestFailuresOfASourceAreLimited(t *testing.T) {
	t.Parallel()
	const failures = 5
	s, key := serveOne(t, "", limited(func(l *Limits) { l.Failures, l.Pardon = failures, time.Hour }))
	before := s.dial(t, key, "127.4.0.1")
	unharmed(t, before) // its login is not to end the row that follows
	stranger := newKey(t)
	greeted := func(source string) bool {
		conn := s.reach(t, source)
		n, _ := conn.Read(make([]byte, 1))
		return n == 1
	}
	fails := func(times int) {
		t.Helper()
		for i := range times {
			if _, err := s.login(s.reach(t, "127.4.0.1"), s.account(), ssh.PublicKeys(stranger)); err == nil {
				t.Fatal("a stranger is let in")
			}
			eventually(t, "the failure is counted", func() bool { return s.server.gate.failed("127.4.0.1") == i+1 })
		}
	}
	// A login is the end of a row.
	fails(failures - 1)
	unharmed(t, s.dial(t, key, "127.4.0.1"))
	fails(failures)
	if greeted("127.4.0.1") {
		t.Error("one more is let try")
	}
	s.log.await(t, "why", reason(EventRefused, "127.4.0.1 has failed to log in too often"))
	unharmed(t, before)
	unharmed(t, s.dial(t, key, "127.4.0.2"))
}

func TestFailuresAreForgottenInTime(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "", limited(func(l *Limits) { l.Failures, l.Pardon = 1, 200*time.Millisecond }))
	if _, err := s.login(s.reach(t, here), s.account(), ssh.PublicKeys(newKey(t))); err == nil {
		t.Fatal("a stranger is let in")
	}
	eventually(t, "the key is let in again", func() bool {
		client, err := s.login(s.reach(t, here), s.account(), ssh.PublicKeys(key))
		if err == nil {
			_ = client.Close()
		}
		return err == nil
	})
}

// failed is how many failures a source has left to live down, for tests whose
// pardon takes longer than they do.
func (g *gate) failed(source string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	left, known := g.suspicion[netip.MustParseAddr(source)]
	if !known {
		return 0
	}
	return g.limits.Failures - int(left.Tokens())
}

func TestConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	const most = 3
	s, key := serveOne(t, "", limited(func(l *Limits) { l.Connections = most }))
	var clients []*ssh.Client
	for range most {
		client := s.dial(t, key)
		unharmed(t, client) // so it has its place
		clients = append(clients, client)
	}
	if client, err := s.login(s.reach(t, here), s.account(), ssh.PublicKeys(key)); err == nil {
		// The place may be taken between its login and its welcome; it is not served then.
		if _, err := client.NewSession(); err == nil {
			t.Error("one more is served")
		}
	}
	s.log.await(t, "why", reason(EventRefused, "3 connections are logged in, which is the limit"))
	for _, client := range clients {
		unharmed(t, client)
	}
	_ = clients[0].Close()
	eventually(t, "the place is free", func() bool {
		client, err := s.login(s.reach(t, here), s.account(), ssh.PublicKeys(key))
		if err == nil {
			_ = client.Close()
		}
		return err == nil
	})
	unharmed(t, clients[1])
}

// All that log in at once find one place: whoever does not get it is gone, with
// all that it has asked for by then.
func TestPlaceIsGivenOnce(t *testing.T) {
	s, key := serveOne(t, "", limited(func(l *Limits) { l.Connections = 1 }))
	before := resting(t)
	const many = 20
	served := make(chan *wire, many)
	inTurn(many, many, func(int) {
		w := &wire{}
		var err error
		if w.conn, err = s.connect(here); err != nil {
			t.Error(err)
			return
		}
		if err := errors.Join(w.greet(), w.meet()); err != nil {
			_ = w.conn.Close() // while others log in, the gate lets nobody more in
			return
		}
		login, err := w.signed(s.account(), key, key.PublicKey().Type(), func(data []byte) (*ssh.Signature, error) { return key.Sign(rand.Reader, data) })
		if err != nil {
			t.Error(err)
			return
		}
		_ = w.sendAll(append([][]byte{login}, repeat(channelOpen("session", 0, 1<<20, nil), 40)...)...)
		if _, err := w.await(msgChannelConfirmed); err != nil {
			_ = w.conn.Close()
			return
		}
		served <- w
	})
	close(served)
	n := 0
	for w := range served {
		n++
		_ = w.conn.Close()
	}
	if n > 1 {
		t.Errorf("%d are served at once", n)
	}
	returns(t, before)
	unharmed(t, s.dial(t, key))
}

func TestListenersAreLimited(t *testing.T) {
	t.Parallel()
	const most = 4
	s, key := serveOne(t, "", limited(func(l *Limits) { l.Channels = most }))
	before := s.dial(t, key)
	client := s.dial(t, key)
	var listeners []net.Listener
	for i := range most {
		var listener net.Listener
		var err error
		if i%2 == 0 {
			listener, err = client.Listen("tcp", "127.0.0.1:0")
		} else {
			listener, err = client.ListenUnix(s.home(fmt.Sprint("socket", i)))
		}
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, listener)
	}
	if _, err := client.Listen("tcp", "127.0.0.1:0"); err == nil {
		t.Error("one more is granted")
	}
	if _, err := client.ListenUnix(s.home("more")); err == nil {
		t.Error("one more socket is granted")
	}
	s.log.await(t, "why", reason(EventForward, "listens in 4 places, which is the limit"))
	_ = listeners[0].Close()
	if _, err := client.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Error("a place that was given back is not free:", err)
	}
	unharmed(t, client)
	unharmed(t, before)
}

// Whoever connects to a listener takes a channel of the client, and no more
// than there are; that the client accepts none of them harms nobody else.
func TestForwardedChannelsAreLimited(t *testing.T) {
	t.Parallel()
	const most = 4
	s, key := serveOne(t, "", limited(func(l *Limits) { l.Channels = most }))
	before := s.dial(t, key)
	w := enter(t, s, key)
	if err := w.send(globalRequest("streamlocal-forward@openssh.com", true, textOf(s.home("socket")))); err != nil {
		t.Fatal(err)
	}
	if _, err := w.await(msgGlobalSuccess); err != nil {
		t.Fatal(err)
	}
	var kept, turnedAway int
	var conns []net.Conn
	for range 2 * most {
		conn, err := net.Dial("unix", s.home("socket"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
		if kept < most {
			if _, err := w.await(msgChannelOpen); err != nil {
				t.Fatal(err)
			}
			kept++
			continue
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			turnedAway++
		}
	}
	if kept != most || turnedAway != most {
		t.Errorf("%d are kept and %d turned away, want %d each", kept, turnedAway, most)
	}
	unharmed(t, before)
	_ = w.conn.Close()
	for _, conn := range conns {
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("a connection outlives the client that it led to")
		}
	}
	unharmed(t, before)
}

// A channel is one of the client's until the client, too, has closed it: until
// then it may go on sending into it.
func TestChannelsThatTheClientKeepsAreCounted(t *testing.T) {
	t.Parallel()
	const most = 4
	s, key := serveOne(t, "", limited(func(l *Limits) { l.Channels = most }))
	before := s.dial(t, key)
	listener := listen(t)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	w := enter(t, s, key)
	about := ssh.Marshal(directTCP{"127.0.0.1", port(listener.Addr().String()), "", 0})
	for n := range uint32(most) {
		channel, err := w.open("direct-tcpip", n, 1<<20, about)
		if err != nil {
			t.Fatal(n, err)
		}
		_ = w.send(channelEOF(channel)) // an end, and not the channel's
		if _, err := w.await(msgChannelClose); err != nil {
			t.Fatal(n, err)
		}
	}
	if _, err := w.open("direct-tcpip", most, 1<<20, about); err == nil {
		t.Error("one more is granted")
	}
	_ = w.send(channelClose(0))
	eventually(t, "the place is free", func() bool {
		_, err := w.open("direct-tcpip", most+1, 1<<20, about)
		return err == nil
	})
	unharmed(t, before)
}

// What a client sends and nothing takes is kept up to its channels' windows;
// what it sends beyond them ends it.
func TestUnreadDataIsLimited(t *testing.T) {
	t.Parallel()
	const window = 2 << 20
	s, key := serveOne(t, "")
	before := s.dial(t, key)
	w := enter(t, s, key)
	channel, err := w.open("session", 0, 1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := w.request(channel, "exec", textOf("sleep 1000")); !ok {
		t.Fatal(err)
	}
	// A pipe's worth of it goes to the program, and makes room for as much.
	chunk := channelData(channel, make([]byte, 32<<10))
	sent := 0
	for ; sent < 4*window; sent += 32 << 10 {
		if w.send(chunk) != nil {
			break
		}
	}
	if !w.gone() {
		t.Error("the connection goes on")
	}
	s.log.await(t, "its end", kind(EventDisconnected))
	unharmed(t, before)
}

// A client that has frozen holds its connection open and says nothing more.
func TestKeepaliveEndsFrozenClients(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "", limited(func(l *Limits) { l.Keepalive = 300 * time.Millisecond }))
	before := s.dial(t, key)
	for name, command := range map[string]string{"silent": "echo ready; exec sleep 1000", "talking": "echo ready; exec cat /dev/zero"} {
		t.Run(name, func(t *testing.T) {
			between := freezer(t, s.address)
			conn, err := net.Dial("tcp", between.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			client, err := s.login(conn, s.account(), ssh.PublicKeys(key))
			if err != nil {
				t.Fatal(err)
			}
			session := open(t, client)
			output, _ := session.StdoutPipe()
			if err := session.Start(recorded(s, command)); err != nil {
				t.Fatal(err)
			}
			pid := s.recorded(t)
			if _, err := io.ReadFull(output, make([]byte, len("ready\n"))); err != nil {
				t.Fatal(err)
			}
			if name == "talking" {
				go func() { _, _ = io.Copy(io.Discard, output) }()
			}
			n := s.log.count(reason(EventDisconnected, "did not answer within"))
			close(between.frozen)
			eventually(t, "the frozen client's connection ends", func() bool {
				return s.log.count(reason(EventDisconnected, "did not answer within")) == n+1
			})
			if name == "talking" {
				eventually(t, "its program ends", func() bool { return dead(pid) })
			} else {
				kill(pid) // it neither reads nor writes: as with OpenSSH, it goes on
			}
			unharmed(t, before)
		})
	}
	// Who answers stays, however often it is asked.
	unharmed(t, before)
}

// proxy passes bytes on, until it freezes: then it keeps both connections and
// passes nothing.
type proxy struct {
	address string
	frozen  chan struct{}
}

func freezer(t *testing.T, to string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	p := &proxy{address: listener.Addr().String(), frozen: make(chan struct{})}
	go func() {
		near, err := listener.Accept()
		if err != nil {
			return
		}
		defer near.Close()
		far, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer far.Close()
		pass := func(to, from net.Conn) {
			buffer := make([]byte, 32<<10)
			for {
				n, err := from.Read(buffer)
				select {
				case <-p.frozen:
					return
				default:
				}
				if err != nil {
					return
				}
				_, _ = to.Write(buffer[:n])
			}
		}
		go pass(near, far)
		pass(far, near)
		<-t.Context().Done()
	}()
	return p
}

// What is said of refusals is bounded, however many reasons clients make up.
func TestReasonsOfClientsAreNotKept(t *testing.T) {
	t.Parallel()
	q := &quiet{}
	now := time.Now()
	for i := range 100_000 {
		q.say(fmt.Sprintf("%d %s", i, strings.Repeat("x", 1000)), now)
	}
	kept := 0
	for reason := range q.seen {
		kept += len(reason)
	}
	if kept > 1<<20 {
		t.Errorf("%d bytes of %d reasons are kept", kept, len(q.seen))
	}
	q = &quiet{}
	for i, want := range []struct {
		after time.Duration
		more  int
		ok    bool
	}{{0, 0, true}, {0, 0, false}, {time.Second / 2, 0, false}, {time.Second, 2, true}, {time.Second, 0, false}, {2 * time.Second, 1, true}} {
		if more, ok := q.say("again", now.Add(want.after)); more != want.more || ok != want.ok {
			t.Errorf("%d: %d more, %t, want %d and %t", i, more, ok, want.more, want.ok)
		}
	}
}
