package store

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// transport is HTTP that gives up when nothing has moved, in either direction, for
// as long as patience, however long the whole takes.
func transport(patience time.Duration) *http.Transport {
	dialer := net.Dialer{Timeout: min(patience, 30*time.Second)}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &patient{Conn: conn, patience: patience}, nil
		},
		MaxIdleConnsPerHost: 4,
		IdleConnTimeout:     patience / 2,
		DisableCompression:  true,
		ForceAttemptHTTP2:   false, // one connection for all would move while a request does not
	}
}

// patient is a connection whose deadline is always patience after the last time
// that something moved, in either direction: an answer is waited for while the
// question is still being written.
type patient struct {
	net.Conn
	patience time.Duration
	moved    atomic.Int64 // as Unix nanoseconds
	late     atomic.Bool
}

// Read implements net.Conn.
func (p *patient) Read(into []byte) (int, error) {
	began := time.Now()
	for {
		since := time.Unix(0, p.moved.Load())
		if since.Before(began) {
			since = began // nobody asked before, and nothing was late
		}
		if err := p.SetReadDeadline(since.Add(p.patience)); err != nil {
			return 0, err
		}
		n, err := p.Conn.Read(into)
		if n > 0 {
			p.moved.Store(time.Now().UnixNano())
		}
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && p.moved.Load() > since.UnixNano() {
			continue // something was written in the meantime
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			p.late.Store(true)
		}
		return n, err
	}
}

// Write implements net.Conn. An answer is always waited for meanwhile, which is what
// has a deadline.
func (p *patient) Write(from []byte) (int, error) {
	n, err := p.Conn.Write(from)
	if n > 0 {
		p.moved.Store(time.Now().UnixNano())
	}
	if errors.Is(err, net.ErrClosed) && p.late.Load() {
		err = os.ErrDeadlineExceeded // which is why it was closed
	}
	return n, err
}
