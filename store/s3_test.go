package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/problem"
)

// quickly is a pace at which a test sees in a second what takes minutes otherwise.
var quickly = pace{patience: time.Second, pause: 10 * time.Millisecond, grace: time.Second, part: 5 << 20, parts: 4, abandoned: time.Hour}

// gateway is where the S3 server is.
var gateway = sync.OnceValues(func() (string, error) {
	path, err := exec.Command("./needs", "where").Output()
	if exit, is := errors.AsType[*exec.ExitError](err); is {
		err = errors.New(string(exit.Stderr))
	}
	return strings.TrimSpace(string(path)), err
})

// server is a real S3 server with one bucket, and what is between it and us.
type server struct {
	t testing.TB
	// folder is the bucket's own.
	folder string
	env    map[string]string
	proxy  http.Handler
	// over is closed when what still waits need not any more.
	over chan struct{}
	// spoil may answer a request itself.
	spoil atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
	// alter may change an answer.
	alter atomic.Pointer[func(*http.Response)]
}

func serve(t testing.TB) *server {
	t.Helper()
	program, err := gateway()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, folder := range []string{"data/backups", "about"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(dir, "s")
	command := exec.Command(program, "--port", socket, "--access", "somebody", "--secret", "their secret", "--keep-alive", "--quiet",
		"posix", "--sidecar", filepath.Join(dir, "about"), filepath.Join(dir, "data"))
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // should the tests be killed
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		conn, err := dial(t.Context(), "", "")
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("the S3 server does not listen: %v\n%s", err, said.String())
		}
	}
	s := &server{t: t, over: make(chan struct{}), folder: filepath.Join(dir, "data/backups")}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "gateway"})
			r.Out.Host = r.In.Host // it is signed
		},
		Transport: &http.Transport{DialContext: dial},
		ModifyResponse: func(r *http.Response) error {
			if alter := s.alter.Load(); alter != nil {
				(*alter)(r)
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) },
	}
	s.proxy = proxy
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if spoil := s.spoil.Load(); spoil != nil && (*spoil)(w, r) {
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		close(s.over)
		front.Close()
	})
	s.env = map[string]string{"AWS_ENDPOINT_URL": front.URL, "AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "their secret", "AWS_REGION": "us-east-1"}
	return s
}

