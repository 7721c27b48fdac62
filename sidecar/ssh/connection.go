package ssh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/inmanta/inmanta-docker/sidecar/authorizedkeys"
)

// connection is one client that is logged in.
type connection struct {
	server *Server
	client *ssh.ServerConn
	id     uint64
	grant  authorizedkeys.Grant
	// own says that it is the server's health check, which is not logged.
	own bool

	// What has come over the wire, what was taken of it, and how much less that
	// was when all was well: in bytes.
	wire           *meteredConn
	taken, settled atomic.Int64

	// ctx is done when the connection ends.
	ctx    context.Context
	cancel context.CancelFunc

	session atomic.Uint64 // number of the latest

	mu        sync.Mutex
	channels  int
	sessions  map[*session]struct{}
	listeners map[string]*remoteListener
	agent     *agentSocket
	stopping  bool
	reason    string // why it ended, when the server ended it
}

func newConnection(s *Server, client *ssh.ServerConn, wire *meteredConn, id uint64, login *login) *connection {
	ctx, cancel := context.WithCancel(context.Background())
	c := &connection{
		server: s, client: client, wire: wire, id: id, grant: grantOf(client), own: login.self,
		ctx: ctx, cancel: cancel,
		sessions: map[*session]struct{}{}, listeners: map[string]*remoteListener{},
	}
	c.log(Event{
		Event: EventAuthenticated, Remote: login.text, User: client.User(), Client: string(client.ClientVersion()),
		Method: "publickey", Key: c.grant.Fingerprint, KeyComment: c.grant.Comment, KeySource: source(c.grant), Certificate: c.grant.KeyID,
	})
	return c
}

// log writes events of this connection.
func (c *connection) log(events ...Event) {
	if c.own {
		return
	}
	for i := range events {
		e := &events[i]
		e.Connection = c.id
		if e.Event == EventDisconnected {
			c.mu.Lock()
			e.Reason = c.reason
			c.mu.Unlock()
		}
	}
	c.server.audit.write(events...)
}

// end closes the connection.
func (c *connection) end(reason string) {
	c.mu.Lock()
	if c.reason == "" {
		c.reason = reason
	}
	c.mu.Unlock()
	_ = c.client.Close()
}

// serve serves the connection until it ends, and then ends what it holds.
func (c *connection) serve(channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) {
	var running sync.WaitGroup
	running.Go(func() { c.guard(func() { c.answer(requests) }) })
	running.Go(func() { c.keepAlive() })
	for asked := range channels {
		if !c.room() {
			_ = asked.Reject(ssh.ResourceShortage, fmt.Sprintf("this connection has %d channels open, which is the limit", c.server.config.Limits.Channels))
			continue
		}
		running.Go(func() {
			defer c.closed()
			c.guard(func() { c.open(asked) })
		})
	}
	c.cancel()
	c.release()
	running.Wait()
}

// guard runs a part of the connection; a defect in it ends this connection only.
func (c *connection) guard(part func()) {
	defer func() {
		if panicked := recover(); panicked != nil {
			defer c.server.survive(c.id)
			_ = c.client.Close()
			panic(panicked)
		}
	}()
	part()
}

// room takes one of the connection's channels.
func (c *connection) room() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.channels >= c.server.config.Limits.Channels {
		return false
	}
	c.channels++
	return true
}

// closed gives a channel back, and ends a connection that has only been waiting
// for its last one.
func (c *connection) closed() {
	c.mu.Lock()
	c.channels--
	idle := c.stopping && c.channels == 0
	c.mu.Unlock()
	if idle {
		c.end("the server is stopping")
	}
}

// open serves one channel.
func (c *connection) open(asked ssh.NewChannel) {
	switch kind := asked.ChannelType(); {
	case kind == "session":
		c.openSession(asked)
	case isForward(kind):
		c.openForward(asked)
	default:
		_ = asked.Reject(ssh.UnknownChannelType, "there is no such kind of channel here")
	}
}

// answer answers what the client asks of the connection as a whole. All is
// answered at once or in a goroutine: as long as one is not, none is read.
func (c *connection) answer(requests <-chan *ssh.Request) {
	for request := range requests {
		switch request.Type {
		case "tcpip-forward", "streamlocal-forward@openssh.com":
			c.listen(request)
		case "cancel-tcpip-forward", "cancel-streamlocal-forward@openssh.com":
			c.unlisten(request)
		default:
			// keepalive@openssh.com among them: any answer will do. So is
			// no-more-sessions@openssh.com, by which a client binds itself: it can
			// come in here before the session that it was sent after.
			_ = request.Reply(false, nil)
		}
	}
}

// keepAlive ends the connection of a client that has gone without a word.
func (c *connection) keepAlive() {
	interval := c.server.config.Limits.Keepalive
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
		}
		lost := time.AfterFunc(interval, func() { c.end(fmt.Sprintf("the client did not answer within %s", interval)) })
		_, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil)
		lost.Stop()
		if err != nil {
			return
		}
	}
}

// windDown tells the sessions that the server is stopping, or ends a connection
// that has no channel open.
func (c *connection) windDown() {
	c.mu.Lock()
	c.stopping = true
	idle := c.channels == 0
	var open []*session
	for s := range c.sessions {
		open = append(open, s)
	}
	c.mu.Unlock()
	if idle {
		c.end("the server is stopping")
		return
	}
	for _, s := range open {
		// Each by itself: a client may take as long as it likes to hear of it.
		go s.notify(fmt.Sprintf("The ssh sidecar is stopping: this session ends in %s.", Grace))
	}
}

// errGone refuses what was asked for by a client that has left since: release
// would not know of it.
var errGone = errors.New("the client is gone")

// release ends all that outlives a channel: what listens for the client, and
// the way to its agent.
func (c *connection) release() {
	c.mu.Lock()
	listeners, agent := c.listeners, c.agent
	c.listeners, c.agent = map[string]*remoteListener{}, nil
	var open []*session
	for s := range c.sessions {
		open = append(open, s)
	}
	c.mu.Unlock()
	for _, l := range listeners {
		l.close()
	}
	if agent != nil {
		agent.close()
	}
	for _, s := range open {
		s.hangUp()
	}
}
