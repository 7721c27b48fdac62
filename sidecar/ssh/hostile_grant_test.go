package ssh

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

func TestHostile16ForcedCommand(t *testing.T) {
	t.Parallel()
	key, other := newKey(t), newKey(t)
	s := serve(t, line(`command="echo \"forced: $SSH_ORIGINAL_COMMAND\"; trap 'echo caught; exit' USR1; read"`, key)+line("", other))
	before := s.dial(t, other)
	client := s.dial(t, key)
	for name, ask := range map[string]func(*ssh.Session) error{
		"exec":                 func(x *ssh.Session) error { return x.Start("rm -rf it") },
		"shell":                func(x *ssh.Session) error { return x.Shell() },
		"subsystem":            func(x *ssh.Session) error { return x.RequestSubsystem("sftp") },
		"unknown subsystem":    func(x *ssh.Session) error { return x.RequestSubsystem("backdoor") },
		"environment and exec": func(x *ssh.Session) error { _ = x.Setenv("LANG", "C"); return x.Start("rm -rf it") },
	} {
		t.Run(name, func(t *testing.T) {
			session := open(t, client)
			input, _ := session.StdinPipe()
			output, _ := session.StdoutPipe()
			if err := ask(session); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"shell": "forced: \n", "subsystem": "forced: sftp\n", "unknown subsystem": "forced: backdoor\n"}[name]
			if want == "" {
				want = "forced: rm -rf it\n"
			}
			said := make([]byte, len(want))
			if _, err := io.ReadFull(output, said); err != nil || string(said) != want {
				t.Errorf("said %q (%v), want %q", said, err, want)
			}
			if ok, err := session.SendRequest("signal", true, textOf("USR1")); ok || err != nil {
				t.Errorf("it may be interrupted: %t (%v)", ok, err)
			}
			// A second program on the same channel would be the client's own.
			if ok, _ := session.SendRequest("exec", true, textOf("echo mine")); ok {
				t.Error("a second command is granted")
			}
			_ = input.Close()
			rest, err := io.ReadAll(output)
			if err != nil || len(rest) != 0 {
				t.Errorf("then it said %q (%v)", rest, err)
			}
		})
	}
	unharmed(t, before)
}

func TestHostile17Restrict(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "restrict")
	goal := echoing(t, "tcp", "127.0.0.1:0")
	socket := echoing(t, "unix", s.home("goal"))
	client := s.dial(t, key)
	session := open(t, client)
	if err := session.RequestPty("xterm", 24, 80, nil); err == nil {
		t.Error("a terminal is granted")
	}
	for _, kind := range []string{"auth-agent-req@openssh.com", "x11-req"} {
		about := ssh.Marshal(struct {
			Single           bool
			Protocol, Cookie string
			Screen           uint32
		}{false, "MIT-MAGIC-COOKIE-1", "00", 0})
		if ok, _ := session.SendRequest(kind, true, about); ok {
			t.Errorf("%s is granted", kind)
		}
	}
	if got, err := session.Output(`echo "$SSH_AUTH_SOCK$DISPLAY$SSH_TTY"`); err != nil || string(got) != "\n" {
		t.Errorf("it has %q (%v)", got, err)
	}
	if _, err := client.Dial("tcp", goal); err == nil {
		t.Error("-L is granted")
	}
	if _, err := client.Dial("unix", socket); err == nil {
		t.Error("-L to a socket is granted")
	}
	if _, err := client.Listen("tcp", "127.0.0.1:0"); err == nil {
		t.Error("-R is granted")
	}
	if _, err := client.ListenUnix(s.home("mine")); err == nil {
		t.Error("-R on a socket is granted")
	}
	for _, kind := range []string{"tun@openssh.com", "x11", "forwarded-tcpip", "forwarded-streamlocal@openssh.com", "auth-agent@openssh.com", "auth-agent", ""} {
		if _, _, err := client.OpenChannel(kind, nil); err == nil {
			t.Errorf("a channel %q is granted", kind)
		}
	}
	unharmed(t, client)
}

