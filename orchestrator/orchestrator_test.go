package orchestrator

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// The files of testdata are answers of a real orchestrator (inmanta 2027.2).
func recorded(t testing.TB, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// answer is one recorded or made-up HTTP answer.
type answer struct {
	code int
	kind string
	body []byte
}

func (a answer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", a.kind)
	w.WriteHeader(a.code)
	_, _ = w.Write(a.body)
}

func serve(t *testing.T, h http.Handler) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	client := New(server.URL+"/", nil)
	t.Cleanup(client.Close)
	return client
}

func TestStatusOfARealOrchestrator(t *testing.T) {
	t.Parallel()
	client := serve(t, answer{200, "application/json", recorded(t, "serverstatus.json")})
	status, err := client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	database := Slice{Name: "core.database", Reported: "OK", Connected: &yes}
	transport := Slice{Name: "core.transport", Reported: "OK", Running: &yes}
	if got, want := status.Slices[0], transport; !reflect.DeepEqual(got, want) {
		t.Errorf("transport slice: %+v, want %+v", got, want)
	}
	if got, want := status.Slices[4], database; !reflect.DeepEqual(got, want) {
		t.Errorf("database slice: %+v, want %+v", got, want)
	}
	if len(status.Slices) != 20 {
		t.Errorf("%d slices, want 20", len(status.Slices))
	}
	status.Slices = nil
	want := Status{
		Product: "Inmanta Service Orchestrator", Edition: "Open Source Edition", Version: "2027.2", Reported: "OK",
		Python: "3.13.5", PostgreSQL: "15.18 (Debian 15.18-0+deb12u1)",
		Extensions: []Extension{{Name: "core", Version: "20.1.0"}},
	}
	if !reflect.DeepEqual(status, want) {
		t.Errorf("got  %+v\nwant %+v", status, want)
	}
}

func TestErrorsSayWhyThereIsNoAnswer(t *testing.T) {
	t.Parallel()
	status := recorded(t, "serverstatus.json")
	tests := []struct {
		name   string
		answer answer
		want   error
		says   string
	}{
		{"a login is asked for", answer{401, "application/json", recorded(t, "unauthorized.json")}, ErrLogin, "asks for a login"},
		{"login refused", answer{403, "application/json", []byte(`{"message":"no"}`)}, ErrLogin, ""},
		{"another web server", answer{200, "text/html", []byte("<html>hello")}, ErrNotOrchestrator, "text/html"},
		{"no such page", answer{404, "text/html; charset=UTF-8", recorded(t, "not-found.html")}, ErrNotOrchestrator, "HTTP 404"},
		{"sent elsewhere", answer{302, "text/html", nil}, ErrNotOrchestrator, "HTTP 302"},
		{"garbage under a good name", answer{200, "application/json", []byte("\x00\x01")}, ErrNotOrchestrator, ""},
		{"cut short", answer{200, "application/json", status[:1000]}, ErrNotOrchestrator, ""},
		{"JSON of another kind", answer{200, "application/json", []byte(`{"data":{"product":"x"}}`)}, ErrNotOrchestrator, "slices"},
		{"a list", answer{200, "application/json", []byte(`[]`)}, ErrNotOrchestrator, ""},
		{"failure in words", answer{500, "application/json", []byte(`{"message":"the pool is exhausted"}`)}, ErrServer, "the pool is exhausted"},
		{"failure of a proxy", answer{502, "text/html", nil}, ErrServer, "HTTP 502 Bad Gateway"},
		{"endless", answer{200, "application/json", []byte(`{"data":"` + strings.Repeat("x", maxBody))}, ErrNotOrchestrator, "longer than 8 MB"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			client := serve(t, test.answer)
			_, err := client.Status(t.Context())
			expect(t, err, test.want)
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("%q does not say %q", err, test.says)
			}
			if !strings.Contains(err.Error(), client.URL()+"/api/v1/serverstatus") {
				t.Errorf("%q does not say whom was asked", err)
			}
		})
	}
}

