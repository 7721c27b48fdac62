package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
)

// cut ends a connection without a word.
func cut(w http.ResponseWriter) {
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
}

// times is a fault that some requests meet the first so many times.
func times(n int32, meets func(*http.Request) bool, fault func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) bool {
	var met atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !meets(r) || met.Add(1) > n {
			return false
		}
		fault(w, r)
		return true
	}
}

const always = 1 << 30

func everything(*http.Request) bool { return true }

func aPart(r *http.Request) bool {
	return r.Method == http.MethodPut && r.URL.Query().Get("partNumber") == "2"
}

func completing(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}

func reading(r *http.Request) bool {
	return r.Method == http.MethodGet && r.URL.Query().Get("prefix") == ""
}

// refuse answers as S3 does when it is too busy.
func refuse(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
}

// cutInside ends the connection when a part of the body has come.
func cutInside(w http.ResponseWriter, r *http.Request) {
	_, _ = io.CopyN(io.Discard, r.Body, 1<<20)
	cut(w)
}

// silent takes the request and never answers.
func (s *server) silent(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	s.stuck(nil, r)
}

// stuck does not even take the request.
func (s *server) stuck(_ http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.over:
	}
}

// Faults that pass do no harm.
func TestBucketFaultsThatPass(t *testing.T) {
	t.Parallel()
	server := serve(t)
	content := string(bytesOf(2*quickly.part + 7))
	for name, spoil := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"a part is cut off":        times(2, aPart, cutInside),
		"a part is refused":        times(3, aPart, refuse),
		"everything is refused":    times(3, everything, refuse),
		"everything is cut off":    times(2, everything, func(w http.ResponseWriter, _ *http.Request) { cut(w) }),
		"the end is cut off":       times(2, completing, func(w http.ResponseWriter, _ *http.Request) { cut(w) }),
		"the answer to the end is": server.afterwards(completing, cut),
		"the answer to a part is":  server.afterwards(aPart, cut),
		"a part is changed on the way": times(2, aPart, func(w http.ResponseWriter, r *http.Request) {
			r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, 99), &flipped{Reader: r.Body}))
			server.proxy.ServeHTTP(w, r)
		}),
		"it knows no conditions": times(always, func(r *http.Request) bool { return completing(r) && r.Header.Get("If-None-Match") != "" }, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotImplemented)
			_, _ = io.WriteString(w, "<Error><Code>NotImplemented</Code></Error>")
		}),
		"it is done, and not known":    server.afterwards(completing, cut, minio.NoSuchUpload),
		"it is done, and now taken":    server.afterwards(completing, cut, minio.PreconditionFailed),
		"the answer to the end is 503": server.afterwards(completing, func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }),
	} {
		s := server.store()
		server.spoils(spoil)
		if err := put(t, s, file, content); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := get(t, s, file); err != nil || got != content {
			t.Errorf("%s: it has %d bytes, %v", name, len(got), err)
		}
		if err := s.Remove(t.Context(), file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left := server.unfinished(); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
}

// flipped is what is read, with a bit of its first byte changed.
type flipped struct {
	io.Reader
	did bool
}

// Read implements io.Reader.
func (f *flipped) Read(into []byte) (int, error) {
	n, err := f.Reader.Read(into)
	if n > 0 && !f.did {
		into[0] ^= 1
		f.did = true
	}
	return n, err
}

// afterwards has the server do what it is asked, once, and the answer lost. Asked
// again it says these, one after the other.
func (s *server) afterwards(meets func(*http.Request) bool, instead func(http.ResponseWriter), then ...string) func(http.ResponseWriter, *http.Request) bool {
	var did atomic.Bool
	return times(int32(1+len(then)), meets, func(w http.ResponseWriter, r *http.Request) {
		if !did.Swap(true) {
			s.proxy.ServeHTTP(httptest.NewRecorder(), r)
			instead(w)
			return
		}
		w.WriteHeader(http.StatusConflict)
		_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", then[0])
	})
}

// Faults that stay end in one plain sentence, soon, and leave nothing.
func TestBucketFaultsThatStay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		meets    func(*http.Request) bool
		fault    func(*server, http.ResponseWriter, *http.Request)
		id, says string
	}{
		"a part is always cut off":     {aPart, func(_ *server, w http.ResponseWriter, r *http.Request) { cutInside(w, r) }, Unreachable, "cannot be asked"},
		"a part is always refused":     {aPart, func(_ *server, w http.ResponseWriter, r *http.Request) { refuse(w, r) }, Unreachable, "reduce your request rate"},
		"a part is never acknowledged": {aPart, (*server).silent, Unreachable, "has not answered for 1s"},
		"a part is not taken":          {aPart, (*server).stuck, Unreachable, "has not answered for 1s"},
		"the end is never told":        {completing, (*server).silent, Unreachable, "has not answered for 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t)
			s := server.store()
			u, err := s.Create(t.Context(), file)
			if err != nil {
				t.Fatal(err)
			}
			server.spoils(times(always, c.meets, func(w http.ResponseWriter, r *http.Request) { c.fault(server, w, r) }))
			began := time.Now()
			_, err = u.Write(bytesOf(3 * quickly.part))
			if err == nil {
				err = u.Commit()
			}
			isProblem(t, err, c.id, c.says)
			if took := time.Since(began); took > 5*quickly.patience {
				t.Errorf("that took %v", took)
			}
			if again := u.Commit(); again == nil {
				t.Error("and then it is finished")
			}
			server.spoils(nil)
			if err := u.Abort(); err != nil {
				t.Error(err)
			}
			if left := server.unfinished(); len(left) != 0 {
				t.Errorf("left are %v", left)
			}
			if list, err := s.List(t.Context()); err != nil || len(list) != 0 {
				t.Errorf("there are %v, %v", list, err)
			}
		})
	}
}

