package ssh

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// The tests whose names begin with TestHostile are the lines of
// docs/sidecars/ssh-hostile.md, by their numbers.

func TestHostile01NoVersionString(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "", limited(func(l *Limits) { l.Login = 300 * time.Millisecond }))
	before := s.dial(t, key)
	for name, trickle := range map[string][]byte{"silent": nil, "trickling": []byte("S")} {
		t.Run(name, func(t *testing.T) {
			conn := s.reach(t, here)
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				_, _ = io.Copy(io.Discard, conn)
			}()
			for open := true; open; {
				select {
				case <-closed:
					open = false
				case <-time.After(20 * time.Millisecond):
					// A byte now and then does not put the end off.
					_, _ = conn.Write(trickle)
				}
			}
		})
	}
	s.log.await(t, "why", reason(EventRefused, "no login within 300ms"))
	unharmed(t, before)
}

func TestHostile02HalfOpenConnections(t *testing.T) {
	t.Parallel()
	const many, room = 10_000, 20
	s, key := serveOne(t, "", limited(func(l *Limits) { l.Handshakes = room; l.Failures = many }))
	before := s.dial(t, key)
	unharmed(t, before)
	logins := 1
	// Those that the kernel still holds would push out whoever is logging in.
	whoComesLater := func(after int) {
		eventually(t, "all that came before are taken", func() bool { return s.log.count(kind(EventConnected)) >= logins+after })
		unharmed(t, s.dial(t, key))
		logins++
	}
	for i := range many {
		// From addresses that nobody else comes from, a few ports of each.
		conn, err := s.connect(fmt.Sprintf("127.2.%d.%d", i/256%256, i%256))
		if err != nil {
			t.Fatal(i, err)
		}
		defer conn.Close()
		if i == many/2 {
			unharmed(t, before)
			whoComesLater(i + 1)
		}
	}
	unharmed(t, before)
	whoComesLater(many)
	eventually(t, "no more of them are kept than there is room for", func() bool {
		s.server.gate.mu.Lock()
		defer s.server.gate.mu.Unlock()
		return len(s.server.gate.entering) <= room
	})
}

func TestHostile03EndlessVersionString(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	before := s.dial(t, key)
	for name, text := range map[string][]byte{
		"one line":              bytes.Repeat([]byte("a"), 1<<20),
		"lines that are not it": bytes.Repeat([]byte("a\n"), 1<<19),
		"empty lines":           bytes.Repeat([]byte("\n"), 1<<20),
		"one that begins well":  append([]byte("SSH-2.0-"), bytes.Repeat([]byte("a"), 1<<20)...),
	} {
		t.Run(name, func(t *testing.T) {
			conn := s.reach(t, here)
			_ = conn.SetDeadline(time.Now().Add(longEnough))
			_, _ = conn.Write(text) // until it is closed
			_, err := io.Copy(io.Discard, conn)
			var late net.Error
			if errors.As(err, &late) && late.Timeout() {
				t.Error("it is not closed")
			}
		})
	}
	unharmed(t, before)
}

func TestHostile04KeyExchangeThatNeverEnds(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "", limited(func(l *Limits) { l.Keepalive = 500 * time.Millisecond }))
	before := s.dial(t, key)
	w := enter(t, s, key)
	channel, err := w.open("session", 0, 1<<32-1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := w.request(channel, "exec", textOf("cat /dev/zero")); !ok {
		t.Fatal(err)
	}
	var got int64
	for first := true; ; {
		packet, err := w.next()
		if err != nil {
			break
		}
		if packet[0] == msgChannelData {
			got += int64(len(packet) - 9)
			if first {
				w.sendInit() // and never a word more
				first = false
			}
		}
	}
	ended := s.log.await(t, "the session's end", kind(EventSessionEnd))
	s.log.await(t, "that it was not answered", reason(EventDisconnected, "did not answer"))
	if kept := ended.BytesOut - got; kept > 4<<20 {
		t.Errorf("%d bytes were taken from the program for a client that got none of them", kept)
	}
	unharmed(t, before)
}

func TestHostile05Terrapin(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	before := s.dial(t, key)
	for name, sneak := range map[string]func(w *wire) error{
		"before the exchange": func(w *wire) error {
			_ = w.send(append([]byte{msgIgnore}, textOf("")...))
			return w.exchange()
		},
		"in place of new keys": func(w *wire) error {
			_ = w.send(append([]byte{msgIgnore}, textOf("")...))
			_, err := w.await(msgNewKeys)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := greet(t, s)
			if !bytes.Contains(w.serverInit, []byte("kex-strict-s-v00@openssh.com")) {
				t.Error("the server does not know of strict key exchange")
			}
			if sneak(w) == nil {
				t.Error("keys are agreed upon")
			}
			if !w.gone() {
				t.Error("the connection goes on")
			}
		})
	}
	unharmed(t, before)
}

// Lengths and numbers of packets that a client is free to choose.
func TestPacketsWithoutSense(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	before := s.dial(t, key)
	for name, packet := range map[string][]byte{
		"length 0":              {0, 0, 0, 0},
		"length 4 GiB":          {0xff, 0xff, 0xff, 0xff},
		"length 256 KiB and 1":  binary.BigEndian.AppendUint32(nil, 256<<10+1),
		"more padding than all": {0, 0, 0, 12, 255, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			conn := s.reach(t, here)
			_ = conn.SetDeadline(time.Now().Add(longEnough))
			_, _ = io.WriteString(conn, clientVersion+"\r\n")
			_, _ = conn.Write(append(packet, make([]byte, 16)...))
			w := &wire{conn: conn, reads: bufio.NewReader(conn)}
			if _, err := w.reads.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			if !w.gone() {
				t.Error("the connection goes on")
			}
		})
	}
	for name, packets := range map[string][][]byte{
		"no payload":                  {{}},
		"a channel that is not":       {channelData(77, []byte("x"))},
		"a message that is not":       {{255, 0, 0, 0, 0}},
		"short":                       {{msgChannelData, 0}},
		"a key exchange without keys": {{msgKexInit}},
		"a login once more":           {append([]byte{msgAuthRequest}, bytes.Repeat([]byte{0}, 40)...)},
		"an open of nothing":          {{msgChannelOpen}},
	} {
		t.Run(name, func(t *testing.T) {
			w := enter(t, s, key)
			_ = w.sendAll(packets...)
			if !w.gone() {
				t.Error("the connection goes on")
			}
		})
	}
	unharmed(t, before)
}
