package preflight

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// findSocket finds who holds an endpoint; ok is false where nobody is seen to.
// The process is known only where this user may look into it.
func findSocket(e Endpoint) (s Socket, ok bool) {
	var found []listener
	for _, family := range []string{"", "6"} {
		text, err := os.ReadFile("/proc/net/" + e.Protocol + family)
		if err != nil {
			continue
		}
		for _, l := range listeners(string(text), e.Protocol) {
			if l.blocks(e) {
				found = append(found, l)
			}
		}
	}
	if len(found) == 0 {
		return Socket{}, false
	}
	pid, command := processOf(found)
	return Socket{PID: pid, Command: command}, true
}

// listener is one socket that waits for connections or datagrams.
type listener struct {
	netip.AddrPort
	inode uint64
}

// blocks says that nobody else can have the endpoint. A listener on :: may have
// every IPv4 address too; the kernel does not show which do.
func (l listener) blocks(e Endpoint) bool {
	if l.Port() != e.Port {
		return false
	}
	ip := l.Addr().Unmap()
	return ip == e.IP || ip == netip.IPv6Unspecified() || ip == netip.IPv4Unspecified() && e.IP.Is4() ||
		e.IP.IsUnspecified() && ip.Is4() == e.IP.Is4()
}

// The kernel's numbers for sockets that are waiting, in /proc/net/tcp and udp.
var waiting = map[string]string{tcp: "0A", udp: "07"}

// listeners reads /proc/net/tcp, tcp6, udp and udp6. Lines of another form are
// passed over.
func listeners(text, protocol string) []listener {
	var found []listener
	for line := range strings.Lines(text) {
		// sl, local address, remote address, state, queues, timer, retransmits, uid, timeout, inode
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[3] != waiting[protocol] {
			continue
		}
		address, err := kernelAddress(fields[1])
		if err != nil {
			continue
		}
		inode, err := strconv.ParseUint(fields[9], 10, 64)
		if err != nil {
			continue
		}
		found = append(found, listener{address, inode})
	}
	return found
}

// kernelAddress reads "0100007F:22B8": the address as 32-bit words in the
// machine's own byte order, and the port.
func kernelAddress(text string) (netip.AddrPort, error) {
	address, port, _ := strings.Cut(text, ":")
	bytes, err := hex.DecodeString(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for word := bytes; len(word) >= 4; word = word[4:] {
		binary.BigEndian.PutUint32(word, binary.NativeEndian.Uint32(word))
	}
	ip, ok := netip.AddrFromSlice(bytes)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("%q is no address", address)
	}
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(ip, uint16(n)), nil
}

// processOf finds the process that has one of the sockets open, the oldest
// where several do (a server and its workers); 0 where this user may not see it.
func processOf(sockets []listener) (pid int, command string) {
	names := make([]string, len(sockets))
	for i, s := range sockets {
		names[i] = fmt.Sprintf("socket:[%d]", s.inode)
	}
	for _, candidate := range processes() {
		dir := filepath.Join("/proc", strconv.Itoa(candidate))
		files, err := os.ReadDir(filepath.Join(dir, "fd"))
		if err != nil {
			continue // it ended, or is another user's
		}
		for _, f := range files {
			target, err := os.Readlink(filepath.Join(dir, "fd", f.Name()))
			if err == nil && slices.Contains(names, target) {
				name, _ := os.ReadFile(filepath.Join(dir, "comm"))
				return candidate, strings.TrimSpace(string(name))
			}
		}
	}
	return 0, ""
}

// processes are the process ids of this machine, in ascending order.
func processes() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}