// Whoever waits can always stop waiting.
func TestBucketInterrupt(t *testing.T) {
	t.Parallel()
	server := serve(t)
	s := server.store()
	s.pace.patience = time.Hour
	if err := put(t, s, file, "text"); err != nil {
		t.Fatal(err)
	}
	server.spoils(times(always, everything, server.silent))
	for name, do := range map[string]func(context.Context) error{
		"Create": func(ctx context.Context) error { _, err := s.Create(ctx, "b"+Extension); return err },
		"Open":   func(ctx context.Context) error { _, _, err := s.Open(ctx, file); return err },
		"List":   func(ctx context.Context) error { _, err := s.List(ctx); return err },
		"Remove": func(ctx context.Context) error { return s.Remove(ctx, file) },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := do(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}

// Storage that says yes and has kept less.
func TestBucketLies(t *testing.T) {
	t.Parallel()
	server := serve(t)
	s := server.store()
	lie := func(r *http.Response) {
		if r.Request.Method == http.MethodHead && r.StatusCode == http.StatusOK {
			r.ContentLength = 3
			r.Header.Set("Content-Length", "3")
		}
	}
	server.alter.Store(&lie)
	isProblem(t, put(t, s, file, "text"), Broken, "it has 3 bytes, of 4 that were sent; it was removed again")
	if _, err := os.Stat(filepath.Join(server.folder, "of/mine", file)); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}

// promise is what comes before the body of an answer.
func promise(w http.ResponseWriter, size int) {
	w.Header().Set("Content-Length", strconv.Itoa(size))
	w.Header().Set("Etag", `"x"`)
	w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
}

// halved is an answer that ends in the middle of what it announced.
func (s *server) halved(w http.ResponseWriter, r *http.Request) {
	whole := httptest.NewRecorder()
	s.proxy.ServeHTTP(whole, r)
	maps.Copy(w.Header(), whole.Header())
	w.WriteHeader(whole.Code)
	_, _ = io.CopyN(w, whole.Body, int64(whole.Body.Len()/2))
	panic(http.ErrAbortHandler)
}

func TestBucketReading(t *testing.T) {
	t.Parallel()
	server := serve(t)
	s := server.store()
	content := string(bytesOf(1 << 20))
	if err := put(t, s, file, content); err != nil {
		t.Fatal(err)
	}
	// Cut short again and again, it goes on where it was.
	server.spoils(times(5, reading, server.halved))
	if got, err := get(t, s, file); err != nil || got != content {
		t.Errorf("of what is cut short it gives %d bytes, %v", len(got), err)
	}
	// In the end it is told.
	began := time.Now()
	server.spoils(times(always, reading, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "" {
			cut(w)
			return
		}
		server.halved(w, r)
	}))
	_, err := get(t, s, file)
	isProblem(t, err, Unreachable, "cannot be asked")
	// It stops in the middle, and does not even say so.
	server.spoils(times(always, reading, func(w http.ResponseWriter, r *http.Request) {
		promise(w, len(content))
		_, _ = io.WriteString(w, content[:1000])
		w.(http.Flusher).Flush()
		server.stuck(w, r)
	}))
	_, err = get(t, s, file)
	if err == nil {
		t.Error("half a file is read as a whole one")
	}
	if took := time.Since(began); took > 10*quickly.patience {
		t.Errorf("that took %v", took)
	}
	// Somebody puts another file there while it is read.
	server.spoils(times(1, reading, func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			server.spoils(nil)
			if err := errors.Join(s.Remove(t.Context(), file), put(t, s, file, string(bytesOf(1<<20)))); err != nil {
				t.Error(err)
			}
		}()
		server.halved(w, r)
	}))
	_, err = get(t, s, file)
	isProblem(t, err, Broken, "something else")
	// The storage does not heed that it is asked for the same one only.
	other := func(r *http.Response) {
		if r.StatusCode == http.StatusPartialContent {
			r.Header.Set("Etag", `"another"`)
		}
	}
	server.alter.Store(&other)
	server.spoils(times(1, reading, server.halved))
	_, err = get(t, s, file)
	isProblem(t, err, Broken, "something else")
}

