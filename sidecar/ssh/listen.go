package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"sync"

	"golang.org/x/crypto/ssh"
)

// Messages of RFC 4254, section 7.1, and of OpenSSH's PROTOCOL, section 2.4.
type (
	listenTCP struct {
		Host string
		Port uint32
	}
	listenSocket struct{ Path string }
	forwardedTCP struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	forwardedSocket struct {
		Path     string
		Reserved string
	}
)

// remoteListener listens on this side for the client: -R.
type remoteListener struct {
	// sockets are one, or one for each of the two loopback addresses.
	sockets []net.Listener
	once    sync.Once
}

func (l *remoteListener) close() {
	l.once.Do(func() {
		for _, socket := range l.sockets {
			_ = socket.Close()
		}
	})
}

// listen begins to listen for the client, and answers whether it does.
func (c *connection) listen(request *ssh.Request) {
	key, listener, port, err := c.openListener(request)
	if err != nil {
		c.log(Event{Event: EventForward, Kind: request.Type, Listen: key, Reason: err.Error()})
		_ = request.Reply(false, nil)
		return
	}
	var answer []byte
	if port != 0 { // asked for any
		answer = ssh.Marshal(struct{ Port uint32 }{port})
	}
	c.log(Event{Event: EventForward, Kind: request.Type, Listen: key})
	_ = request.Reply(true, answer)
	for _, socket := range listener.sockets {
		go c.guard(func() { c.passOn(socket, key, request) })
	}
}

// openListener listens where a request says, and remembers it under its key.
// port is the one that was found where the client left it open.
func (c *connection) openListener(request *ssh.Request) (key string, l *remoteListener, port uint32, err error) {
	tcp, path, key, err := readListen(request)
	if err != nil {
		return "", nil, 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return key, nil, 0, errGone
	}
	if len(c.listeners) >= c.server.config.Limits.Channels {
		return key, nil, 0, fmt.Errorf("this connection listens in %d places, which is the limit", len(c.listeners))
	}
	// Also where a socket's file is gone by now: who listens on it is not forgotten.
	if _, twice := c.listeners[key]; twice {
		return key, nil, 0, errors.New("this connection listens there already")
	}
	if request.Type != "tcpip-forward" {
		if !c.grant.Listen.Socket() {
			return key, nil, 0, errors.New("this key may not listen on sockets")
		}
		if l, err = listenAt(path); err != nil {
			return key, nil, 0, err
		}
		c.listeners[key] = l
		return key, l, 0, nil
	}
	if !c.grant.Listen.Host(tcp.Host, tcp.Port) {
		return key, nil, 0, fmt.Errorf("this key may not listen on %s", key)
	}
	l, found, err := listenOnLoopback(int(tcp.Port))
	if err != nil {
		return key, nil, 0, err
	}
	if tcp.Port == 0 {
		port = uint32(found)
		key = listenKey(tcp.Host, port)
		request.Payload = ssh.Marshal(listenTCP{tcp.Host, port}) // what it came to
	}
	c.listeners[key] = l
	return key, l, port, nil
}

// readListen reads a request to listen, or to stop it.
func readListen(request *ssh.Request) (tcp listenTCP, path, key string, err error) {
	switch request.Type {
	case "tcpip-forward", "cancel-tcpip-forward":
		if ssh.Unmarshal(request.Payload, &tcp) != nil || tcp.Port > 65535 {
			return tcp, "", "", errors.New("not a request to listen")
		}
		return tcp, "", listenKey(tcp.Host, tcp.Port), nil
	default:
		var m listenSocket
		if ssh.Unmarshal(request.Payload, &m) != nil {
			return tcp, "", "", errors.New("not a request to listen")
		}
		return tcp, m.Path, "unix:" + m.Path, nil
	}
}

func listenKey(host string, port uint32) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// listenOnLoopback listens on both loopback addresses, whatever address the
// client named: what it forwards is for processes of this container, not for
// the network. A port of 0 is any that is free on both.
func listenOnLoopback(port int) (*remoteListener, int, error) {
	first, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, 0, err
	}
	l := &remoteListener{sockets: []net.Listener{first}}
	found := first.Addr().(*net.TCPAddr).Port
	second, err := net.Listen("tcp6", net.JoinHostPort("::1", strconv.Itoa(found)))
	if err == nil {
		l.sockets = append(l.sockets, second)
	}
	// A container without IPv6, or whose ::1 has another on that port, is served on one.
	return l, found, nil
}

// listenAt listens on a socket that was not there. What is there stays.
func listenAt(path string) (*remoteListener, error) {
	if err := checkSocket(path); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("there is a socket at that path")
	}
	// Who may write to a socket may connect: with the umask of 022 that processes
	// start with, the user alone.
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		return nil, err
	}
	socket.SetUnlinkOnClose(false)
	made, err := os.Lstat(path)
	if err != nil {
		_ = socket.Close()
		return nil, err
	}
	return &remoteListener{sockets: []net.Listener{namedSocket{socket, path, made}}}, nil
}

// namedSocket is a socket whose file goes with it, unless something else has
// taken that file's place.
type namedSocket struct {
	*net.UnixListener
	path string
	made fs.FileInfo
}

// Close looks before it closes: as long as the socket is open, no other file is
// taken for it.
func (s namedSocket) Close() error {
	if there, err := os.Lstat(s.path); err == nil && os.SameFile(there, s.made) {
		_ = os.Remove(s.path)
	}
	return s.UnixListener.Close()
}

// unlisten stops what listen began.
func (c *connection) unlisten(request *ssh.Request) {
	_, _, key, err := readListen(request)
	c.mu.Lock()
	listener, ok := c.listeners[key]
	delete(c.listeners, key)
	c.mu.Unlock()
	if err == nil && ok {
		listener.close()
	}
	_ = request.Reply(err == nil && ok, nil)
}

// passOn opens a channel to the client for whoever connects.
func (c *connection) passOn(socket net.Listener, key string, request *ssh.Request) {
	kind, tcp := "forwarded-streamlocal@openssh.com", listenTCP{}
	if request.Type == "tcpip-forward" {
		kind = "forwarded-tcpip"
		_ = ssh.Unmarshal(request.Payload, &tcp) // it was read before
	}
	for {
		conn, err := c.server.accept(c.ctx, socket)
		if err != nil {
			return // closed
		}
		var about []byte
		if kind == "forwarded-tcpip" {
			host, port := hostPort(conn.RemoteAddr())
			number, _ := strconv.Atoi(port)
			about = ssh.Marshal(forwardedTCP{tcp.Host, tcp.Port, host, uint32(number)})
		} else {
			about = ssh.Marshal(forwardedSocket{Path: key[len("unix:"):]})
		}
		c.reach(kind, about, conn.(halfCloser), Event{Event: EventForward, Kind: kind, Listen: key})
	}
}

// reach opens a channel to the client for a connection made on this side.
func (c *connection) reach(kind string, about []byte, conn halfCloser, e Event) {
	if !c.room() {
		_ = conn.Close()
		return
	}
	go c.guard(func() {
		defer c.closed()
		defer conn.Close()
		channel, requests, err := c.client.OpenChannel(kind, about)
		if err != nil {
			e.Reason = err.Error()
			c.log(e)
			return
		}
		c.carry(channel, requests, conn, e)
	})
}
