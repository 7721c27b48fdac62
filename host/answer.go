package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// Engine is a container engine that answered.
type Engine struct {
	// Product is what the engine calls itself: "Docker", "Libpod".
	Product string
	// Version is its release: "20.10.24".
	Version string
	// API is the newest API version it speaks: "1.41".
	API string
	// Endpoint is where it answered.
	Endpoint Endpoint
}

// String is the one line that names the engine.
func (e Engine) String() string {
	return fmt.Sprintf("%s Engine %s (API %s) answers at %s", e.Product, e.Version, e.API, e.Endpoint)
}

// reply is how an endpoint behaved when it was asked.
type reply string

const (
	answers reply = "answers"
	absent  reply = "there is no such socket"
	refused reply = "nobody listens on it"
	denied  reply = "permission denied"
	silent  reply = "it takes the connection and says nothing"
	strange reply = "it does not answer as an engine does"
)

// answer is what came of asking an endpoint.
type answer struct {
	reply  reply
	engine Engine
	err    error
}

// ask pings the endpoint and reads its information, as `docker info` does. It
// gives up when the context does; patience, when positive, is how long the
// endpoint may take before it counts as silent.
func ask(ctx context.Context, endpoint Endpoint, patience time.Duration) answer {
	if patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	engine, err := inform(ctx, endpoint)
	return answer{reply: classify(err), engine: engine, err: err}
}

// classify sorts the error of asking.
func classify(err error) reply {
	var timeout net.Error
	switch {
	case err == nil:
		return answers
	case errors.Is(err, fs.ErrNotExist):
		return absent
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused
	case errors.Is(err, fs.ErrPermission):
		return denied
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return silent
	// A daemon that dies, or closes the socket an earlier one left, drops
	// the connection it had taken.
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return refused
	}
	return strange
}

// inform asks for the engine's name and versions.
func inform(ctx context.Context, endpoint Endpoint) (Engine, error) {
	client, base, err := client(endpoint)
	if err != nil {
		return Engine{}, err
	}
	defer client.CloseIdleConnections()
	ping, _, err := get(ctx, client, base+"/_ping")
	if err != nil {
		return Engine{}, err
	}
	_, body, err := get(ctx, client, base+"/info")
	if err != nil {
		return Engine{}, err
	}
	var info struct{ ServerVersion string }
	if err := json.Unmarshal(body, &info); err != nil {
		return Engine{}, fmt.Errorf("reading the engine's information: %w", err)
	}
	product, _, _ := strings.Cut(ping.Get("Server"), "/")
	if product == "" {
		product = "Container"
	}
	return Engine{
		Product: product, Version: info.ServerVersion,
		API: ping.Get("Api-Version"), Endpoint: endpoint,
	}, nil
}

// client is an HTTP client of the endpoint, and the URL its paths start with.
func client(endpoint Endpoint) (*http.Client, string, error) {
	transport := &http.Transport{}
	if path := endpoint.Socket(); path != "" {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
		return &http.Client{Transport: transport}, "http://engine", nil
	}
	scheme, address, _ := strings.Cut(endpoint.Host, "://")
	switch scheme {
	case "tcp", "http", "https":
	default:
		return nil, "", fmt.Errorf("an address that begins with %s:// is not understood", scheme)
	}
	config, err := endpoint.tls()
	if err != nil {
		return nil, "", err
	}
	transport.TLSClientConfig = config
	if config != nil || scheme == "https" {
		return &http.Client{Transport: transport}, "https://" + address, nil
	}
	return &http.Client{Transport: transport}, "http://" + address, nil
}

// get reads one path of the engine's.
func get(ctx context.Context, client *http.Client, address string) (http.Header, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		// What it says beside its cause, the endpoint's name says better.
		var whole *url.Error
		if errors.As(err, &whole) {
			err = whole.Err
		}
		return nil, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4<<20))
	if err != nil {
		return nil, nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("it answered %s with %s: %s", request.URL.Path, response.Status, strings.TrimSpace(string(body[:min(len(body), 200)])))
	}
	return response.Header, body, nil
}

// listens tells how a unix socket takes a connection: answers, absent,
// refused, or strange with the reason.
func listens(path string) reply {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return absent
	}
	connection, err := net.Dial("unix", path)
	if err == nil {
		_ = connection.Close()
	}
	return classify(err)
}
