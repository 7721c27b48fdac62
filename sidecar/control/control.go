// Package control is how a sidecar's daemon is asked by the verbs that are run
// in its container: one request and one answer, in JSON, over a socket in the
// abstract namespace of unix(7): no file, gone with the daemon, and reached from
// within its container only.
package control

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"
)

// longestRequest bounds what is read of a request, in bytes.
const longestRequest = 1 << 20

// patience is how long somebody who asks may take to say what.
const patience = 10 * time.Second

// Serve answers until the context is done: each request with what answer makes of
// it, and what is none with what refuse does. The context of a request is done
// when whoever asked goes away.
func Serve[Request, Answer any](ctx context.Context, listener net.Listener, answer func(context.Context, Request) Answer, refuse func(error) Answer) error {
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("taking requests: %w", err)
		}
		go func() {
			defer conn.Close()
			// Whoever goes away does not wait for an answer.
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			var asked Request
			decoder := json.NewDecoder(io.LimitReader(conn, longestRequest))
			if err := decoder.Decode(&asked); err != nil {
				_ = json.NewEncoder(conn).Encode(refuse(fmt.Errorf("that is no request: %w", err)))
				return
			}
			_ = conn.SetReadDeadline(time.Time{})
			go func() {
				_, _ = conn.Read(make([]byte, 1))
				cancel()
			}()
			said := answer(ctx, asked)
			_ = conn.SetWriteDeadline(time.Now().Add(patience))
			_ = json.NewEncoder(conn).Encode(said)
		}()
	}
}

// Ask asks the daemon that listens at the address, which errors call name.
func Ask[Request, Answer any](ctx context.Context, address, name string, what Request) (Answer, error) {
	var said Answer
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", address)
	if err != nil {
		return said, fmt.Errorf("%s does not run, or has not started yet: %w", name, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := json.NewEncoder(conn).Encode(what); err != nil {
		return said, fmt.Errorf("asking %s: %w", name, err)
	}
	if err := json.NewDecoder(conn).Decode(&said); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return said, fmt.Errorf("%s did not answer: %w", name, err)
	}
	return said, nil
}
