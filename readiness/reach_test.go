package readiness

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/orchestrator"
)

func TestRoutes(t *testing.T) {
	t.Parallel()
	at := func(published string, own ...string) Container {
		c := Container{published: map[uint16][]netip.AddrPort{}}
		if published != "" {
			c.published[apiPort] = []netip.AddrPort{netip.MustParseAddrPort(published)}
		}
		for _, address := range own {
			c.addresses = append(c.addresses, netip.MustParseAddr(address))
		}
		return c
	}
	const local, remote, secure = "unix:///var/run/docker.sock", "tcp://build.example:2376", "ssh://root@[2001:db8::2]:22"
	tests := []struct {
		name   string
		c      Container
		daemon string
		want   []string
	}{
		{"loopback", at("127.0.0.1:18888", "172.18.0.3"), local, []string{"http://127.0.0.1:18888", "http://172.18.0.3:8888"}},
		{"everywhere", at("0.0.0.0:8888"), local, []string{"http://127.0.0.1:8888"}},
		{"everywhere, IPv6", at("[::]:8888"), local, []string{"http://[::1]:8888"}},
		{"one address", at("192.0.2.5:8888"), local, []string{"http://192.0.2.5:8888"}},
		{"not published", at("", "172.18.0.3"), local, []string{"http://172.18.0.3:8888"}},
		{"nowhere", at(""), local, nil},
		{"loopback of another host", at("127.0.0.1:8888", "172.18.0.3"), remote, nil},
		{"everywhere on another host", at("0.0.0.0:8888", "172.18.0.3"), remote, []string{"http://build.example:8888"}},
		{"everywhere on another host, over ssh", at("0.0.0.0:8888"), secure, []string{"http://[2001:db8::2]:8888"}},
		{"one address of another host", at("192.0.2.5:8888"), secure, []string{"http://192.0.2.5:8888"}},
		{"an engine over loopback", at("127.0.0.1:8888"), "tcp://127.0.0.1:2375", []string{"http://127.0.0.1:8888"}},
		{"an engine nobody understands", at("127.0.0.1:8888"), "::", []string{"http://127.0.0.1:8888"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := routes(test.c, test.daemon); !slices.Equal(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// host is an engine whose only container is this machine: it runs commands here.
type host struct {
	Engine
	mu       sync.Mutex
	commands [][]string
	codes    []int
}

func (h *host) DaemonHost() string { return "tcp://elsewhere.example:2376" }

func (h *host) ExecCreate(_ context.Context, _ string, o client.ExecCreateOptions) (client.ExecCreateResult, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commands = append(h.commands, o.Cmd)
	return client.ExecCreateResult{}, nil
}

func (h *host) ExecAttach(context.Context, string, client.ExecAttachOptions) (client.ExecAttachResult, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := h.commands[len(h.commands)-1]
	run := exec.Command(last[0], last[1:]...)
	output, _ := run.Output() // its code is kept
	h.codes = append(h.codes, run.ProcessState.ExitCode())
	frame := binary.BigEndian.AppendUint32([]byte{1, 0, 0, 0}, uint32(len(output)))
	ours, theirs := net.Pipe()
	go func() {
		_, _ = io.Copy(theirs, bytes.NewReader(append(frame, output...)))
		_ = theirs.Close()
	}()
	return client.ExecAttachResult{HijackedResponse: client.NewHijackedResponse(ours, "")}, nil
}

func (h *host) ExecInspect(context.Context, string, client.ExecInspectOptions) (client.ExecInspectResult, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return client.ExecInspectResult{ExitCode: h.codes[len(h.codes)-1]}, nil
}

func TestAskingFromInside(t *testing.T) {
	t.Parallel()
	const status = `{"data": {"product": "p", "slices": [{"name": "core.database", "status": {"connected": true}}]}}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Method == http.MethodHead:
			w.WriteHeader(http.StatusNoContent)
		case r.Header.Get("X-Inmanta-tid") != "":
			_, _ = io.WriteString(w, `{"metadata": {"deploy_summary": {"total": 3, "by_state": {"failed": 1}}}}`)
		case strings.HasSuffix(r.URL.Path, "/environment"):
			_, _ = io.WriteString(w, `{"data": [{"id": "e1", "name": "it's"}]}`)
		default:
			_, _ = io.WriteString(w, status)
		}
	}))
	t.Cleanup(server.Close)
	api := orchestrator.New(server.URL, &tunnel{&host{}, "c"})
	got, err := api.Status(t.Context())
	if err != nil || got.Product != "p" {
		t.Errorf("%+v, %v", got, err)
	}
	environments, err := api.Environments(t.Context())
	if err != nil || len(environments) != 1 || environments[0].Failed != 1 || environments[0].Unknown != "" {
		t.Errorf("%+v, %v", environments, err)
	}
}

func TestNobodyListensInside(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	if _, err := orchestrator.New("http://"+address, &tunnel{&host{}, "c"}).Status(t.Context()); !errors.Is(err, orchestrator.ErrRefused) {
		t.Error(err)
	}
}

func TestNoWayButFromInside(t *testing.T) {
	t.Parallel()
	// An engine elsewhere that publishes on its own loopback only: ours is another's.
	c := Container{ID: "c", published: map[uint16][]netip.AddrPort{apiPort: {netip.MustParseAddrPort("127.0.0.1:1")}}}
	h := &host{}
	_, _, err := Reach(t.Context(), h, c)
	if len(h.commands) != 1 {
		t.Errorf("%d commands, %v", len(h.commands), err)
	}
}

func FuzzEngineHost(f *testing.F) {
	f.Add("ssh://root@build.example")
	f.Add("tcp://[::1]:2375")
	f.Add("unix:///x")
	f.Fuzz(func(t *testing.T, daemon string) {
		host, local := engineHost(daemon)
		if host == "" {
			t.Errorf("%q: no host, local %t", daemon, local)
		}
	})
}
