package codeserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// The limits of one connection.
const (
	// headerPatience is how long the head of a request may take, and largestHeader
	// what it may hold, in bytes.
	headerPatience = 10 * time.Second
	largestHeader  = 64 << 10
	// idlePatience is how long a connection may wait for its next request.
	idlePatience = 2 * time.Minute
)

// newServer serves handler on connections of either kind.
func newServer(handler http.Handler, settings *tls.Config) *http.Server {
	strangers := &crowd{}
	// Websockets are not the server's own any more: they end with this.
	base, end := context.WithCancel(context.Background())
	server := &http.Server{
		Handler:           handler,
		TLSConfig:         settings,
		ReadHeaderTimeout: headerPatience,
		IdleTimeout:       idlePatience,
		MaxHeaderBytes:    largestHeader,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       strangers.enter,
		ConnState:         strangers.changed,
		// Of strangers whose handshakes fail there is no end.
		ErrorLog: log.New(io.Discard, "", 0),
		// Or it would offer HTTP/2, in which there are no websockets here.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	server.RegisterOnShutdown(end)
	return server
}

// serve serves until ctx is done; then nobody is taken any more, and those who
// are being answered get until hurry.
func serve(ctx, hurry context.Context, server *http.Server, listener net.Listener) error {
	if server.TLSConfig != nil {
		listener = tls.NewListener(listener, server.TLSConfig)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("taking connections: %w", err)
	case <-ctx.Done():
	}
	if server.Shutdown(hurry) != nil {
		return server.Close()
	}
	return nil
}
