package modelinit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
	"github.com/inmanta/inmanta-docker/sidecar/process"
)

// jobFor is a job whose log is read back, of a container's folders in a
// temporary one.
func jobFor(t *testing.T, api string) (*job, *strings.Builder) {
	t.Helper()
	log := &strings.Builder{}
	return &job{config: Config{Places: places(t), API: api, Patience: 5 * time.Second}, log: newNarrator(log, "hunter22"), children: &process.Nursery{}}, log
}

// server is an orchestrator that answers with these statuses, the last for good.
func server(t *testing.T, statuses ...int) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := statuses[0]
		if len(statuses) > 1 {
			statuses = statuses[1:]
		}
		w.WriteHeader(status)
		fmt.Fprint(w, `{"data": [{"id": "a", "name": "x"}, {"id": "b"}]}`)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestWaitsUntilItServes(t *testing.T) {
	t.Parallel()
	j, log := jobFor(t, server(t, 503, 500, 200))
	if err := j.waitServing(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "status 503") || !strings.Contains(log.String(), "status 500") {
		t.Errorf("the log is\n%s", log)
	}
	if ids, known := j.environments(t.Context()); !known || !slices.Equal(ids, []string{"a", "b"}) {
		t.Errorf("the environments are %v, %v", ids, known)
	}
	j, _ = jobFor(t, server(t, 401))
	if err := j.waitServing(t.Context()); err != nil {
		t.Errorf("one that wants a login: %v", err)
	}
	if ids, known := j.environments(t.Context()); known {
		t.Errorf("one that wants a login has %v", ids)
	}
}

func TestOneThatDoesNotServe(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for api, says := range map[string]string{
		"127.0.0.1:1":               "connection refused",
		"nowhere.invalid:8888":      "there is no such host",
		silent.Addr().String():      "does not answer",
		server(t, 500):              "status 500",
		"127.0.0.1:not-a-port-name": "nothing accepts connections",
	} {
		j, _ := jobFor(t, api)
		j.config.Patience = 700 * time.Millisecond
		f := explained(t.Context(), j.waitServing(t.Context()))
		if f.code != initrecord.CodeOrchestrator || api != silent.Addr().String() && !strings.Contains(f.what, says) {
			t.Errorf("%s is told as %d, %q", api, f.code, f.what)
		}
	}
}