// store is the bucket, with some of the environment changed: NAME=VALUE.
func (s *server) store(changes ...string) *bucket {
	s.t.Helper()
	env := maps.Clone(s.env)
	for _, change := range changes {
		name, value, _ := strings.Cut(change, "=")
		env[name] = value
	}
	b, err := newBucket("backups", "of/mine/", func(name string) string { return env[name] }, quickly)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// spoils has some requests answered by this, until it is called with nil.
func (s *server) spoils(with func(http.ResponseWriter, *http.Request) bool) {
	if with == nil {
		s.spoil.Store(nil)
		return
	}
	s.spoil.Store(&with)
}

// unfinished are the uploads that the server has parts of.
func (s *server) unfinished() []string {
	s.t.Helper()
	var found []string
	for one := range s.store().core.Client.ListIncompleteUploads(s.t.Context(), "backups", "", true) {
		if one.Err != nil {
			s.t.Fatal(one.Err)
		}
		found = append(found, one.Key)
	}
	return found
}

// isProblem checks that an error is a problem of this ID that says this.
func isProblem(t testing.TB, err error, id, says string) {
	t.Helper()
	p, is := errors.AsType[problem.Problem](err)
	if !is || p.ID != id || !strings.Contains(p.What, says) || p.Where == "" || p.Fix == "" {
		t.Errorf("%#v (%v), want %s: … %s …", p, err, id, says)
	}
}

// bytesOf is some content of a size.
func bytesOf(size int) []byte {
	content := make([]byte, size)
	_, _ = rand.Read(content)
	return content
}

const file = "a" + Extension

func TestBucket(t *testing.T) {
	t.Parallel()
	server := serve(t)
	s := server.store()
	if s.String() != "s3://backups/of/mine/" {
		t.Error(s)
	}
	if list, err := s.List(t.Context()); err != nil || len(list) != 0 {
		t.Fatalf("%v, %v", list, err)
	}
	for _, size := range []int{0, 1, quickly.part, quickly.part + 1, 3*quickly.part + 7} {
		content := string(bytesOf(size))
		if err := put(t, s, file, content); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if got, err := get(t, s, file); err != nil || got != content {
			t.Errorf("of %d bytes it gives %d, %v", size, len(got), err)
		}
		list, err := s.List(t.Context())
		if err != nil || len(list) != 1 || list[0].Name != file || list[0].Size != int64(size) || time.Since(list[0].Modified).Abs() > time.Minute {
			t.Errorf("%v, %v", list, err)
		}
		isProblem(t, put(t, s, file, "other"), Exists, "already")
		if err := s.Remove(t.Context(), file); err != nil {
			t.Fatal(err)
		}
	}
	isProblem(t, put(t, s, file, string(bytesOf(4*quickly.part+1))), Full, "more than 20971520 bytes")
	isProblem(t, put(t, s, "mine", ""), Malformed, "ends in")
	isProblem(t, put(t, s, "../"+file, ""), Malformed, "no name")
	isProblem(t, s.Remove(t.Context(), file), Missing, "not there")
	_, err := get(t, s, file)
	isProblem(t, err, Missing, "not there")
	if left := server.unfinished(); len(left) != 0 {
		t.Errorf("parts are left: %v", left)
	}
}

// What is not ours is not listed, and what is comes newest first.
func TestBucketList(t *testing.T) {
	t.Parallel()
	server := serve(t)
	s := server.store()
	for _, name := range []string{"b" + Extension, "a" + Extension} {
		if err := put(t, s, name, name); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"of/mine/readme.txt", "of/mine/deeper/c" + Extension, "of/d" + Extension} {
		path := filepath.Join(server.folder, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(server.folder, "of/mine/a"+Extension), old, old); err != nil {
		t.Fatal(err)
	}
	list, err := s.List(t.Context())
	if err != nil || len(list) != 2 || list[0].Name != "b"+Extension || list[1].Name != "a"+Extension {
		t.Errorf("%v, %v", list, err)
	}
}

// Nothing is seen before Commit, and nothing is left after Abort, whatever was why.
func TestBucketAbort(t *testing.T) {
	t.Parallel()
	server := serve(t)
	s := server.store()
	for name, end := range map[string]func(context.CancelFunc){
		"as it is": func(context.CancelFunc) {}, "after an interrupt": func(cancel context.CancelFunc) { cancel() },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		u, err := s.Create(ctx, file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.Write(bytesOf(2*quickly.part + 1)); err != nil {
			t.Fatal(err)
		}
		if left := server.unfinished(); len(left) != 1 {
			t.Errorf("%s: under way are %v", name, left)
		}
		if _, err := s.stat(t.Context(), "of/mine/"+file); !missing(err) {
			t.Errorf("%s: it is seen already: %v", name, err)
		}
		end(cancel)
		for range 2 {
			if err := u.Abort(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		cancel()
		if left := server.unfinished(); len(left) != 0 {
			t.Errorf("%s: left are %v", name, left)
		}
		if err := u.Commit(); err == nil {
			t.Errorf("%s: what was given up is finished", name)
		}
	}
}

// Two who take one name at once: one of them is told.
func TestBucketNameTakenMeanwhile(t *testing.T) {
	t.Parallel()
	server := serve(t)
	s := server.store()
	var ups [2]Upload
	for i := range ups {
		u, err := s.Create(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(u, []string{"first", "second"}[i]); err != nil {
			t.Fatal(err)
		}
		ups[i] = u
	}
	if err := ups[0].Commit(); err != nil {
		t.Fatal(err)
	}
	isProblem(t, ups[1].Commit(), Exists, "already")
	if err := ups[1].Abort(); err != nil {
		t.Error(err)
	}
	if got, err := get(t, s, file); err != nil || got != "first" {
		t.Errorf("it has %q, %v", got, err)
	}
	if left := server.unfinished(); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
}

// A process that is killed leaves parts that nobody sees and somebody pays for.
func TestBucketAbandonedUploads(t *testing.T) {
	t.Parallel()
	server := serve(t)
	s := server.store()
	killed, err := s.Create(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := killed.Write(bytesOf(2 * quickly.part)); err != nil {
		t.Fatal(err)
	}
	if _, err := killed.(*upload).await(); err != nil {
		t.Fatal(err)
	}
	if err := put(t, s, "b"+Extension, "b"); err != nil {
		t.Fatal(err)
	}
	if left := server.unfinished(); !slices.Equal(left, []string{"of/mine/" + file}) {
		t.Errorf("of a young one there is %v", left)
	}
	s.pace.abandoned = 0
	if err := put(t, s, "c"+Extension, "c"); err != nil {
		t.Fatal(err)
	}
	if left := server.unfinished(); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
	_ = killed.Abort()
}
