package host

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// serve answers on a socket of its own.
func serve(t *testing.T, handler http.Handler) Endpoint {
	t.Helper()
	path := filepath.Join(t.TempDir(), "docker.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
	server.Start()
	t.Cleanup(server.Close)
	return Endpoint{Host: "unix://" + path}
}

// anEngine answers as one does.
func anEngine() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/_ping", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", "Docker/20.10.24 (linux)")
		w.Header().Set("Api-Version", "1.41")
	})
	mux.HandleFunc("/info", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"ServerVersion": "20.10.24", "Driver": "overlay2"}`))
	})
	return mux
}

func TestAsk(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(folder, "left.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: left})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	_ = stale.Close()

	status := func(code int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	}
	text := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) })
	mute := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	hangUp := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) })
	tcp := httptest.NewServer(anEngine())
	defer tcp.Close()

	cases := []struct {
		name     string
		endpoint Endpoint
		want     reply
	}{
		{"an engine", serve(t, anEngine()), answers},
		{"an engine over TCP", Endpoint{Host: "tcp://" + tcp.Listener.Addr().String()}, answers},
		{"no socket", Endpoint{Host: "unix://" + folder + "/none.sock"}, absent},
		{"a socket that was left", Endpoint{Host: "unix://" + left}, refused},
		{"a file", Endpoint{Host: "unix://" + file}, refused},
		{"a folder", Endpoint{Host: "unix://" + folder}, refused},
		{"a daemon that dies meanwhile", serve(t, hangUp), refused},
		{"one that says nothing", serve(t, mute), silent},
		{"one that fails", serve(t, status(http.StatusInternalServerError)), strange},
		{"a web server", serve(t, text), strange},
		{"an address of another kind", Endpoint{Host: "npipe:////./pipe/docker"}, strange},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			limit := time.Minute
			if c.want == silent {
				limit = 50 * time.Millisecond
			}
			got := ask(context.Background(), c.endpoint, limit)
			if got.reply != c.want {
				t.Errorf("%s (%v), want %s", got.reply, got.err, c.want)
			}
			if got.reply == answers && got.engine.String() != "Docker Engine 20.10.24 (API 1.41) answers at "+c.endpoint.Host {
				t.Errorf("it is called %q", got.engine)
			}
		})
	}
}

func TestEnsureLeavesAnEngineAlone(t *testing.T) {
	t.Parallel()
	endpoint := serve(t, anEngine())
	report, said := record(t)
	engine, err := Ensure(t.Context(), endpoint, Installed(), report)
	if err != nil || engine.API != "1.41" || engine.Endpoint != endpoint {
		t.Errorf("%+v, %v", engine, err)
	}
	if text := said(); text != "" {
		t.Errorf("it says %q", text)
	}
}
