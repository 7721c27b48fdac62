package codeserver

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"github.com/inmanta/inmanta-docker/sidecar/peer"
)

// mostStrangers is how many connections there may be on which nobody is logged
// in. One more takes the place of the oldest, of the source that has most.
const mostStrangers = 200

// crowd are the connections on which nobody is logged in.
type crowd struct {
	mu        sync.Mutex
	strangers []*visitor // the oldest first
}

// visitor is one connection.
type visitor struct {
	conn   net.Conn
	source netip.Addr
	crowd  *crowd
}

type visitorKey struct{}

// enter is for http.Server's ConnContext.
func (c *crowd) enter(ctx context.Context, conn net.Conn) context.Context {
	v := &visitor{conn: conn, source: peer.Source(conn.RemoteAddr().String()), crowd: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.strangers) >= mostStrangers {
		c.evict()
	}
	c.strangers = append(c.strangers, v)
	return context.WithValue(ctx, visitorKey{}, v)
}

// evict closes the oldest connection of the source that has the most.
func (c *crowd) evict() {
	count := map[netip.Addr]int{}
	most := 0
	for _, v := range c.strangers {
		count[v.source]++
		most = max(most, count[v.source])
	}
	for i, v := range c.strangers {
		if count[v.source] == most {
			_ = v.conn.Close()
			c.strangers = append(c.strangers[:i], c.strangers[i+1:]...)
			return
		}
	}
}

// changed is for http.Server's ConnState.
func (c *crowd) changed(conn net.Conn, state http.ConnState) {
	if state != http.StateClosed && state != http.StateHijacked {
		return
	}
	c.leave(func(v *visitor) bool { return v.conn == conn })
}

func (c *crowd) leave(which func(*visitor) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, v := range c.strangers {
		if which(v) {
			c.strangers = append(c.strangers[:i], c.strangers[i+1:]...)
			return
		}
	}
}

// admit says that whoever made the request is logged in: their connection stays.
func admit(r *http.Request) {
	if v, ok := r.Context().Value(visitorKey{}).(*visitor); ok {
		v.crowd.leave(func(other *visitor) bool { return other == v })
	}
}
