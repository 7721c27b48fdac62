package modelinit

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
)

const (
	// between is how long after one try to reach the orchestrator the next begins.
	between = 200 * time.Millisecond
	// answerWithin is how long the orchestrator has for an answer.
	answerWithin = 5 * time.Second
	// longestAnswer is in bytes.
	longestAnswer = 16 << 20
)

// waitServing returns once the orchestrator answers something that it has to ask
// its database for.
func (j *job) waitServing(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, j.config.Patience)
	defer cancel()
	ticker := time.NewTicker(between)
	defer ticker.Stop()
	why := ""
	for {
		status, _, err := get(limited, j.config.API, "/api/v2/project")
		// 401 and 403 are answers of one that wants a login.
		if err == nil && (status == 200 || status == 401 || status == 403) {
			return nil
		}
		now := fmt.Sprintf("it answers with status %d", status)
		if err != nil {
			now = err.Error()
		}
		// A try that the end of the wait cut off says nothing of why.
		if now != why && (limited.Err() == nil || why == "") {
			why = now
			j.log.on(why)
		}
		select {
		case <-ticker.C:
		case <-limited.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return failure{
				code: initrecord.CodeOrchestrator, what: fmt.Sprintf("the orchestrator at %s did not serve within %s: %s", j.config.API, j.config.Patience, why),
				fix: "see why it does not: inmanta-docker status",
			}
		}
	}
}

// environments are the ids of those that the orchestrator has; known is false
// where it does not say, as one that wants a login does not.
func (j *job) environments(ctx context.Context) (ids []string, known bool) {
	limited, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	status, body, err := get(limited, j.config.API, "/api/v2/environment")
	var answer struct{ Data []struct{ ID string } }
	if err != nil || status != 200 || json.Unmarshal(body, &answer) != nil {
		return nil, false
	}
	for _, e := range answer.Data {
		ids = append(ids, e.ID)
	}
	return ids, true
}

// made are the environments that runs have made, after one more: those of runs
// before that are still there, those that are new, and the one that was named.
func made(earlier, before, after []string, named string) []string {
	var ids []string
	for _, id := range after {
		if slices.Contains(earlier, id) || !slices.Contains(before, id) || id == named {
			ids = append(ids, id)
		}
	}
	return ids
}

// get asks once, over HTTP/1.0: the connection's end is the answer's. A client
// of Go's own would make this binary, which is mounted everywhere, half as
// large again.
func get(ctx context.Context, address, path string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return 0, nil, fmt.Errorf("nothing accepts connections at %s: %w", address, reason(err))
	}
	defer connection.Close()
	defer context.AfterFunc(ctx, func() { connection.Close() })()
	if _, err := fmt.Fprintf(connection, "GET %s HTTP/1.0\r\nHost: %s\r\nAccept: application/json\r\n\r\n", path, address); err != nil {
		return 0, nil, fmt.Errorf("%s does not take a request: %w", address, reason(err))
	}
	answer := bufio.NewReader(io.LimitReader(connection, longestAnswer))
	line, err := answer.ReadString('\n')
	if err != nil {
		return 0, nil, fmt.Errorf("%s does not answer: %w", address, reason(err))
	}
	_, rest, _ := strings.Cut(line, " ")
	digits, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	if status, err = strconv.Atoi(digits); err != nil || !strings.HasPrefix(line, "HTTP/") {
		return 0, nil, fmt.Errorf("%s does not speak HTTP: its answer starts with %.40q", address, line)
	}
	for {
		header, err := answer.ReadString('\n')
		if err != nil {
			return 0, nil, fmt.Errorf("%s does not answer to the end: %w", address, reason(err))
		}
		if strings.TrimSpace(header) == "" {
			break
		}
	}
	if body, err = io.ReadAll(answer); err != nil {
		return 0, nil, fmt.Errorf("%s does not answer to the end: %w", address, reason(err))
	}
	return status, body, nil
}

// reason is err without the address, which is said already.
func reason(err error) error {
	var operation *net.OpError
	var name *net.DNSError
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("it closes the connection")
	case errors.As(err, &name):
		return errors.New("there is no such host")
	case errors.As(err, &operation):
		return operation.Err
	}
	return err
}
