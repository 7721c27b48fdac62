package ssh

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// healthSocket is where the health check asks, in the abstract namespace of
// unix(7): no file, and gone with the server.
const healthSocket = "@inmanta-sidecar-ssh-health"

// healthPatience is how long a check may take.
const healthPatience = 4 * time.Second

// selfCheck is how the server logs in to itself: with a key that exists only
// in its memory, from a port that it knows to be its own.
type selfCheck struct {
	signer ssh.Signer

	mu    sync.Mutex
	ports map[string]bool // the addresses of its own ends
}

func newSelfCheck() (*selfCheck, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the key of the health check: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, fmt.Errorf("making the key of the health check: %w", err)
	}
	return &selfCheck{signer: signer, ports: map[string]bool{}}, nil
}

// made says whether the connection from that address is the server's own.
func (c *selfCheck) made(remote string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ports[remote]
}

func (c *selfCheck) holds(key ssh.PublicKey) bool {
	return bytes.Equal(key.Marshal(), c.signer.PublicKey().Marshal())
}

// Check logs in at the listener's address and runs a command that does nothing.
func (s *Server) Check(ctx context.Context, listener net.Addr) error {
	keys, _ := s.config.Keys.Read()
	if len(keys) == 0 {
		return errors.New(nobody + ": " + nobodyFix)
	}
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	conn, forget, err := s.self.dial(ctx, listener)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer forget()
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	client, channels, requests, err := ssh.NewClientConn(conn, conn.RemoteAddr().String(), &ssh.ClientConfig{
		Config:          ssh.Config{KeyExchanges: []string{ssh.KeyExchangeCurve25519}},
		User:            s.config.Account.Name,
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(s.self.signer)},
		HostKeyCallback: ssh.FixedHostKey(s.hostKeys[0].PublicKey()),
		// The cheapest of them to verify.
		HostKeyAlgorithms: []string{s.hostKeys[0].PublicKey().Type()},
	})
	if err != nil {
		return fmt.Errorf("logging in: %w", err)
	}
	session, err := ssh.NewClient(client, channels, requests).NewSession()
	if err != nil {
		return fmt.Errorf("opening a session: %w", err)
	}
	if err := session.Run(":"); err != nil {
		return fmt.Errorf("running a command: %w", err)
	}
	return nil
}

// dial connects to the server itself. Its own end is known to be its own before
// the server can see the connection.
func (c *selfCheck) dial(ctx context.Context, listener net.Addr) (net.Conn, func(), error) {
	tcp, ok := listener.(*net.TCPAddr)
	if !ok {
		return nil, nil, fmt.Errorf("%s is not a TCP address", listener)
	}
	host := [4]byte{127, 0, 0, 1}
	if own := tcp.IP.To4(); own != nil && !own.IsUnspecified() {
		host = [4]byte(own)
	}
	var own string
	forget := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.ports, own)
	}
	// Bound here, so that nobody else can have that port by the time it is used,
	// and to one that no ended connection still occupies.
	bind := func(fd uintptr) error {
		if err := unix.Bind(int(fd), &unix.SockaddrInet4{Addr: host}); err != nil {
			return err
		}
		bound, err := unix.Getsockname(int(fd))
		if err != nil {
			return err
		}
		own = netip.AddrPortFrom(netip.AddrFrom4(host), uint16(bound.(*unix.SockaddrInet4).Port)).String()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ports[own] = true
		return nil
	}
	dialer := net.Dialer{Control: func(_, _ string, socket syscall.RawConn) error {
		var failed error
		err := socket.Control(func(fd uintptr) { failed = bind(fd) })
		return errors.Join(err, failed)
	}}
	goal := netip.AddrPortFrom(netip.AddrFrom4(host), uint16(tcp.Port))
	conn, err := dialer.DialContext(ctx, "tcp4", goal.String())
	if err != nil {
		forget()
		return nil, nil, err
	}
	return conn, forget, nil
}

// AnswerHealth answers the health checks of root's processes in this container
// until ctx is done.
func (s *Server) AnswerHealth(ctx context.Context, listener net.Addr) error {
	socket, err := net.Listen("unix", healthSocket)
	if err != nil {
		return fmt.Errorf("listening for health checks: %w", err)
	}
	return s.answerHealth(ctx, socket, listener)
}

func (s *Server) answerHealth(ctx context.Context, socket net.Listener, listener net.Addr) error {
	return s.serveEach(ctx, socket, func(conn *net.UnixConn) {
		go func() {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(healthPatience + time.Second))
			if !asksAsRoot(conn) {
				return // a session could keep the server busy with them
			}
			answer := "ok"
			if err := s.Check(ctx, listener); err != nil {
				answer = err.Error()
			}
			_, _ = io.WriteString(conn, answer)
		}()
	})
}

// asksAsRoot says whether the process at the other end is root's, as the
// engine's health checks are, or one like the server. No session is.
func asksAsRoot(conn *net.UnixConn) bool {
	peer := processAt(conn)
	return peer != nil && (peer.Uid == 0 || int(peer.Uid) == os.Getuid())
}

// Health asks the server of this container how it is.
func Health() error {
	conn, err := net.DialTimeout("unix", healthSocket, time.Second)
	if err != nil {
		return fmt.Errorf("the ssh server does not listen: %w", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(healthPatience + time.Second))
	answer, err := io.ReadAll(io.LimitReader(conn, 4<<10))
	if err != nil {
		return fmt.Errorf("the ssh server does not answer: %w", err)
	}
	if string(answer) != "ok" {
		return errors.New(string(bytes.TrimSpace(answer)))
	}
	return nil
}