func TestMadeEnvironments(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		earlier, before, after []string
		want                   string
	}{
		{nil, nil, []string{"a"}, "a"},
		{nil, []string{"a"}, []string{"a", "b"}, "b"},
		{[]string{"a"}, []string{"a", "x"}, []string{"a", "x"}, "a"},
		{[]string{"gone"}, nil, nil, ""},
		{nil, []string{"named"}, []string{"named"}, "named"},
	} {
		if got := strings.Join(made(c.earlier, c.before, c.after, "named"), " "); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestOneRunAtATime(t *testing.T) {
	t.Parallel()
	j, _ := jobFor(t, "")
	release, err := j.lock()
	if err != nil {
		t.Fatal(err)
	}
	_, err = j.lock()
	if f := explained(t.Context(), err); f.code != initrecord.CodeLocked || !strings.Contains(f.what, "since 20") {
		t.Errorf("a second run is told %d, %q", f.code, f.what)
	}
	release()
	if release, err = j.lock(); err != nil {
		t.Fatalf("after the end of the first: %v", err)
	}
	release()
	// A link that a session planted there leads nowhere.
	os.Remove(filepath.Join(j.config.Places.State, lockFile))
	if err := os.Symlink(filepath.Join(j.config.Places.Folder, "victim"), filepath.Join(j.config.Places.State, lockFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := j.lock(); err == nil {
		t.Error("the lock follows a link")
	}
}

// What a run left does not stand in the way of the next, whatever its tests made
// of it.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	j, _ := jobFor(t, "")
	cache := filepath.Join(j.config.work(), "home", "cache")
	write(t, filepath.Join(cache, "module", "file"), "")
	for _, folder := range []string{filepath.Join(cache, "module"), cache} {
		if err := os.Chmod(folder, 0o500); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(cache, 0); err != nil {
		t.Fatal(err)
	}
	openFolders(j.config.work())
	for _, folder := range []string{filepath.Join(cache, "module"), cache} {
		if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s stays closed: %v, %v", folder, info, err)
		}
	}
	if err := j.clear(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cache); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

func TestRecordsAreWholeAndWithoutSecrets(t *testing.T) {
	t.Parallel()
	j, log := jobFor(t, "")
	if r := j.lastRun(); r.Result != "" {
		t.Errorf("before the first run: %+v", r)
	}
	want := initrecord.Record{Fingerprint: "f", Result: initrecord.ResultFailed, Code: initrecord.CodeIndex, Problem: "hunter22 was refused", Arguments: []string{"tests"}}
	if err := j.keep(want); err != nil {
		t.Fatal(err)
	}
	got := j.lastRun()
	if got.Problem != hidden+" was refused" || got.Code != want.Code || got.Fingerprint != "f" {
		t.Errorf("kept is %+v", got)
	}
	write(t, filepath.Join(j.config.Places.Folder, initrecord.File), "{ damaged")
	if r := j.lastRun(); r.Result != "" {
		t.Errorf("of a damaged record: %+v", r)
	}
	j.log.output("the token is hunter22\x1b[31m \xff <b>")
	j.log.output(strings.Repeat("ä", longestDetail))
	for line := range strings.Lines(log.String()) {
		var e initrecord.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil || strings.Contains(line, "hunter22") || len(line) > longestDetail+300 {
			t.Errorf("%.200s: %v", line, err)
		}
	}
}

// What a program prints is read to its end, what it leaves behind is ended, and
// what does not end is told to.
func TestPrograms(t *testing.T) {
	t.Parallel()
	j, _ := jobFor(t, "")
	sh := func(script string) program {
		return program{path: "/bin/sh", args: []string{"sh", "-c", script}, environment: []string{"PATH=/usr/bin:/bin"}}
	}
	began := time.Now()
	lines, err := j.run(t.Context(), sh("echo out; echo err >&2; sleep 1000 & exit 3"))
	if code, ran := exitCode(err); code != 3 || !ran || !slices.Equal(lines, []string{"out", "err"}) {
		t.Errorf("%q, %v", lines, err)
	}
	if took := time.Since(began); took >= farewell {
		t.Errorf("what it left behind was waited for, %s", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began = time.Now()
	if _, err := j.run(ctx, sh("trap 'echo bye; exit 0' TERM; sleep 1000 & wait")); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > farewell {
		t.Errorf("one that does not end: %v after %s", err, time.Since(began))
	}
	if _, err := j.run(t.Context(), program{path: "/nowhere", args: []string{"x"}}); err == nil {
		t.Error("what is not there has run")
	} else if _, ran := exitCode(err); ran {
		t.Errorf("what is not there has ended: %v", err)
	}
}

func TestFailuresAreTold(t *testing.T) {
	t.Parallel()
	j, log := jobFor(t, "")
	j.log.begin(initrecord.PhaseInstall, "")
	if code := j.failed(t.Context(), fmt.Errorf("writing: %w", syscall.ENOSPC)); code != initrecord.CodeDiskFull {
		t.Errorf("a full disk is %d", code)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if code := j.failed(stopped, errors.New("x")); code != initrecord.CodeStopped {
		t.Errorf("a run that is stopped is %d", code)
	}
	if code := j.failed(t.Context(), errors.New("boom")); code != initrecord.CodeUnexpected {
		t.Errorf("the unexpected is %d", code)
	}
	if text := log.String(); strings.Count(text, `"event":"problem"`) != 3 || strings.Count(text, `"fix":`) != 3 || !strings.Contains(text, `"state":"failed"`) {
		t.Errorf("the log is\n%s", text)
	}
}
