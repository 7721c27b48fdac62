package e2e

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// gate stands between a command and the engine, passes everything on, and
// calls what is to happen at one chosen moment: that is how a fault meets a
// command exactly there and not near it.
type gate struct {
	// host is for DOCKER_HOST.
	host string

	// changing are the requests that change something and that the engine has not
	// answered yet.
	changing sync.WaitGroup

	mu     sync.Mutex
	moment moment
	seen   int
	act    func()
}

// moment is one request to the engine.
type moment struct {
	// name is for people.
	name string
	// method and path say which request: the path without the API's version, with its query.
	method string
	path   *regexp.Regexp
	// nth is how many such requests come before it.
	nth int
	// late is after the engine has done what is asked, and before it can say so.
	late bool
}

// newGate opens a gate for as long as the scenario runs.
func newGate(t *testing.T) *gate {
	t.Helper()
	// Not in t.TempDir: the path of a socket must be short.
	dir, err := os.MkdirTemp("", "gate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "docker.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{host: "unix://" + socket}
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "docker"}) },
		Transport:      engineTransport(),
		ModifyResponse: func(r *http.Response) error { g.pass(r.Request, true); return nil },
		FlushInterval:  -1,
		// A command that was ended leaves its requests unanswered.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if changes.MatchString(r.Method + " " + r.URL.Path) {
			// What has come this far is seen through by the engine, whoever asked for it.
			g.changing.Add(1)
			defer g.changing.Done()
			r = r.WithContext(context.WithoutCancel(r.Context()))
		}
		g.pass(r, false)
		proxy.ServeHTTP(w, r)
	})}
	go server.Serve(listener) //nolint:errcheck // it ends by being closed
	t.Cleanup(func() { _ = server.Close() })
	return g
}

// changes are the requests that make, start, stop, name or remove something.
var changes = regexp.MustCompile(`^(DELETE |POST .*/(containers|networks|volumes)/(create|[^/]+/(rename|start|stop|kill|connect|disconnect))$)`)

// settled waits until the engine has done all that it was asked for, also by
// commands that are gone: what is looked at next must not still be on its way.
func (g *gate) settled() { g.changing.Wait() }

// engineTransport leads to the engine, whatever host is asked for.
func engineTransport() *http.Transport {
	socket := "/var/run/docker.sock"
	if path, ok := strings.CutPrefix(os.Getenv("DOCKER_HOST"), "unix://"); ok {
		socket = path
	}
	return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
}

// at sets what is to happen, and when. It happens once.
func (g *gate) at(m moment, act func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.moment, g.seen, g.act = m, 0, act
}

// met says whether the moment came.
func (g *gate) met() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.act == nil
}

var apiVersion = regexp.MustCompile(`^/v1\.\d+`)

// pass acts if this is the moment. The request waits for it.
func (g *gate) pass(r *http.Request, late bool) {
	g.mu.Lock()
	act := g.act
	path := apiVersion.ReplaceAllString(r.URL.RequestURI(), "")
	is := act != nil && late == g.moment.late && r.Method == g.moment.method && g.moment.path.MatchString(path)
	if is {
		g.seen++
		is = g.seen > g.moment.nth
	}
	if is {
		g.act = nil
	}
	g.mu.Unlock()
	if is {
		act()
	}
}
