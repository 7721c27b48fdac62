// Package orchestrator asks a running Inmanta orchestrator how it is, over its
// HTTP API. It only reads. One call is one request, or as many as it says:
// nothing is tried again behind the caller's back.
package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Why a question got no answer: what errors.Is tells apart. An error that is
// none of these is the network's own (no route, no such host) or the caller's
// context.
var (
	// ErrRefused says that nobody serves at that address: the connection was
	// refused, or taken by the engine's port forwarding and closed at once.
	ErrRefused = errors.New("nothing serves there")
	// ErrTimeout says that no answer came in time.
	ErrTimeout = errors.New("no answer in time")
	// ErrNotOrchestrator says that something answers, but no orchestrator.
	ErrNotOrchestrator = errors.New("what answers is not an orchestrator")
	// ErrLogin says that the orchestrator answers, and only to those who log in.
	ErrLogin = errors.New("the orchestrator asks for a login")
	// ErrServer says that the orchestrator failed to answer (HTTP 5xx).
	ErrServer = errors.New("the orchestrator failed to answer")
)

// maxBody is the longest answer that is read, in bytes. A status is under 4 KB,
// an environment under 1 KB.
const maxBody = 8 << 20

// requestTimeout is how long one request may take. The orchestrator gives each
// of its parts a second to report.
const requestTimeout = 10 * time.Second

// Client is one orchestrator at one address. It is safe for concurrent use.
type Client struct {
	base  string
	http  *http.Client
	token string // empty for one who is not logged in
}

// New is a client for the orchestrator at base, such as "http://127.0.0.1:8888".
// via carries the requests; nil is a direct connection, whatever proxy the
// environment names.
func New(base string, via http.RoundTripper) *Client {
	if via == nil {
		via = &http.Transport{
			DialContext:         (&net.Dialer{Timeout: requestTimeout}).DialContext,
			MaxIdleConnsPerHost: parallel,
			IdleConnTimeout:     time.Minute,
			DisableCompression:  true, // costs the orchestrator more than the bytes do
		}
	}
	return &Client{
		base: strings.TrimRight(base, "/"),
		http: &http.Client{
			Transport: via,
			Timeout:   requestTimeout,
			// The API never redirects: whoever does is somebody else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// With is the client of somebody who has a token.
func (c *Client) With(token string) *Client {
	with := *c
	with.token = token
	return &with
}

// URL is the address the client was made for.
func (c *Client) URL() string { return c.base }

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Healthy asks the orchestrator for its own verdict, which needs no login: true
// only when not even a warning stands (GET /api/v2/health).
func (c *Client) Healthy(ctx context.Context) (bool, error) {
	_, err := c.get(ctx, "/api/v2/health", "")
	if errors.Is(err, ErrServer) {
		return false, nil
	}
	return err == nil, err
}

// get asks for path, on behalf of one environment where it is not empty, and
// returns the body of a 200.
func (c *Client) get(ctx context.Context, path, environment string) ([]byte, error) {
	response, err := c.do(ctx, http.MethodGet, path, environment)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err != nil {
		return nil, c.unanswered(path, err)
	}
	if len(body) > maxBody {
		return nil, c.asking(path, fmt.Errorf("%w: its answer is longer than %d MB", ErrNotOrchestrator, maxBody>>20))
	}
	if err := judge(response.StatusCode, response.Header.Get("Content-Type"), body); err != nil {
		return nil, c.asking(path, err)
	}
	return body, nil
}

func (c *Client) do(ctx context.Context, method, path, environment string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil {
		return nil, c.asking(path, err)
	}
	if environment != "" {
		request.Header.Set("X-Inmanta-tid", environment)
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.unanswered(path, err)
	}
	return response, nil
}

func (c *Client) asking(path string, err error) error {
	return fmt.Errorf("asking %s%s: %w", c.base, path, err)
}

// unanswered says why a request brought no answer.
func (c *Client) unanswered(path string, err error) error {
	// What net/http puts around it is the method and the address again.
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var network net.Error
	switch {
	case errors.Is(err, context.Canceled):
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		err = fmt.Errorf("%w: %w", ErrTimeout, err)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	case strings.Contains(err.Error(), "malformed HTTP"):
		// net/http has no error of its own for a peer that does not speak HTTP.
		err = fmt.Errorf("%w: %w", ErrNotOrchestrator, err)
	}
	return c.asking(path, err)
}

// judge tells a usable answer (nil) from the others.
func judge(status int, contentType string, body []byte) error {
	kind, _, _ := mime.ParseMediaType(contentType)
	isJSON := kind == "application/json"
	switch {
	case status == http.StatusOK && isJSON:
		return nil
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return ErrLogin
	case status >= 500:
		return fmt.Errorf("%w: %s", ErrServer, said(status, isJSON, body))
	case isJSON:
		return errors.New(said(status, isJSON, body))
	default:
		return fmt.Errorf("%w: HTTP %d, %q", ErrNotOrchestrator, status, contentType)
	}
}

// said is the orchestrator's own message, or the status in words.
func said(status int, isJSON bool, body []byte) string {
	var answer struct {
		Message string `json:"message"`
	}
	if isJSON && json.Unmarshal(body, &answer) == nil && answer.Message != "" {
		return answer.Message
	}
	return fmt.Sprintf("HTTP %d %s", status, http.StatusText(status))
}
