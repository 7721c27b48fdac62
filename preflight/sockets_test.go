package preflight

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
)

// Lines as a little-endian kernel writes them.
const (
	tcpTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:22B8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000000000000000 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 777 1 0000000000000000 100 0 0 10 0
   2: 0100007F:22B8 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 999 1 0000000000000000 20 4 30 10 -1
`
	tcp6Table = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0000000000000000 100 0 0 10 0
   1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4243 1 0000000000000000 100 0 0 10 0
`
)

func TestListeners(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Fatal("this table is that of a little-endian machine: write one for yours")
	}
	at := func(s string, inode uint64) listener { return listener{netip.MustParseAddrPort(s), inode} }
	for text, want := range map[string][]listener{
		tcpTable:                           {at("127.0.0.1:8888", 12345), at("0.0.0.0:22", 777)},
		tcp6Table:                          {at("[::]:8080", 4242), at("[::1]:80", 4243)},
		"":                                 nil,
		"0: 7F:22B8 0:0 0A 0 0 0 0 0 1":    nil,
		"0: 0100007F 0:0 0A 0 0 0 0 0 1 1": nil,
	} {
		if got := listeners(text, tcp); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestBlocks(t *testing.T) {
	for _, c := range []struct {
		listener, wanted string
		blocks           bool
	}{
		{"127.0.0.1:80", "127.0.0.1:80", true},
		{"0.0.0.0:80", "127.0.0.1:80", true},
		{"127.0.0.1:80", "0.0.0.0:80", true},
		{"[::]:80", "127.0.0.1:80", true},
		{"[::ffff:127.0.0.1]:80", "127.0.0.1:80", true},
		{"[::1]:80", "127.0.0.1:80", false},
		{"0.0.0.0:80", "[::]:80", false},
		{"127.0.0.1:80", "127.0.0.1:81", false},
		{"127.0.0.2:80", "127.0.0.1:80", false},
	} {
		l := listener{AddrPort: netip.MustParseAddrPort(c.listener)}
		if got := l.blocks(endpoint(t, c.wanted, tcp)); got != c.blocks {
			t.Errorf("%s blocks %s: %v, want %v", c.listener, c.wanted, got, c.blocks)
		}
	}
}

// What is found was waiting, in a line with an inode, at an address of either family.
func FuzzListeners(f *testing.F) {
	f.Add(tcpTable, tcp)
	f.Add(tcp6Table, tcp)
	f.Add(strings.ReplaceAll(tcpTable, " 0A ", " 07 "), udp)
	f.Add("0: 00:0 0 0A\n: : :", "sctp")
	f.Fuzz(func(t *testing.T, text, protocol string) {
		found := listeners(text, protocol)
		if len(found) > strings.Count(text, "\n")+1 {
			t.Fatalf("%d listeners in %q", len(found), text)
		}
		for _, l := range found {
			if !l.Addr().IsValid() {
				t.Fatalf("%v in %q", l, text)
			}
		}
	})
}

// The kernel is asked for endpoints as they are on this very host.
func TestProbe(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	datagrams, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	closed, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()

	self := Socket{PID: os.Getpid(), Command: comm(t)}
	tcpAt, udpAt := netip.MustParseAddrPort(taken.Addr().String()), netip.MustParseAddrPort(datagrams.LocalAddr().String())
	everywhere := netip.AddrPortFrom(netip.IPv4Unspecified(), tcpAt.Port()).String()
	wanted := map[Endpoint]Socket{
		endpoint(t, tcpAt.String(), tcp):   self,
		endpoint(t, everywhere, tcp):       self,
		endpoint(t, udpAt.String(), udp):   self,
		endpoint(t, "192.0.2.1:8888", tcp): {NotHere: true}, // reserved for documentation: nobody's
	}
	endpoints := []Endpoint{
		endpoint(t, closed.Addr().String(), tcp),
		endpoint(t, tcpAt.String(), "sctp"),
		// The other family is another endpoint.
		endpoint(t, netip.AddrPortFrom(netip.IPv6Unspecified(), tcpAt.Port()).String(), tcp),
	}
	for e := range wanted {
		endpoints = append(endpoints, e)
	}
	found := probe(endpoints)
	for e, want := range wanted {
		if found[e] != want {
			t.Errorf("%s: %+v, want %+v", e, found[e], want)
		}
		delete(found, e)
	}
	if len(found) != 0 {
		t.Errorf("in the way of what is free: %+v", found)
	}
	// Asking twice shows that asking takes nothing.
	if again := probe(endpoints[:1]); len(again) != 0 {
		t.Errorf("after asking: %+v", again)
	}
}

func comm(t *testing.T) string {
	t.Helper()
	name, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(name))
}
