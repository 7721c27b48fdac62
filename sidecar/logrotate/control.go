package logrotate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// address is where the daemon listens, in the abstract namespace of unix(7): no
// file, gone with the daemon, and reached from within its container only.
const address = "@inmanta-sidecar-logrotate"

// request is what the daemon is asked for.
type request struct {
	// Verb is "state" or "now".
	Verb string `json:"verb"`
	// Logs are those to rotate now; all where there is none.
	Logs []string `json:"logs,omitempty"`
}

// answer is what it says.
type answer struct {
	State *State     `json:"state,omitempty"`
	Now   []Rotation `json:"now,omitempty"`
	Error string     `json:"error,omitempty"`
}

// Rotation is what became of one log that was to be rotated now.
type Rotation struct {
	Log string `json:"log"`
	// Archives are those that were made.
	Archives []string `json:"archives,omitempty"`
	// Waiting says why there is more to come.
	Waiting string `json:"waiting,omitempty"`
	Error   string `json:"error,omitempty"`
	// Nothing: there was nothing to rotate.
	Nothing bool `json:"nothing,omitempty"`
}

// longestRequest bounds what is read of a request, in bytes.
const longestRequest = 1 << 20

// askPatience is how long somebody who asks may take to say what.
const askPatience = 10 * time.Second

// serve answers until the context is done.
func serve(ctx context.Context, listener net.Listener, answers func(context.Context, request) answer) error {
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
			_ = conn.SetReadDeadline(time.Now().Add(askPatience))
			var asked request
			decoder := json.NewDecoder(io.LimitReader(conn, longestRequest))
			if err := decoder.Decode(&asked); err != nil {
				_ = json.NewEncoder(conn).Encode(answer{Error: "that is no request: " + err.Error()})
				return
			}
			_ = conn.SetReadDeadline(time.Time{})
			go func() {
				_, _ = conn.Read(make([]byte, 1))
				cancel()
			}()
			said := answers(ctx, asked)
			_ = conn.SetWriteDeadline(time.Now().Add(askPatience))
			_ = json.NewEncoder(conn).Encode(said)
		}()
	}
}

// ask asks the daemon that runs in this container.
func ask(ctx context.Context, address string, what request) (answer, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", address)
	if err != nil {
		return answer{}, fmt.Errorf("the log rotation does not run, or has not started yet: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := json.NewEncoder(conn).Encode(what); err != nil {
		return answer{}, fmt.Errorf("asking the log rotation: %w", err)
	}
	var said answer
	if err := json.NewDecoder(conn).Decode(&said); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return answer{}, fmt.Errorf("the log rotation did not answer: %w", err)
	}
	if said.Error != "" {
		return said, errors.New(said.Error)
	}
	return said, nil
}
