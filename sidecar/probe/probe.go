// Package probe asks, once and cheaply, whether something in a container
// serves. The health checks of the compose files run it every few seconds for
// as long as the deployment lives, so it pulls in no HTTP client: that alone
// would double the processor time of a check.
package probe

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Patience is how long a probe waits for its answer. It stays below the
// timeout of the health checks, so that what they log is this package's
// sentence and not that a process was killed.
const Patience = 3 * time.Second

// longestStatusLine is where reading an answer stops, in bytes.
const longestStatusLine = 4096

// TCP says whether something accepts connections at address, "host:port".
func TCP(address string) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("%q is no address: write HOST:PORT", address)
	}
	connection, err := dial(address, time.Now().Add(Patience))
	if err != nil {
		return err
	}
	return connection.Close()
}

// HTTP says whether a GET of the plain http URL is answered with a 2xx status.
// The body is not read, and a redirect is an answer like any other.
func HTTP(rawURL string) error {
	target, err := parse(rawURL)
	if err != nil {
		return err
	}
	deadline := time.Now().Add(Patience)
	connection, err := dial(target.address, deadline)
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := connection.SetDeadline(deadline); err != nil {
		return fmt.Errorf("limiting the wait for %s: %w", target.address, err)
	}
	if _, err := io.WriteString(connection, target.request()); err != nil {
		return fmt.Errorf("%s does not take a request: %w", target.address, reason(err))
	}
	line, err := bufio.NewReader(io.LimitReader(connection, longestStatusLine)).ReadString('\n')
	if err != nil && line == "" {
		return fmt.Errorf("%s does not answer the request: %w", target.address, reason(err))
	}
	status, code, err := parseStatusLine(line)
	if err != nil {
		return fmt.Errorf("%s does not speak HTTP: %w", target.address, err)
	}
	if code < 200 || code > 299 {
		return fmt.Errorf("%s answers %s", rawURL, status)
	}
	return nil
}

func dial(address string, deadline time.Time) (net.Conn, error) {
	connection, err := (&net.Dialer{Deadline: deadline}).Dial("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("nothing accepts connections at %s: %w", address, reason(err))
	}
	return connection, nil
}

// reason is err in the words of whoever reads the health log: the net package's
// repeat the address.
func reason(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("no answer within %s", Patience)
	}
	if errors.Is(err, io.EOF) {
		return errors.New("it closes the connection")
	}
	var operation *net.OpError
	if errors.As(err, &operation) {
		return operation.Err
	}
	return err
}

// target is what an HTTP probe asks for and where.
type target struct {
	address string // host:port to connect to
	host    string // the Host header
	path    string // path and query
}

func parse(rawURL string) (target, error) {
	parsed, err := url.Parse(rawURL)
	if err != nil {
		return target{}, fmt.Errorf("%q is no URL: %w", rawURL, err)
	}
	if parsed.Scheme != "http" || parsed.Hostname() == "" {
		return target{}, fmt.Errorf("%q is no plain http URL: write http://HOST:PORT/PATH", rawURL)
	}
	port := parsed.Port()
	if port == "" {
		port = "80"
	}
	return target{
		address: net.JoinHostPort(parsed.Hostname(), port),
		host:    parsed.Host,
		path:    parsed.RequestURI(),
	}, nil
}

func (t target) request() string {
	return "GET " + t.path + " HTTP/1.1\r\n" +
		"Host: " + t.host + "\r\n" +
		"User-Agent: inmanta-sidecar\r\n" +
		"Connection: close\r\n\r\n"
}

// parseStatusLine takes "HTTP/1.1 200 OK" apart into "200 OK" and 200.
func parseStatusLine(line string) (status string, code int, err error) {
	protocol, status, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
	digits, _, _ := strings.Cut(status, " ")
	number, err := strconv.ParseUint(digits, 10, 16)
	if !strings.HasPrefix(protocol, "HTTP/") || err != nil || len(digits) != 3 {
		return "", 0, fmt.Errorf("its answer starts with %.40q", line)
	}
	return status, int(number), nil
}
