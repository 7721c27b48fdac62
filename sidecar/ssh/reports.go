package ssh

import (
	"context"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/filelog"
)

// mostReports is how many programs of a session may report of files at once.
// What those do that are more is not logged.
const mostReports = 16

// HearOfFiles logs what rsync and scp say they did, which a session's shell has
// started by name and the server knows nothing of, until ctx is done.
func (s *Server) HearOfFiles(ctx context.Context) error {
	socket, err := net.Listen("unix", filelog.Socket)
	if err != nil {
		return fmt.Errorf("listening for reports of files: %w", err)
	}
	return s.hearOfFiles(ctx, socket)
}

func (s *Server) hearOfFiles(ctx context.Context, socket net.Listener) error {
	return s.serveEach(ctx, socket, func(conn *net.UnixConn) {
		session := s.reporter(conn)
		if session == nil {
			_ = conn.Close()
			return
		}
		filelog.Welcome(conn)
		go session.connection.guard(func() {
			defer s.reports.Done()
			defer session.reporting.Add(-1)
			// What it has left behind may go on without it, and is not waited for.
			defer context.AfterFunc(session.over, func() { _ = conn.SetReadDeadline(time.Now().Add(reportGrace)) })()
			session.report(conn)
		})
	})
}

// reporter is the session to which the process at the other end belongs, with
// one of its places taken; nil where that is none, where the process has left
// its session, or where all places are taken.
func (s *Server) reporter(conn *net.UnixConn) *session {
	peer := processAt(conn)
	if peer == nil {
		return nil
	}
	leader, err := unix.Getsid(int(peer.Pid))
	if err != nil {
		return nil
	}
	s.starts.Lock()
	defer s.starts.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.connections {
		session := c.sessionLedBy(leader)
		if session == nil {
			continue
		}
		if session.reporting.Add(1) > mostReports {
			session.reporting.Add(-1)
			return nil
		}
		// As long as its connection is one of these, nobody waits for the last yet.
		s.reports.Add(1)
		return session
	}
	return nil
}

// sessionLedBy is the session whose program is that process; nil where none is.
func (c *connection) sessionLedBy(leader int) *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	for session := range c.sessions {
		if p := session.started(); p != nil && p.command.Process.Pid == leader {
			return session
		}
	}
	return nil
}
