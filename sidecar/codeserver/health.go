package codeserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// healthSocket is where the container's health check asks, in the abstract
// namespace of unix(7): no file, and gone with the sidecar. Over TCP it would
// have to know whether the front speaks TLS, and under which name.
const healthSocket = "@inmanta-sidecar-code-health"

// healthPatience is how long a check may take.
const healthPatience = 4 * time.Second

// answerHealth tells whoever connects how the sidecar is, until ctx is done:
// that the front takes connections, that code-server answers, and that what is
// saved is kept.
func answerHealth(ctx context.Context, front net.Addr, reach http.RoundTripper) error {
	socket, err := net.Listen("unix", healthSocket)
	if err != nil {
		return fmt.Errorf("listening for health checks: %w", err)
	}
	defer socket.Close()
	defer context.AfterFunc(ctx, func() { _ = socket.Close() })()
	for {
		conn, err := socket.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("answering health checks: %w", err)
		}
		go func() {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(healthPatience + time.Second))
			limited, cancel := context.WithTimeout(ctx, healthPatience)
			defer cancel()
			answer := "ok"
			if err := checkHealth(limited, front, reach); err != nil {
				answer = err.Error()
			}
			_, _ = io.WriteString(conn, answer)
		}()
	}
}

func checkHealth(ctx context.Context, front net.Addr, reach http.RoundTripper) error {
	if err := ask(ctx, reach); err != nil {
		return err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, front.Network(), front.String())
	if err != nil {
		return fmt.Errorf("the login takes no connections: %w", innermost(err))
	}
	if err := conn.Close(); err != nil {
		return err
	}
	return room(places)
}

// Health asks the sidecar of this container how it is.
func Health() error {
	conn, err := net.DialTimeout("unix", healthSocket, time.Second)
	if err != nil {
		return fmt.Errorf("the code sidecar is not there yet, or not any more: %w", innermost(err))
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(healthPatience + time.Second))
	answer, err := io.ReadAll(io.LimitReader(conn, 4<<10))
	if err != nil {
		return fmt.Errorf("the code sidecar does not answer: %w", err)
	}
	if text := strings.TrimSpace(string(answer)); text != "ok" {
		return errors.New(text)
	}
	return nil
}
