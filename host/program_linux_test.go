package host

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
)

// fake puts shell scripts before the machine's programs, by name. Each may
// write what it was called with to $CALLS; calls gives that back.
func fake(t *testing.T, scripts map[string]string) (calls func() string) {
	t.Helper()
	folder := t.TempDir()
	for name, script := range scripts {
		must(t, os.WriteFile(filepath.Join(folder, name), []byte("#!/bin/sh\n"+script), 0o755))
	}
	path := filepath.Join(folder, "calls")
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
	t.Setenv("CALLS", path)
	return func() string {
		text, _ := os.ReadFile(path)
		return string(text)
	}
}

// heard is a say, and what it was told.
func heard() (say, func() string) {
	var all []string
	return func(detail string) { all = append(all, detail) }, func() string { return strings.Join(all, "\n") }
}

func TestAptInstalls(t *testing.T) {
	calls := fake(t, map[string]string{"apt-get": `
		echo "$DEBIAN_FRONTEND $*" >>"$CALLS"
		echo "Reading package lists..."
		printf 'Waiting for cache lock: held by process 7\rSetting up docker.io (1) ...\n'
	`})
	say, said := heard()
	must(t, install(t.Context(), say))
	for _, part := range []string{"noninteractive install -y --no-install-recommends --no-remove docker.io", "DPkg::Lock::Timeout="} {
		if !strings.Contains(calls(), part) {
			t.Errorf("it calls %q, without %q", calls(), part)
		}
	}
	if want := "Waiting for cache lock: held by process 7\nSetting up docker.io (1) ..."; said() != want {
		t.Errorf("it says %q, want %q", said(), want)
	}
}

func TestAptFails(t *testing.T) {
	fake(t, map[string]string{"apt-get": `
		echo "E: Unable to locate package docker.io" >&2
		echo "E: and more"
		exit 100
	`})
	err := install(t.Context(), func(string) {})
	wants(t, err, "engine-install", "docker.io could not be installed: Unable to locate package docker.io", "mend what apt-get says")
	var output Output
	if !errors.As(err, &output) || len(output.Lines) != 2 {
		t.Errorf("its last lines are %+v", output)
	}
}

// A daemon that a package starts keeps apt's output open.
func TestAptLeavesADaemon(t *testing.T) {
	fake(t, map[string]string{"apt-get": `
		sleep 600 &
		echo $! >"$CALLS"
	`})
	must(t, install(t.Context(), func(string) {}))
	text, err := os.ReadFile(os.Getenv("CALLS"))
	must(t, err)
	_, pid := parsePid(text)
	must(t, syscall.Kill(pid, syscall.SIGKILL))
}

// Interrupted, apt ends what it is at.
func TestAptInterrupted(t *testing.T) {
	calls := fake(t, map[string]string{"apt-get": `
		trap 'echo finished >>"$CALLS"; exit 130' INT
		echo "Setting up one"
		while :; do sleep 0.01; done
	`})
	ctx, cancel := context.WithCancel(t.Context())
	if err := install(ctx, func(string) { cancel() }); err == nil {
		t.Error("an interrupted installation ends well")
	}
	if calls() != "finished\n" {
		t.Errorf("apt did not get to finish: %q", calls())
	}
}

func TestParseCandidate(t *testing.T) {
	for text, want := range map[string]bool{
		"docker.io:\n  Installed: (none)\n  Candidate: 20.10.24+dfsg1\n  Version table:\n": true,
		"docker.io:\n  Installed: (none)\n  Candidate: (none)\n":                           false,
		"": false,
	} {
		if parseCandidate([]byte(text)) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func FuzzParseCandidate(f *testing.F) {
	f.Add([]byte("  Candidate: 1\n"))
	f.Fuzz(func(t *testing.T, text []byte) { parseCandidate(text) })
}

func TestAwaitLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	must(t, awaitLock(t.Context(), path, func(string) { t.Error("it waits for a lock nobody made") }))
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, awaitLock(t.Context(), path, func(string) { t.Error("it waits for a lock nobody holds") }))

	// A lock of the open file is another's, even in this process.
	const lockOfOpenFile = 37 // F_OFD_SETLK
	holder, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	must(t, syscall.FcntlFlock(holder.Fd(), lockOfOpenFile, &syscall.Flock_t{Type: syscall.F_WRLCK}))
	waits := 0
	must(t, awaitLock(t.Context(), path, func(string) {
		waits++
		must(t, holder.Close())
	}))
	if waits != 1 {
		t.Errorf("it says %d times that it waits", waits)
	}
}

