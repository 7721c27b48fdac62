package ssh

import (
	"testing"

	"golang.org/x/crypto/ssh"
)

// A connection whose reader stands still cannot be ended: it would keep its
// place, and what it holds, for as long as the server runs. Both ways there are
// known (CVE-2026-56855, CVE-2026-78662).
func TestUnexpectedMessagesEndTheirConnectionOnly(t *testing.T) {
	s, key := serveOne(t, "")
	before := s.dial(t, key)
	for name, flood := range map[string]func(w *wire) [][]byte{
		"messages that are none of a channel's, to a channel": func(w *wire) [][]byte {
			channel, err := w.open("session", 0, 1<<20, nil)
			if err != nil {
				t.Fatal(err)
			}
			packet := ssh.Marshal(struct {
				Number byte
				Name   string
			}{msgServiceRequest, string(make([]byte, channel))})
			return repeat(packet, 100)
		},
		"requests in channels that are not open yet": func(*wire) [][]byte {
			var packets [][]byte
			for n := range uint32(50) {
				packets = append(packets, channelOpen("direct-tcpip", n, 1<<20, ssh.Marshal(directTCP{"192.0.2.1", 9, "", 0})))
				for range 100 {
					packets = append(packets, channelRequest(n, "any", false, nil))
				}
			}
			return packets
		},
		"requests in channels that are refused": func(*wire) [][]byte {
			var packets [][]byte
			for n := range uint32(200) {
				packets = append(packets, channelOpen("none-such", n, 1<<20, nil))
				packets = append(packets, repeat(channelRequest(0, "any", false, nil), 20)...)
			}
			return packets
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := enter(t, s, key)
			_ = w.sendAll(flood(w)...)
			_ = w.conn.Close()
			unharmed(t, before)
		})
	}
	eventually(t, "the connections are gone", func() bool {
		s.server.mu.Lock()
		defer s.server.mu.Unlock()
		return len(s.server.connections) == 1
	})
}

// repeat is a packet many times.
func repeat(packet []byte, times int) [][]byte {
	packets := make([][]byte, times)
	for i := range packets {
		packets[i] = packet
	}
	return packets
}
