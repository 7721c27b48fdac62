package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/inmanta/inmanta-docker/sidecar/process"
)

// Server serves ssh connections.
type Server struct {
	config   Config
	hostKeys []ssh.Signer
	audit    *Audit
	children *process.Nursery
	gate     *gate
	refusals quiet
	self     *selfCheck

	number   atomic.Uint64 // of the connection that came last
	running  sync.WaitGroup
	reports  sync.WaitGroup // of files, that are being read
	starts   sync.RWMutex   // held for reading while a program starts that is not known to run yet
	weighing sync.Mutex

	mu          sync.Mutex
	connections map[*connection]struct{}
	stopping    bool
}

// New is a server. Who buries orphans shares children with it.
func New(config Config, hostKeys []ssh.Signer, audit *Audit, children *process.Nursery) (*Server, error) {
	self, err := newSelfCheck()
	if err != nil {
		return nil, err
	}
	return &Server{
		config: config, hostKeys: hostKeys, audit: audit, children: children,
		gate: newGate(config.Limits), self: self,
		connections: map[*connection]struct{}{},
	}, nil
}

// Serve takes connections until ctx is done. Then it closes the listener, tells
// the sessions that run, and returns once they have ended or hurry is done:
// whichever is first.
func (s *Server) Serve(ctx, hurry context.Context, listener net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	s.audit.write(Event{Event: EventListening, Listen: listener.Addr().String()})
	s.complain()
	for {
		conn, err := s.accept(ctx, listener)
		if err == nil {
			s.running.Go(func() { s.take(conn) })
			continue
		}
		if ctx.Err() != nil {
			s.drain(hurry)
			return nil
		}
		return fmt.Errorf("taking connections: %w", err)
	}
}

// accept takes a listener's next connection, and waits where none can be taken
// for now. Its errors are for good.
func (s *Server) accept(ctx context.Context, listener net.Listener) (net.Conn, error) {
	for {
		conn, err := listener.Accept()
		var temporary interface{ Temporary() bool }
		if err == nil || ctx.Err() != nil || !errors.As(err, &temporary) || !temporary.Temporary() {
			return conn, err
		}
		// Out of descriptors, most likely: what is open goes on, and closes some.
		if _, ok := s.refusals.say(err.Error(), time.Now()); ok {
			s.audit.write(Event{Event: EventProblem, Problem: err.Error()})
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// complain says what is wrong with the keys that are authorized.
func (s *Server) complain() {
	keys, faults := s.config.Keys.Read()
	for _, fault := range faults {
		s.audit.write(Event{Event: EventProblem, Problem: fault.Where() + ": " + fault.What, Fix: fault.Fix})
	}
	if len(keys) == 0 {
		s.audit.write(Event{Event: EventProblem, Problem: nobody, Fix: nobodyFix})
	}
}

// What is wrong, and what to do, when no key is authorized.
const (
	nobody    = "no key is authorized: nobody can log in"
	nobodyFix = "set INMANTA_AUTHORIZED_KEYS to your public keys, one a line, and run `inmanta-docker up` again"
)

// take serves one connection from its first byte to its last.
func (s *Server) take(conn net.Conn) {
	defer conn.Close()
	id := s.number.Add(1)
	remote := conn.RemoteAddr().String()
	defer s.survive(id)
	if s.self.made(remote) {
		s.serve(conn, id, nil)
		return
	}
	visitor, err := s.gate.enter(conn)
	if err != nil {
		if more, ok := s.refusals.say(err.Error(), time.Now()); ok {
			reason := err.Error()
			if more > 0 {
				reason = fmt.Sprintf("%s (and %d more like it)", reason, more)
			}
			s.audit.write(Event{Event: EventRefused, Connection: id, Remote: remote, Reason: reason})
		}
		return
	}
	s.audit.write(Event{Event: EventConnected, Connection: id, Remote: remote})
	s.serve(conn, id, visitor)
}

// survive keeps one connection's panic from being everybody's end.
func (s *Server) survive(id uint64) {
	if panicked := recover(); panicked != nil {
		s.audit.write(Event{
			Event: EventProblem, Connection: id,
			Problem: fmt.Sprintf("a defect of the ssh sidecar ended the connection: %v\n%s", panicked, debug.Stack()),
			Fix:     "please report it; other connections go on",
		})
	}
}

// serve lets a client log in and serves it. The server's own has no guest.
func (s *Server) serve(conn net.Conn, id uint64, visitor *guest) {
	// An absolute deadline: trickling bytes does not extend it.
	_ = conn.SetDeadline(time.Now().Add(s.config.Limits.Login))
	began := time.Now()
	login := s.newLogin(conn, id)
	wire := &meteredConn{Conn: wide(conn), weigh: s.weigh}
	client, channels, requests, err := ssh.NewServerConn(wire, login.config())
	if err != nil {
		if visitor != nil {
			evicted := s.gate.reject(visitor)
			login.failed(err, evicted)
		}
		return
	}
	defer client.Close()
	if visitor != nil {
		if err := s.gate.admit(visitor); err != nil {
			turnAway(client, channels, requests)
			s.audit.write(Event{Event: EventRefused, Connection: id, Remote: conn.RemoteAddr().String(), Reason: err.Error()})
			return
		}
		defer s.gate.leave()
	}
	_ = conn.SetDeadline(time.Time{})
	c := newConnection(s, client, wire, id, login)
	if !s.register(c) {
		turnAway(client, channels, requests) // the server is stopping
		return
	}
	defer s.unregister(c)
	c.serve(channels, requests)
	c.log(Event{Event: EventDisconnected, Seconds: time.Since(began).Seconds()})
}

// turnAway ends a connection that is not served. What its client has asked for
// by now is taken, or its reader would wait for that for good.
func turnAway(client *ssh.ServerConn, channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) {
	_ = client.Close()
	go ssh.DiscardRequests(requests)
	for range channels {
	}
}

func (s *Server) register(c *connection) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.connections[c] = struct{}{}
	return true
}

func (s *Server) unregister(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.connections, c)
}

// drain tells every session that the server is stopping, closes what has none
// or has not logged in, and waits for the others until hurry is done.
func (s *Server) drain(hurry context.Context) {
	s.mu.Lock()
	s.stopping = true
	var open []*connection
	for c := range s.connections {
		open = append(open, c)
	}
	s.mu.Unlock()
	s.audit.write(Event{Event: EventStopping, Reason: fmt.Sprintf("told to stop; %d connections are open", len(open))})
	s.gate.shut()
	for _, c := range open {
		go c.windDown()
	}
	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-hurry.Done():
		s.mu.Lock()
		for c := range s.connections {
			c.end("the grace period is over")
		}
		s.mu.Unlock()
		<-ended
	}
	s.hearLast()
	s.audit.write(Event{Event: EventStopped})
}

// hearLast waits for what file servers have to say of sessions that have ended:
// of files that were cut short, most of all.
func (s *Server) hearLast() {
	heard := make(chan struct{})
	go func() {
		s.reports.Wait()
		close(heard)
	}()
	select {
	case <-heard:
	case <-time.After(reportGrace):
	}
}
