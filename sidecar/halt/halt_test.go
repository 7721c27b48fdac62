package halt

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// server is an orchestrator's API: it notes what is asked of it, and deploys for
// as many questions as busy says.
type server struct {
	mu      sync.Mutex
	asked   []string
	busy    int
	refuses map[string]int // by action and environment: with this code, once
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	action := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	key := action + " " + r.Header.Get("X-Inmanta-tid")
	switch {
	case r.Method == http.MethodPost:
		s.asked = append(s.asked, key)
		if code := s.refuses[key]; code != 0 {
			delete(s.refuses, key)
			w.WriteHeader(code)
		}
	case r.Method == http.MethodHead:
		w.WriteHeader(http.StatusNoContent)
	default:
		deploying := "0"
		if s.busy > 0 {
			s.busy--
			deploying = "1"
		}
		_, _ = io.WriteString(w, `{"data":[],"metadata":{"deploy_summary":{"total":1,"by_state":{"deploying":`+deploying+`}}}}`)
	}
}

func (s *server) actions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// lines hands on the lines that are written to it.
type lines chan string

func (l lines) Write(p []byte) (int, error) { l <- strings.TrimSpace(string(p)); return len(p), nil }

// Environments are halted until the input ends, which is what happens to it when
// whoever holds its other end is killed.
func TestResumesWhenItsInputEnds(t *testing.T) {
	t.Parallel()
	api := &server{busy: 2}
	at := httptest.NewServer(api)
	defer at.Close()
	in, hold := io.Pipe()
	out := make(lines, 3)
	done := make(chan error, 1)
	go func() { done <- At(at.URL, "").Run(t.Context(), []string{"a", "b"}, in, out) }()
	if got := <-out + " " + <-out; got != Halting+" "+Halted {
		t.Fatalf("says %q", got)
	}
	if got := api.actions(); !slices.Equal(got, []string{"halt a", "halt b"}) || api.busy != 0 {
		t.Fatalf("said to be halted after %q, with %d still to be deployed", got, api.busy)
	}
	hold.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := <-out; got != Resumed {
		t.Errorf("says %q", got)
	}
	if got := api.actions(); !slices.Equal(got[2:], []string{"resume a", "resume b"}) {
		t.Errorf("then %q", got[2:])
	}
}

func TestNothingIsLeftHalted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refuses map[string]int
		says    string
	}{
		"the second is refused":      {map[string]int{"halt b": 500}, "halting environment b"},
		"a login is asked for":       {map[string]int{"halt a": 401}, "login"},
		"resuming fails at first":    {map[string]int{"halt b": 500, "resume a": 503}, "halting environment b"},
		"it lets in nobody at first": {map[string]int{"halt b": 500, "resume a": 403}, "halting environment b"},
		"one is gone in the while":   {map[string]int{"halt b": 500, "resume a": 404}, "halting environment b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := &server{refuses: c.refuses}
			at := httptest.NewServer(api)
			defer at.Close()
			in, hold := io.Pipe()
			defer hold.Close()
			var out bytes.Buffer
			err := At(at.URL, "").Run(t.Context(), []string{"a", "b"}, in, &out)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v", err)
			}
			if out.String() != Halting+"\n"+Resumed+"\n" {
				t.Errorf("says %q", out.String())
			}
			got := api.actions()
			if !slices.Contains(got, "resume a") || !slices.Contains(got, "resume b") {
				t.Errorf("asked for %q", got)
			}
		})
	}
}

// What still deploys when the input ends is resumed, and was never said to be still.
func TestGivesUpWaiting(t *testing.T) {
	t.Parallel()
	api := &server{busy: 1 << 30}
	at := httptest.NewServer(api)
	defer at.Close()
	in, hold := io.Pipe()
	time.AfterFunc(300*time.Millisecond, func() { hold.Close() })
	var out bytes.Buffer
	if err := At(at.URL, "").Run(context.Background(), []string{"a"}, in, &out); err == nil {
		t.Error("no error")
	}
	if out.String() != Halting+"\n"+Resumed+"\n" {
		t.Errorf("says %q", out.String())
	}
}

func TestResume(t *testing.T) {
	t.Parallel()
	api := &server{refuses: map[string]int{"resume a": 503, "resume b": 404}}
	at := httptest.NewServer(api)
	defer at.Close()
	if err := At(at.URL, "").Resume(t.Context(), []string{"a", "b"}); err != nil {
		t.Fatal(err)
	}
	if got := api.actions(); !slices.Equal(got, []string{"resume a", "resume a", "resume b"}) {
		t.Errorf("asked for %q", got)
	}
}

// Who has a token shows it with everything that is asked.
func TestLogin(t *testing.T) {
	t.Parallel()
	api := &server{busy: 1}
	at := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		api.ServeHTTP(w, r)
	}))
	defer at.Close()
	var out bytes.Buffer
	o := At(at.URL, "secret")
	ctx, cancel := context.WithCancel(t.Context())
	stopping := io.MultiWriter(&out, writes(func(p []byte) {
		if string(p) == Halted+"\n" {
			cancel()
		}
	}))
	in, hold := io.Pipe()
	defer hold.Close()
	if err := o.Run(ctx, []string{"a"}, in, stopping); err != context.Canceled {
		t.Fatal(err)
	}
	if got := api.actions(); !slices.Equal(got, []string{"halt a", "resume a"}) || out.String() != Halting+"\n"+Halted+"\n"+Resumed+"\n" {
		t.Errorf("asked for %q, and says %q", got, out.String())
	}
	if err := At(at.URL, "wrong").Run(t.Context(), []string{"a"}, in, io.Discard); err == nil {
		t.Error("a wrong token does")
	}
}

type writes func(p []byte)

func (w writes) Write(p []byte) (int, error) { w(p); return len(p), nil }
