package ssh

import (
	"context"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// serveEach serves the processes of this container that connect to a socket,
// until ctx is done. While one is looked at, the next one waits.
func (s *Server) serveEach(ctx context.Context, socket net.Listener, serve func(*net.UnixConn)) error {
	defer socket.Close()
	defer context.AfterFunc(ctx, func() { _ = socket.Close() })()
	for {
		conn, err := s.accept(ctx, socket)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("listening on %s: %w", socket.Addr(), err)
		}
		serve(conn.(*net.UnixConn))
	}
}

// processAt is the process at the other end of a socket; nil where the kernel
// does not say.
func processAt(conn *net.UnixConn) *unix.Ucred {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil
	}
	var peer *unix.Ucred
	if raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }) != nil || err != nil {
		return nil
	}
	return peer
}