// A reader that takes its time between two reads is not the other side's silence.
func TestBucketSlowReader(t *testing.T) {
	t.Parallel()
	server := serve(t)
	s := server.store()
	content := bytesOf(8 << 20)
	if err := put(t, s, file, string(content)); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	server.spoils(func(_ http.ResponseWriter, r *http.Request) bool {
		if reading(r) {
			asked.Add(1)
		}
		return false
	})
	from, _, err := s.Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	if _, err := io.CopyN(io.Discard, from, 1000); err != nil {
		t.Fatal(err)
	}
	time.Sleep(quickly.patience * 3 / 2)
	n, err := io.Copy(io.Discard, from)
	if err != nil || n != int64(len(content))-1000 || asked.Load() != 1 {
		t.Errorf("it gives %d bytes, %v, and was asked %d times", n, err, asked.Load())
	}
}

func TestBucketRefusals(t *testing.T) {
	t.Parallel()
	server := serve(t)
	env := func(changes ...string) *bucket { return server.store(changes...) }
	nowhere, err := newBucket("absent", "", func(name string) string { return server.env[name] }, quickly)
	if err != nil {
		t.Fatal(err)
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	encrypted := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(encrypted.Close)
	plain := strings.TrimPrefix(server.env["AWS_ENDPOINT_URL"], "http://")
	for name, c := range map[string]struct {
		store    *bucket
		id, says string
	}{
		"another key":       {env("AWS_ACCESS_KEY_ID=another"), Refused, ""},
		"another secret":    {env("AWS_SECRET_ACCESS_KEY=another"), Refused, ""},
		"another region":    {env("AWS_REGION=eu-west-1"), Malformed, ""},
		"no bucket":         {nowhere, Missing, "has no bucket absent"},
		"nobody there":      {env("AWS_ENDPOINT_URL=" + gone.URL), Unreachable, "nothing listens at 127.0.0.1"},
		"no such name":      {env("AWS_ENDPOINT_URL=http://storage.invalid"), Unreachable, "the name storage.invalid is not known"},
		"TLS of somebody":   {env("AWS_ENDPOINT_URL=" + encrypted.URL), Unreachable, "signed by nobody"},
		"TLS where is none": {env("AWS_ENDPOINT_URL=https://" + plain), Unreachable, "does not speak TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.store.pace.patience = time.Hour // none of it is waited for
			began := time.Now()
			_, err := c.store.List(t.Context())
			isProblem(t, err, c.id, c.says)
			isProblem(t, put(t, c.store, file, "text"), c.id, "")
			_, err = get(t, c.store, file)
			isProblem(t, err, c.id, "")
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("that took %v", took)
			}
		})
	}
}

// A line that is slow is not one that is dead, however long the whole takes.
func TestBucketSlowLine(t *testing.T) {
	t.Parallel()
	server := serve(t)
	s := server.store()
	s.pace.part = 24 << 20 // far more than what waits in the kernel's buffers
	content := string(bytesOf(s.pace.part))
	slowly := func(to io.Writer, from io.Reader, chunk int64) {
		for range time.Tick(s.pace.patience / 10) {
			if n, err := io.CopyN(to, from, chunk); n == 0 || err != nil {
				return
			}
		}
	}
	took := func(what string, do func() error) {
		began := time.Now()
		if err := do(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if took := time.Since(began); took < 2*s.pace.patience {
			t.Errorf("%s took %v, which shows nothing", what, took)
		}
	}
	server.spoils(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		from, to := io.Pipe()
		body := r.Body
		go func() {
			slowly(to, body, 1<<20)
			_ = to.Close()
		}()
		r.Body = from
		return false
	})
	took("writing", func() error { return put(t, s, file, content) })
	server.spoils(func(w http.ResponseWriter, r *http.Request) bool {
		if !reading(r) {
			return false
		}
		promise(w, len(content))
		slowly(w, strings.NewReader(content), 1<<20)
		return true
	})
	took("reading", func() error {
		got, err := get(t, s, file)
		if err == nil && got != content {
			err = errors.New("it is something else")
		}
		return err
	})
}
