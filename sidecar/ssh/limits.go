package ssh

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/inmanta/inmanta-docker/sidecar/peer"
)

// Limits bound what clients can use up.
type Limits struct {
	// Login is how long a client may take to log in.
	Login time.Duration
	// Handshakes is how many clients may be logging in at once. One more takes
	// the place of the oldest, of the source that has the most of them.
	Handshakes int
	// Connections is how many may be logged in at once.
	Connections int
	// Tries is how many failed attempts end a connection.
	Tries int
	// Failures is how many connections without a login a source may make in a
	// row, and Pardon how long it takes until one of them is forgotten. A
	// source is an IPv4 address or an IPv6 network of 64 bits.
	Failures int
	Pardon   time.Duration
	// Sessions and Channels are per connection; Channels counts sessions and
	// forwards.
	Sessions, Channels int
	// Memory is how many bytes the server may hold. What makes it more is what
	// clients send and nothing takes: the one that sent most of it has to go.
	Memory uint64
	// Keepalive is after how long without a word the client is asked for one;
	// it has as long again to answer.
	Keepalive time.Duration
}

// DefaultLimits are those of the sidecar.
var DefaultLimits = Limits{
	Login:       30 * time.Second,
	Handshakes:  100,
	Connections: 500,
	Tries:       6,
	Failures:    50,
	Pardon:      2 * time.Second,
	Sessions:    64,
	Channels:    256,
	Memory:      512 << 20,
	Keepalive:   60 * time.Second,
}

// gate decides which connections are taken.
type gate struct {
	limits Limits

	mu        sync.Mutex
	logged    int                          // connections that are logged in
	entering  []*guest                     // those that are logging in, the oldest first
	suspicion map[netip.Addr]*rate.Limiter // what is left to a source's failures
	closed    bool
}

// guest is a connection that is logging in.
type guest struct {
	conn   net.Conn
	source netip.Addr
	// gone says that the gate has closed it.
	gone bool
}

func newGate(limits Limits) *gate {
	return &gate{limits: limits, suspicion: map[netip.Addr]*rate.Limiter{}}
}

// enter takes a connection, or says why not.
func (g *gate) enter(conn net.Conn) (*guest, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	from := peer.Source(conn.RemoteAddr().String())
	if g.closed {
		return nil, errors.New("the server is stopping")
	}
	if g.logged >= g.limits.Connections {
		return nil, fmt.Errorf("%d connections are logged in, which is the limit", g.logged)
	}
	if left, known := g.suspicion[from]; known && left.Tokens() < 1 {
		return nil, fmt.Errorf("%s has failed to log in too often: one more try every %s", from, g.limits.Pardon)
	}
	if len(g.entering) >= g.limits.Handshakes {
		g.evict()
	}
	visitor := &guest{conn: conn, source: from}
	g.entering = append(g.entering, visitor)
	return visitor, nil
}

// evict closes the oldest connection of the source that has the most.
func (g *gate) evict() {
	count := map[netip.Addr]int{}
	most := 0
	for _, visitor := range g.entering {
		count[visitor.source]++
		most = max(most, count[visitor.source])
	}
	for _, visitor := range g.entering {
		if count[visitor.source] == most {
			visitor.gone = true
			_ = visitor.conn.Close()
			g.forget(visitor)
			return
		}
	}
}

func (g *gate) forget(visitor *guest) {
	for i, other := range g.entering {
		if other == visitor {
			g.entering = append(g.entering[:i], g.entering[i+1:]...)
			return
		}
	}
}

// admit moves a connection to those that are logged in.
func (g *gate) admit(visitor *guest) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget(visitor)
	if g.logged >= g.limits.Connections {
		return fmt.Errorf("%d connections are logged in, which is the limit", g.logged)
	}
	g.logged++
	// Those who fail often share their address with those who do not: behind the
	// gateway of a deployment's network all have one.
	delete(g.suspicion, visitor.source)
	return nil
}

// leave says that a connection that was logged in has ended.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.logged--
}

// reject says that a connection has ended without a login. It returns whether
// the gate itself closed it.
func (g *gate) reject(visitor *guest) (evicted bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget(visitor)
	left, known := g.suspicion[visitor.source]
	if !known {
		g.pardonAll()
		left = rate.NewLimiter(rate.Every(g.limits.Pardon), g.limits.Failures)
		g.suspicion[visitor.source] = left
	}
	left.Allow()
	return visitor.gone
}

// shut closes the connections that are still logging in, and takes no more.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, visitor := range g.entering {
		_ = visitor.conn.Close()
	}
}

// mostSources bounds what is remembered of sources; beyond it, those with
// nothing left to forgive are forgotten, and if that is not enough, all.
const mostSources = 10_000

func (g *gate) pardonAll() {
	if len(g.suspicion) < mostSources {
		return
	}
	for source, left := range g.suspicion {
		if left.Tokens() >= float64(g.limits.Failures) {
			delete(g.suspicion, source)
		}
	}
	if len(g.suspicion) >= mostSources {
		clear(g.suspicion)
	}
}

// quiet lets one line a second through for each reason, and counts the others.
type quiet struct {
	mu   sync.Mutex
	seen map[string]*silence
}

type silence struct {
	since time.Time
	more  int
}

// The limits of what is remembered of reasons, which clients have a part in: how
// many there are, and how much of each, in bytes.
const (
	mostReasons   = 100
	longestReason = 200
)

// say is whether the reason may be written now, and how often it was not
// since it last was.
func (q *quiet) say(reason string, now time.Time) (more int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.seen == nil {
		q.seen = map[string]*silence{}
	}
	reason = reason[:min(len(reason), longestReason)]
	last, known := q.seen[reason]
	if known && now.Sub(last.since) < time.Second {
		last.more++
		return 0, false
	}
	if !known {
		if len(q.seen) >= mostReasons {
			clear(q.seen)
		}
		last = &silence{}
		q.seen[reason] = last
	}
	more, last.more, last.since = last.more, 0, now
	return more, true
}