func TestHostile18PermitOpen(t *testing.T) {
	t.Parallel()
	goal, other := echoing(t, "tcp", "127.0.0.1:0"), echoing(t, "tcp", "127.0.0.1:0")
	s, key := serveOne(t, fmt.Sprintf("permitopen=%q", goal))
	socket := echoing(t, "unix", s.home("goal"))
	client := s.dial(t, key)
	_, port, _ := net.SplitHostPort(goal)
	for _, refused := range []string{other, "localhost:" + port, "127.1:" + port, "0.0.0.0:" + port, "[::ffff:127.0.0.1]:" + port, ":" + port, "127.0.0.1.:" + port} {
		if _, err := client.Dial("tcp", refused); err == nil {
			t.Errorf("%s is granted", refused)
		}
	}
	if _, err := client.Dial("unix", socket); err == nil {
		t.Error("a socket is granted")
	}
	// A number that is this port once its higher bits are lost.
	number := uint32(0)
	_, _ = fmt.Sscan(port, &number)
	for _, wide := range []uint32{number + 1<<16, 0, 1<<32 - 1} {
		if _, _, err := client.OpenChannel("direct-tcpip", ssh.Marshal(directTCP{"127.0.0.1", wide, "", 0})); err == nil {
			t.Errorf("port %d is granted", wide)
		}
	}
	echoes(t, client, "tcp", goal)
	unharmed(t, client)
}

func TestHostile19ListenersAreOnLoopback(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	client := s.dial(t, key)
	for _, bind := range []string{"", "*", "0.0.0.0", "::", "localhost", "127.0.0.1", "192.0.2.1", "any\x00\nthing"} {
		asked := listenTCP{bind, 0}
		ok, answer, err := client.SendRequest("tcpip-forward", true, ssh.Marshal(asked))
		var found struct{ Port uint32 }
		if err != nil || !ok || ssh.Unmarshal(answer, &found) != nil {
			t.Fatalf("%q is not granted: %v", bind, err)
		}
		sockets := listening(t, found.Port)
		if len(sockets) == 0 {
			t.Errorf("%q does not listen", bind)
		}
		for _, address := range sockets {
			if !address.IsLoopback() {
				t.Errorf("%q listens on %s", bind, address)
			}
		}
		cancel := ssh.Marshal(listenTCP{bind, found.Port})
		for _, want := range []bool{true, false} {
			if ok, _, err := client.SendRequest("cancel-tcpip-forward", true, cancel); ok != want || err != nil {
				t.Errorf("%q: cancelled %t (%v), want %t", bind, ok, err, want)
			}
		}
		eventually(t, "the sockets are closed", func() bool {
			for socket := range listening(t, found.Port) { // the port may be another's by now
				if _, still := sockets[socket]; still {
					return false
				}
			}
			return true
		})
	}
	// Two of any port are two, and one's end is not the other's.
	first, err := client.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	second, err := client.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if first.Addr().String() == second.Addr().String() {
		t.Errorf("both listen on %s", first.Addr())
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	go func() {
		if conn, err := second.Accept(); err == nil {
			_, _ = io.Copy(conn, conn)
			_ = conn.Close()
		}
	}()
	conn, err := net.Dial("tcp", second.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	echo(t, conn)
	for _, wrong := range [][]byte{nil, {0}, ssh.Marshal(listenTCP{"", 1 << 16}), append(ssh.Marshal(listenTCP{"", 0}), 0)} {
		if ok, _, err := client.SendRequest("tcpip-forward", true, wrong); ok || err != nil {
			t.Errorf("%q: %t (%v)", wrong, ok, err)
		}
	}
	unharmed(t, client)
}

func TestHostile20SocketPaths(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	client := s.dial(t, key)
	goal := echoing(t, "unix", s.home("goal"))
	link, file, folder := s.home("link"), s.home("file"), s.home("folder")
	dangling := s.home("dangling")
	for _, err := range []error{
		os.Symlink(goal, link), os.Symlink(s.home("nothing"), dangling), os.WriteFile(file, []byte("kept"), 0o600), os.Mkdir(folder, 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, path := range map[string]string{
		"link": link, "dangling link": dangling, "file": file, "folder": folder, "relative": "goal", "empty": "", "abstract": "@abstract",
		"abstract as the kernel writes it": "\x00abstract", "NUL": goal + "\x00", "200 bytes": "/" + strings.Repeat("a", 199),
		"beside": file + "/socket", "health": healthSocket,
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := client.OpenChannel("direct-streamlocal@openssh.com", ssh.Marshal(directSocket{Path: path})); err == nil {
				t.Error("-L is granted")
			}
			if ok, _, err := client.SendRequest("streamlocal-forward@openssh.com", true, textOf(path)); ok || err != nil {
				t.Errorf("-R is granted: %t (%v)", ok, err)
			}
			if ok, _, err := client.SendRequest("cancel-streamlocal-forward@openssh.com", true, textOf(path)); ok || err != nil {
				t.Errorf("there is a -R to cancel: %t (%v)", ok, err)
			}
		})
	}
	if ok, _, _ := client.SendRequest("streamlocal-forward@openssh.com", true, textOf(goal)); ok {
		t.Error("-R takes another's socket")
	}
	echoes(t, client, "unix", goal)
	if text, err := os.ReadFile(file); string(text) != "kept" {
		t.Errorf("the file has %q (%v)", text, err)
	}
	if to, err := os.Readlink(link); to != goal {
		t.Errorf("the link leads to %q (%v)", to, err)
	}
}

// What takes the place of a socket while it is listened on is somebody's.
func TestHostile20FileInASocketsPlaceStays(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	before := s.dial(t, key)
	ended := 0
	for name, stop := range map[string]func(*ssh.Client, net.Listener){
		"cancelled":    func(_ *ssh.Client, l net.Listener) { _ = l.Close() },
		"disconnected": func(c *ssh.Client, _ net.Listener) { _ = c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			client := s.dial(t, key)
			path, gone := s.home(name), s.home(name+"-gone")
			listener, err := client.ListenUnix(path)
			if err != nil {
				t.Fatal(err)
			}
			untouched, err := client.ListenUnix(gone)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("kept"), 0o600); err != nil {
				t.Fatal(err)
			}
			stop(client, untouched)
			stop(client, listener)
			eventually(t, "the socket that is still one is gone", func() bool {
				_, err := os.Lstat(gone)
				return os.IsNotExist(err)
			})
			_ = client.Close()
			ended++
			eventually(t, "the connection ends", func() bool { return s.log.count(kind(EventDisconnected)) == ended })
			if text, err := os.ReadFile(path); string(text) != "kept" {
				t.Errorf("the file has %q (%v)", text, err)
			}
		})
	}
	unharmed(t, before)
}