func TestStartUnit(t *testing.T) {
	calls := fake(t, map[string]string{"systemctl": `echo "$*" >>"$CALLS"`})
	m := machine{endpoint: serve(t, anEngine()), limit: time.Minute, report: progress.Discard}
	must(t, m.startUnit(t.Context(), func(string) {}))
	if want := "reset-failed docker.service docker.socket\nstart docker.service\n"; calls() != want {
		t.Errorf("it calls %q, want %q", calls(), want)
	}
}

func TestStartUnitFails(t *testing.T) {
	fake(t, map[string]string{
		"systemctl":  `[ "$1" != start ]`,
		"journalctl": `echo "failed to start daemon: no space left on device"`,
	})
	m := machine{endpoint: Endpoint{Host: DefaultSocket}, limit: time.Minute}
	wants(t, m.startUnit(t.Context(), func(string) {}), "engine-start", "docker.service does not start: failed to start daemon: no space", "make room")

	// One that starts, and then does not answer, is not started again.
	fake(t, map[string]string{"systemctl": "", "journalctl": ""})
	m = machine{endpoint: serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })), limit: 50 * time.Millisecond}
	if err := m.startUnit(t.Context(), func(string) {}); !errors.Is(err, errSlow) {
		t.Errorf("the error is %v", err)
	}
}

func TestTail(t *testing.T) {
	long := strings.Repeat("x", 2*lineBytes)
	cases := []struct{ text, want string }{
		{"", ""},
		{"one\n\n two \r\nthree", "one|two|three"},
		{"real\nlevel=info msg=\"[core] Channel\" module=grpc\n", "real"},
		{strings.Repeat("old\n", 3*tailLines) + "new", strings.Repeat("old|", tailLines-1) + "new"},
		{long, long[:lineBytes]},
		{"a\xffb", "a?b"},
	}
	for _, c := range cases {
		if got := strings.Join(tail([]byte(c.text)), "|"); got != c.want {
			t.Errorf("%.40q: %q, want %q", c.text, got, c.want)
		}
	}
}

func FuzzTail(f *testing.F) {
	f.Add([]byte("one\ntwo\r\n\xff"))
	f.Fuzz(func(t *testing.T, text []byte) {
		lines := tail(text)
		if len(lines) > tailLines || strings.ContainsAny(strings.Join(lines, ""), "\r\n") {
			t.Errorf("%q", lines)
		}
	})
}

func TestReadLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	if lines := readLog(path, 0); lines != nil {
		t.Errorf("of no file: %q", lines)
	}
	early := strings.Repeat("early\n", tailBytes)
	must(t, os.WriteFile(path, []byte(early+"late\n"), 0o600))
	if got := strings.Join(readLog(path, int64(len(early))), "|"); got != "late" {
		t.Errorf("of this start: %q", got)
	}
	if lines := readLog(path, 0); len(lines) != tailLines || last(lines) != "late" {
		t.Errorf("of all: %q", lines)
	}
}

func TestRemedy(t *testing.T) {
	for line, want := range map[string]string{
		"failed to start daemon: Devices cgroup isn't mounted":                                  "cgroupfs-mount",
		"failed to start daemon: Error initializing network controller: iptables not permitted": "set DOCKER_HOST",
		"write /var/lib/docker/x: no space left on device":                                      "make room",
		"unable to configure the Docker daemon with file /etc/docker/daemon.json: invalid":      "configuration file",
		"something else": "last lines",
		"":               "last lines",
	} {
		if got := remedy(line); !strings.Contains(got, want) {
			t.Errorf("%q: %q, want …%s…", line, got, want)
		}
	}
}

// A log that has grown too long is put aside, and a daemon that cannot even be
// run is an error.
func TestStartDaemonAfterALongLog(t *testing.T) {
	t.Parallel()
	daemon := Daemon{Config: "/nowhere/daemon.json", Log: filepath.Join(t.TempDir(), "dockerd.log")}
	must(t, os.WriteFile(daemon.Log, []byte("old\n"), 0o600))
	must(t, os.Truncate(daemon.Log, logLimit+1))
	m := machine{endpoint: Endpoint{Host: "unix:///nowhere/docker.sock"}, daemon: daemon, limit: time.Minute}
	wants(t, m.startDaemon(t.Context(), "/bin/false", func(string) {}), "engine-start", "dockerd ended before it answered (exit status 1)", "")
	if info, err := os.Stat(daemon.Log + ".1"); err != nil || info.Size() != logLimit+1 {
		t.Errorf("the old log: %v, %v", info, err)
	}
	err := m.startDaemon(t.Context(), "/nowhere/dockerd", func(string) {})
	if err == nil || len(problem.In(err)) != 1 || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("of a program that is not there: %v", err)
	}
}