// expect fails unless err is want, and none of the other kinds.
func expect(t *testing.T, err, want error) {
	t.Helper()
	for _, kind := range []error{ErrRefused, ErrTimeout, ErrNotOrchestrator, ErrLogin, ErrServer, context.Canceled} {
		if got := errors.Is(err, kind); got != (kind == want) {
			t.Errorf("%v: is %q: %t", err, kind, got)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	_, err = New("http://"+address, nil).Status(t.Context())
	expect(t, err, ErrRefused)
}

func TestPeersOutsideHTTP(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		says string // and then closes
		want error
	}{
		// What the engine's port forwarding does while nobody listens in the container.
		{"takes the connection and closes it", "", ErrRefused},
		{"speaks another protocol", "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", ErrNotOrchestrator},
		{"dies in the middle", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", ErrRefused},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = listener.Close() })
			go func() {
				connection, err := listener.Accept()
				if err != nil {
					return
				}
				if test.says != "" {
					// Read first: closing over unread bytes would reset the connection.
					_, _ = connection.Read(make([]byte, 4096))
					_, _ = io.WriteString(connection, test.says)
				}
				_ = connection.Close()
			}()
			_, err = New("http://"+listener.Addr().String(), nil).Status(t.Context())
			expect(t, err, test.want)
		})
	}
}

func TestSilence(t *testing.T) {
	t.Parallel()
	client := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := client.Status(ctx)
	expect(t, err, ErrTimeout)

	ctx, stop := context.WithCancel(t.Context())
	stop()
	_, err = client.Status(ctx)
	expect(t, err, context.Canceled)
}

func TestHealthy(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		answer  answer
		healthy bool
		want    error
	}{
		{"no warning stands", answer{200, "application/json", []byte(`{"data": null}`)}, true, nil},
		{"a warning or an error stands", answer{500, "application/json", []byte(`{"data": null}`)}, false, nil},
		{"somebody else", answer{200, "text/plain", nil}, false, ErrNotOrchestrator},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			healthy, err := serve(t, test.answer).Healthy(t.Context())
			if healthy != test.healthy || !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("%t, %v; want %t, %v", healthy, err, test.healthy, test.want)
			}
		})
	}
}

func TestServing(t *testing.T) {
	t.Parallel()
	real, err := decodeStatus(recorded(t, "serverstatus.json"))
	if err != nil {
		t.Fatal(err)
	}
	parse := func(slices string) Status {
		s, err := decodeStatus([]byte(`{"data": {"product": "p", "slices": ` + slices + `}}`))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	const database = `{"name": "core.database", "status": {"connected": true}}`
	tests := []struct {
		name   string
		status Status
		why    string
	}{
		{"the real one", real, ""},
		{"a version that reports nothing", parse(`[` + database + `, {"name": "a", "status": {}}]`), ""},
		{"a warning", parse(`[` + database + `, {"name": "a", "reported_status": "Warning"}]`), ""},
		{"nothing at all", Status{}, "core.database is missing"},
		{"no database slice", parse(`[{"name": "a"}]`), "core.database is missing"},
		{"database lost", parse(`[{"name": "core.database", "status": {"connected": false}, "reported_status": "Error", "message": "Database is not connected"}]`),
			"core.database is not connected to the database"},
		{"database says nothing", parse(`[{"name": "core.database", "status": {"connected": "yes"}}]`), "core.database is not connected to the database"},
		{"two at fault", parse(`[` + database + `, {"name": "a", "status": {"running": false}}, {"name": "b", "reported_status": "Error", "message": "Timeout on data collection"}]`),
			"a is not running; b reports Error: Timeout on data collection"},
		{"an error of an older version", parse(`[` + database + `, {"name": "a", "status": {"error": "Timeout"}}]`), "a reports Error: Timeout"},
		{"a word nobody knows", parse(`[` + database + `, {"name": "a", "reported_status": "Starting"}]`), "a reports Starting"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ok, why := Serving(test.status)
			if why != test.why || ok != (test.why == "") {
				t.Errorf("%t, %q; want %q", ok, why, test.why)
			}
		})
	}
}

