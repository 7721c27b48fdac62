package ssh

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
)

// agentChannel is the kind of channel that leads to the client's agent.
const agentChannel = "auth-agent@openssh.com"

// agentSocket is where a connection's sessions find the client's agent.
type agentSocket struct {
	folder string
	socket net.Listener
	once   sync.Once
}

func (a *agentSocket) path() string { return filepath.Join(a.folder, "agent") }

func (a *agentSocket) close() {
	a.once.Do(func() {
		_ = a.socket.Close()
		_ = os.RemoveAll(a.folder)
	})
}

// agentAt is the path of the connection's agent socket, which is made when it is
// first asked for. Its folder is closed to other users.
func (c *connection) agentAt() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return "", errGone
	}
	if c.agent != nil {
		return c.agent.path(), nil
	}
	folder, err := os.MkdirTemp("", "ssh-agent-")
	if err != nil {
		return "", fmt.Errorf("making a folder for the agent's socket: %w", err)
	}
	agent := &agentSocket{folder: folder}
	if agent.socket, err = net.Listen("unix", agent.path()); err != nil {
		_ = os.RemoveAll(folder)
		return "", fmt.Errorf("listening for the agent: %w", err)
	}
	c.agent = agent
	go c.guard(func() {
		for {
			conn, err := c.server.accept(c.ctx, agent.socket)
			if err != nil {
				return // closed
			}
			c.reach(agentChannel, nil, conn.(halfCloser), Event{Event: EventForward, Kind: agentChannel})
		}
	})
	return agent.path(), nil
}
