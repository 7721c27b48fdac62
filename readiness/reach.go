package readiness

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"

	"github.com/inmanta/inmanta-docker/orchestrator"
)

// apiPort is where the orchestrator listens in its container.
const apiPort = 8888

// Reach is a client for the API of the orchestrator in c: over its published
// port, else over the container's own address, else from inside the container,
// which needs nothing but the engine and the image's bash. It tries each with
// one question. With the client comes the address a person may use, empty where
// the API is not published or not to be reached from here.
func Reach(ctx context.Context, engine Engine, c Container) (api *orchestrator.Client, url string, err error) {
	for _, base := range routes(c, engine.DaemonHost()) {
		api := orchestrator.New(base, nil)
		_, failed := api.Healthy(ctx)
		if failed == nil {
			return api, base, nil
		}
		api.Close()
		err = cmp.Or(err, failed) // the first is about the address that a person knows
	}
	api = inside(engine, c)
	if _, failed := api.Healthy(ctx); failed != nil {
		return nil, "", cmp.Or(err, failed)
	}
	return api, "", nil
}

// routes are the addresses of the API that may be reached from here, best
// first, for an engine at daemon.
func routes(c Container, daemon string) []string {
	var list []string
	for _, at := range c.Reachable(apiPort, daemon) {
		list = append(list, "http://"+at)
	}
	return list
}

// Reachable are the addresses, as host:port, at which a TCP port of the
// container may be reached from here, for an engine at daemon: where it is
// published first, then the container's own. None is tried.
func (c Container) Reachable(port uint16, daemon string) []string {
	host, local := engineHost(daemon)
	var list []string
	add := func(host string, port uint16) {
		list = append(list, net.JoinHostPort(host, strconv.Itoa(int(port))))
	}
	for _, at := range c.published[port] {
		address := at.Addr().Unmap()
		switch {
		case address.IsUnspecified() && local && address.Is4():
			add("127.0.0.1", at.Port())
		case address.IsUnspecified() && local:
			add("::1", at.Port())
		case address.IsUnspecified():
			add(host, at.Port())
		case address.IsLoopback() && !local:
			// Its loopback is not ours: somebody else may answer here.
		default:
			add(address.String(), at.Port())
		}
	}
	if local {
		for _, address := range c.addresses {
			add(address.String(), port)
		}
	}
	return list
}

// engineHost is the host that the engine at daemon runs on, and whether that is this one.
func engineHost(daemon string) (host string, local bool) {
	u, err := url.Parse(daemon)
	if err != nil || u.Scheme == "unix" || u.Scheme == "npipe" || u.Hostname() == "" {
		return "127.0.0.1", true
	}
	host = u.Hostname()
	if address, err := netip.ParseAddr(host); host == "localhost" || err == nil && address.IsLoopback() {
		// A forwarded port looks the same, and then the containers' own addresses lead nowhere: harmless.
		return host, true
	}
	return host, false
}

// inside is a client that asks from inside the container.
func inside(engine Engine, c Container) *orchestrator.Client {
	return orchestrator.New("http://"+net.JoinHostPort("127.0.0.1", strconv.Itoa(apiPort)), &tunnel{engine, c.ID})
}

// tunnel carries HTTP requests through a shell in the container, one for each.
type tunnel struct {
	engine    Engine
	container string
}

// ask is what the shell runs: $0 is the port, $1 the request.
const ask = `exec 3<>"/dev/tcp/127.0.0.1/$0" || exit 7; printf %s "$1" >&3; cat <&3`

// askRefused is the exit code of ask when nobody listens.
const askRefused = 7

// RoundTrip implements http.RoundTripper for requests without a body.
func (t *tunnel) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Body != nil && request.Body != http.NoBody {
		return nil, errors.New("only questions without a body can be asked from inside a container")
	}
	var text bytes.Buffer
	// HTTP/1.0: the end of the connection is the end of the answer.
	fmt.Fprintf(&text, "%s %s HTTP/1.0\r\nHost: %s\r\n", request.Method, request.URL.RequestURI(), request.URL.Host)
	if err := request.Header.Write(&text); err != nil {
		return nil, err
	}
	text.WriteString("\r\n")
	code, answer, err := runIn(request.Context(), t.engine, t.container, []string{
		"bash", "-c", ask, request.URL.Port(), text.String(),
	})
	switch {
	case err != nil:
		return nil, err
	case code == askRefused:
		return nil, syscall.ECONNREFUSED
	case len(answer) == 0:
		return nil, io.ErrUnexpectedEOF
	}
	return http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), request)
}

// refused says that somebody is there, and nobody listens.
func refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || strings.Contains(err.Error(), "connection refused")
}