const (
	prod  = "f638b675-8373-4820-9810-8298303e20b5"
	empty = "6b8aab0d-81c7-4a68-8085-fb708e5e0dd4"
)

// environments serves the recorded answers, and no more.
func environments(t *testing.T) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /api/v2/environment", answer{200, "application/json", recorded(t, "environment.json")})
	mux.HandleFunc("HEAD /api/v1/notify/{id}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") == prod {
			w.WriteHeader(http.StatusOK)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /api/v2/resource", func(w http.ResponseWriter, r *http.Request) {
		file := map[string]string{prod: "resource-prod.json", empty: "resource-empty.json"}[r.Header.Get("X-Inmanta-tid")]
		if file == "" || r.URL.RawQuery != "limit=1&deploy_summary=true" {
			t.Errorf("asked for %s of %q", r.URL, r.Header.Get("X-Inmanta-tid"))
		}
		answer{200, "application/json", recorded(t, file)}.ServeHTTP(w, r)
	})
	return mux
}

func TestEnvironments(t *testing.T) {
	t.Parallel()
	got, err := serve(t, environments(t)).Environments(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	states := func(unavailable int) map[string]int {
		return map[string]int{
			"unavailable": unavailable, "skipped": 0, "deployed": 0, "failed": 0, "deploying": 0, "available": 0,
			"cancelled": 0, "undefined": 0, "skipped_for_undefined": 0, "non_compliant": 0,
		}
	}
	const project = "304c134f-9487-4a3e-87eb-e5e2fd7bfe9f"
	want := []Environment{
		{ID: empty, Name: "empty", Project: project, Halted: true, ByState: states(0)},
		{ID: prod, Name: "prod", Project: project, Compiling: true, Resources: 2, ByState: states(2)},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestOneEnvironmentThatCannotBeAskedAbout(t *testing.T) {
	t.Parallel()
	mux := environments(t)
	client := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Inmanta-tid") == empty {
			answer{500, "application/json", []byte(`{"message": "deadlock"}`)}.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	got, err := client.Environments(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got[0].Unknown, "deadlock") || !got[0].Halted {
		t.Errorf("the broken one: %+v", got[0])
	}
	if got[1].Unknown != "" || got[1].Resources != 2 {
		t.Errorf("the other one: %+v", got[1])
	}
}

func TestNoListOfEnvironments(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{}`, `{"data": null}`, `{"data": {}}`, `no`, ``} {
		_, err := serve(t, answer{200, "application/json", []byte(body)}).Environments(t.Context())
		if !errors.Is(err, ErrNotOrchestrator) {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func FuzzDecodeStatus(f *testing.F) {
	f.Add(recorded(f, "serverstatus.json"))
	f.Add([]byte(`{"data":{"product":"p","slices":[{"name":"core.database","status":{"connected":null,"error":{}}}]}}`))
	f.Add([]byte(`{"data":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		status, err := decodeStatus(body)
		if err != nil {
			if !errors.Is(err, ErrNotOrchestrator) {
				t.Errorf("%v is of no kind", err)
			}
			return
		}
		if ok, why := Serving(status); ok != (why == "") {
			t.Errorf("serving %t, because %q", ok, why)
		}
		if _, err := json.Marshal(status); err != nil {
			t.Error(err)
		}
	})
}

func FuzzDecodeEnvironments(f *testing.F) {
	f.Add(recorded(f, "environment.json"))
	f.Add([]byte(`{"data":[{"halted":"x"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if got, err := decodeEnvironments(body); (got == nil) == (err == nil) {
			t.Errorf("%v, %v", got, err)
		}
	})
}

func FuzzDecodeSummary(f *testing.F) {
	f.Add(recorded(f, "resource-prod.json"))
	f.Add([]byte(`{"metadata":{"deploy_summary":{"by_state":{"failed":-1}}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if got, err := decodeSummary(body); err != nil && !reflect.DeepEqual(got, summary{}) {
			t.Errorf("%+v beside %v", got, err)
		}
	})
}