// echoing says back whatever is said to it, and returns where.
func echoing(t *testing.T, network, address string) string {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	return listener.Addr().String()
}

// echoes reaches what echoes through a client.
func echoes(t *testing.T, client *ssh.Client, network, address string) {
	t.Helper()
	conn, err := client.Dial(network, address)
	if err != nil {
		t.Errorf("%s: %v", address, err)
		return
	}
	echo(t, conn)
}

// echo says something, ends, and expects it back.
func echo(t *testing.T, conn net.Conn) {
	t.Helper()
	defer conn.Close()
	said := bytes.Repeat([]byte("echo"), 50_000)
	go func() {
		_, _ = conn.Write(said)
		_ = conn.(interface{ CloseWrite() error }).CloseWrite()
	}()
	if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, said) {
		t.Errorf("%d bytes come back (%v), want %d", len(got), err, len(said))
	}
}

// listening is the addresses that this process listens on at a port, by the
// number of the socket.
func listening(t *testing.T, port uint32) map[uint64]net.IP {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	sockets := map[uint64]net.IP{}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		if listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listens == 0 {
			continue
		}
		address, err := unix.Getsockname(fd)
		var about unix.Stat_t
		if err != nil || unix.Fstat(fd, &about) != nil {
			continue // closed meanwhile
		}
		switch address := address.(type) {
		case *unix.SockaddrInet4:
			if address.Port == int(port) {
				sockets[about.Ino] = net.IP(address.Addr[:])
			}
		case *unix.SockaddrInet6:
			if address.Port == int(port) {
				sockets[about.Ino] = net.IP(address.Addr[:])
			}
		}
	}
	return sockets
}
