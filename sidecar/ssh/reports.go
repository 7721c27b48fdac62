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
		session := s.sessionOf(conn)
		if session == nil || !session.mayReport() {
			_ = conn.Close()
			return
		}
		go session.connection.guard(func() {
			defer session.reporting.Add(-1)
			// What it has left behind may go on without it, and is not waited for.
			defer context.AfterFunc(session.over, func() { _ = conn.SetReadDeadline(time.Now().Add(reportGrace)) })()
			session.report(conn)
		})
	})
}

// mayReport takes one of the places of those who report.
func (s *session) mayReport() bool {
	if s.reporting.Add(1) > mostReports {
		s.reporting.Add(-1)
		return false
	}
	return true
}

// sessionOf is the session to which the process at the other end belongs; nil
// where that is none, or has left its session.
func (s *Server) sessionOf(conn *net.UnixConn) *session {
	peer := processAt(conn)
	if peer == nil {
		return nil
	}
	leader, err := unix.Getsid(int(peer.Pid))
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.connections {
		c.mu.Lock()
		for session := range c.sessions {
			if p := session.started(); p != nil && p.command.Process.Pid == leader {
				c.mu.Unlock()
				return session
			}
		}
		c.mu.Unlock()
	}
	return nil
}
