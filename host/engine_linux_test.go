package host

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/progress"
)

// An engine whose every process was killed with -9 starts again from what they
// left, and brings its containers back: within one boot, and after a boot that
// kept /run, where the process ids in there may be other processes'.
func TestComesBackAfterKill(t *testing.T) {
	t.Parallel()
	m, inside := own(t)
	if !inside {
		m.build(t, "./testdata/server", "server")
		m.build(t, "../cmd/host-engine", "host-engine")
		m.run(t, "first boot")
		m.run(t, "second boot")
		return
	}
	if m.phase == "second boot" {
		if file := readPidFile(Installed().PidFile); file.pid == 0 {
			t.Fatal("the first boot left no pid file")
		}
		start(t)
		answersAsContainer(t)
		return
	}

	start(t)
	daemon := readPidFile(Installed().PidFile).process
	if daemon.parent != 1 || session(t, daemon.pid) != daemon.pid {
		t.Errorf("dockerd is no daemon of its own: parent %d, session %d", daemon.parent, session(t, daemon.pid))
	}
	runContainer(t)
	answersAsContainer(t)

	killAll(t)
	for _, path := range []string{Installed().PidFile, Installed().ContainerdPidFile()} {
		if file := readPidFile(path); file.process.state != 'Z' {
			t.Errorf("%s: %s, want a zombie", path, file.names())
		}
	}
	start(t)
	answersAsContainer(t)

	kill(t, livingAs(t, "dockerd")...)
	if len(livingAs(t, "server")) != 1 {
		t.Error("the container did not outlive its dockerd")
	}
	start(t)
	// dockerd stops the containers that outlived another one, takes that for
	// its user's wish, and so leaves those "unless-stopped" down: seen on
	// 20.10, and so in the sources of today. They start as any other.
	engine(t, "/containers/kept/start", "application/json", nil)
	answersAsContainer(t)
	if count := len(livingAs(t, "server")); count != 1 {
		t.Errorf("%d containers run, want the one", count)
	}
}

// start runs the command, which must name the engine and leave it running.
func start(t *testing.T) {
	t.Helper()
	stdout, stderr, err := hostEngine(t, 0)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	if !strings.HasPrefix(stdout, "Docker Engine ") || !strings.Contains(stdout, " answers at "+DefaultSocket) {
		t.Errorf("it says %q", stdout)
	}
}

// Each of these files makes dockerd itself refuse to start, or wait in vain.
func TestStaleFiles(t *testing.T) {
	t.Parallel()
	m, inside := own(t)
	if !inside {
		m.run(t, "stale files")
		return
	}
	daemon := Installed()
	ensured(t)
	plant := func(t *testing.T, path string, content any) {
		t.Helper()
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(fmt.Sprint(content)), 0o644))
	}
	cases := []struct {
		name string
		// plant leaves something, and returns what must be said of it.
		plant func(t *testing.T) []string
		// survives is a process no engine may end.
		survives process
	}{
		{name: "a foreign process", survives: sleeper(t)},
		{name: "zombies", plant: func(t *testing.T) []string {
			plant(t, daemon.PidFile, zombie(t).pid)
			plant(t, daemon.ContainerdPidFile(), zombie(t).pid)
			return []string{"docker.pid: Removed: it names process", "containerd.pid: Removed: it names process", "a zombie"}
		}},
		{name: "no number", plant: func(t *testing.T) []string {
			plant(t, daemon.PidFile, "")
			plant(t, daemon.ContainerdPidFile(), "gone fishing\n")
			return []string{"docker.pid: Removed: it is empty", `containerd.pid: Removed: it holds "gone fishing", which is no process id`}
		}},
		{name: "its containerd", plant: func(t *testing.T) []string {
			orphan := containerd(t)
			plant(t, daemon.ContainerdPidFile(), orphan.pid)
			return []string{fmt.Sprintf("process %d (containerd): Stopped", orphan.pid), "containerd.pid: Removed"}
		}},
		{name: "its containerd without a pid file", plant: func(t *testing.T) []string {
			orphan := containerd(t)
			must(t, os.Remove(daemon.ContainerdPidFile()))
			return []string{fmt.Sprintf("process %d (containerd): Stopped", orphan.pid)}
		}},
		{name: "the socket of a containerd that is gone", plant: func(t *testing.T) []string {
			must(t, os.MkdirAll(filepath.Dir(daemon.SystemContainerd), 0o755))
			listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: daemon.SystemContainerd})
			must(t, err)
			listener.SetUnlinkOnClose(false)
			must(t, listener.Close())
			return []string{"containerd.sock: Removed: no containerd listens on it"}
		}},
		{name: "a file where the socket belongs", plant: func(t *testing.T) []string {
			must(t, os.Remove(ownEndpoint.Socket()))
			plant(t, ownEndpoint.Socket(), "")
			return nil
		}},
	}
	cases[0].plant = func(t *testing.T) []string {
		plant(t, daemon.PidFile, cases[0].survives.pid)
		plant(t, daemon.ContainerdPidFile(), cases[0].survives.pid)
		return []string{"docker.pid: Removed: its daemon is gone, and it now names process " + strconv.Itoa(cases[0].survives.pid) + " (sleep)", "containerd.pid: Removed"}
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			kill(t, append(livingAs(t, "dockerd"), livingAs(t, "containerd")...)...)
			want := c.plant(t)
			said := ensured(t)
			for _, part := range want {
				if !strings.Contains(said, part) {
					t.Errorf("nothing is said of %q:\n%s", part, said)
				}
			}
			if c.survives.pid != 0 && c.survives.gone() {
				t.Errorf("%s was ended", c.survives)
			}
		})
	}
}

// containerd starts what a killed dockerd can leave: the containerd of its own,
// alive and reachable.
func containerd(t *testing.T) process {
	t.Helper()
	command := exec.Command(program("containerd"), "--config", Installed().containerdConfig())
	must(t, command.Start())
	go func() { _ = command.Wait() }()
	socket := filepath.Join(Installed().ExecRoot, "containerd", "containerd.sock")
	must(t, until(t.Context(), func() bool { return listens(socket) == answers }))
	p, err := readProcess(command.Process.Pid)
	must(t, err)
	return p
}

// A daemon that cannot start is told by its own last words, and at once.
func TestShowsTheLastLines(t *testing.T) {
	t.Parallel()
	m, inside := own(t)
	if !inside {
		m.configure(t, `{"no-such-directive": true}`)
		m.build(t, "../cmd/host-engine", "host-engine")
		m.run(t, "bad configuration")
		return
	}
	must(t, os.WriteFile(Installed().Log, []byte("a line of an earlier start\n"), 0o644))
	report, said := record(t)
	_, err := Ensure(t.Context(), ownEndpoint, Installed(), report)
	var output Output
	if !errors.As(err, &output) || !strings.Contains(strings.Join(output.Lines, "\n"), "no-such-directive") {
		t.Fatalf("the daemon's last lines are not in %#v\n%s", err, said())
	}
	if strings.Contains(strings.Join(output.Lines, "\n"), "an earlier start") {
		t.Errorf("lines of another start: %q", output.Lines)
	}
	wants(t, err, "engine-start", "dockerd ended before it answered (exit status 1): ", "mend the daemon's configuration file")

	stdout, stderr, err := hostEngine(t, 0)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || stdout != "" {
		t.Errorf("it ended with %v and wrote %q", err, stdout)
	}
	if !strings.Contains(stderr, "Last lines of /var/log/dockerd.log") || !strings.Contains(stderr, "no-such-directive") {
		t.Errorf("the last lines are not shown:\n%s", stderr)
	}
}

// A daemon that lives is never ended nor started a second time: one that does
// not answer is waited for, and then named.
func TestLiveDaemonIsWaitedFor(t *testing.T) {
	t.Parallel()
	m, inside := own(t)
	if !inside {
		m.run(t, "live daemon")
		return
	}

	// Many at once, on a machine where nothing runs yet.
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if _, err := Ensure(t.Context(), ownEndpoint, Installed(), progress.Discard); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	daemons := livingAs(t, "dockerd")
	if len(daemons) != 1 {
		t.Fatalf("%d daemons run, want one", len(daemons))
	}

	must(t, syscall.Kill(daemons[0].pid, syscall.SIGSTOP))
	report, said := record(t)
	frozen := machine{endpoint: ownEndpoint, daemon: Installed(), report: report, limit: 100 * time.Millisecond}
	_, err := frozen.ensure(t.Context())
	wants(t, err, "engine-silent", fmt.Sprintf("process %d (dockerd, stopped by a signal)", daemons[0].pid), fmt.Sprintf("kill -CONT %d", daemons[0].pid))

	// Its pid file is lost: its containerd still tells whose it is.
	must(t, os.Remove(Installed().PidFile))
	_, err = frozen.ensure(t.Context())
	wants(t, err, "engine-silent", fmt.Sprintf("process %d ", daemons[0].pid), "kill -CONT")

	must(t, syscall.Kill(daemons[0].pid, syscall.SIGCONT))
	ensured(t)
	if now := livingAs(t, "dockerd"); len(now) != 1 || now[0].pid != daemons[0].pid {
		t.Errorf("%v run, want the first", now)
	}
	if strings.Contains(said(), "Removed") {
		t.Error("something of a live daemon was removed")
	}

	// One that someone else has just started.
	kill(t, append(livingAs(t, "dockerd"), livingAs(t, "containerd")...)...)
	_ = os.Remove(Installed().PidFile)
	_ = os.Remove(Installed().ContainerdPidFile())
	other := exec.Command(program("dockerd"), "--config-file", Installed().Config)
	log, err := os.Create("/run/other.log")
	must(t, err)
	other.Env, other.Stderr = environment(), log
	must(t, other.Start())
	go func() { _ = other.Wait() }()
	must(t, until(t.Context(), func() bool { return readPidFile(Installed().PidFile).pid == other.Process.Pid }))
	ensured(t)
	if now := livingAs(t, "dockerd"); len(now) != 1 || now[0].pid != other.Process.Pid {
		t.Errorf("%v run, want the one that was starting, which said:\n%s", now, strings.Join(readLog(log.Name(), 0), "\n"))
	}
}

// Whoever may not start an engine is told what to do instead.
func TestUserWithoutRights(t *testing.T) {
	t.Parallel()
	m, inside := own(t)
	if !inside {
		m.build(t, "../cmd/host-engine", "host-engine")
		m.run(t, "a user without rights")
		return
	}
	const nobody = 65534
	if _, stderr, err := hostEngine(t, nobody); err == nil || !strings.Contains(stderr, "only root can start one") {
		t.Errorf("%v\n%s", err, stderr)
	}
	ensured(t)
	if _, stderr, err := hostEngine(t, nobody); err == nil || !strings.Contains(stderr, "this user may not speak to it") {
		t.Errorf("%v\n%s", err, stderr)
	}
}

// What daemon.json moves is found where it is.
func TestMovedDaemon(t *testing.T) {
	t.Parallel()
	m, inside := own(t)
	if !inside {
		m.run(t, "moved daemon")
		return
	}
	text, err := os.ReadFile(Installed().Config)
	must(t, err)
	var config map[string]any
	must(t, json.Unmarshal(text, &config))
	config["pidfile"], config["exec-root"] = "/run/moved/docker.pid", "/run/moved/exec"
	config["hosts"] = []string{"unix:///run/moved/docker.sock"}
	text, err = json.Marshal(config)
	must(t, err)
	m.configure(t, string(text))

	report, _ := record(t)
	_, err = Ensure(t.Context(), ownEndpoint, Installed(), report)
	wants(t, err, "engine-elsewhere", "listen on unix:///run/moved/docker.sock", "set DOCKER_HOST")

	must(t, os.MkdirAll("/run/moved/exec/containerd", 0o755))
	foreign := []byte(strconv.Itoa(sleeper(t).pid))
	must(t, os.WriteFile("/run/moved/docker.pid", foreign, 0o644))
	must(t, os.WriteFile("/run/moved/exec/containerd/containerd.pid", foreign, 0o644))
	moved := Endpoint{Host: "unix:///run/moved/docker.sock", From: "DOCKER_HOST"}
	if _, err := Ensure(t.Context(), moved, Installed(), report); err != nil {
		t.Fatal(err)
	}
}

// session is the session a process belongs to.
func session(t *testing.T, pid int) int {
	t.Helper()
	id, _, errno := syscall.Syscall(syscall.SYS_GETSID, uintptr(pid), 0, 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	return int(id)
}

// runContainer starts a container that serves a port and wants to be kept up.
func runContainer(t *testing.T) {
	t.Helper()
	binary, err := os.ReadFile("/run/server")
	must(t, err)
	var image bytes.Buffer
	layer := tar.NewWriter(&image)
	must(t, layer.WriteHeader(&tar.Header{Name: "server", Mode: 0o755, Size: int64(len(binary))}))
	_, err = layer.Write(binary)
	must(t, err)
	must(t, layer.Close())
	engine(t, "/images/create?fromSrc=-&repo=own&tag=1", "application/x-tar", &image)
	engine(t, "/containers/create?name=kept", "application/json", strings.NewReader(`{
		"Image": "own:1", "Cmd": ["/server"], "ExposedPorts": {"80/tcp": {}},
		"HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}, "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}}
	}`))
	engine(t, "/containers/kept/start", "application/json", nil)
}

// engine posts to the own engine.
func engine(t *testing.T, path, kind string, body io.Reader) {
	t.Helper()
	requests, base, err := client(ownEndpoint)
	must(t, err)
	defer requests.CloseIdleConnections()
	response, err := requests.Post(base+path, kind, body)
	must(t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	must(t, err)
	if response.StatusCode >= 400 {
		t.Fatalf("%s: %s: %s", path, response.Status, text)
	}
}

// answersAsContainer returns when the container answers on its port.
func answersAsContainer(t *testing.T) {
	t.Helper()
	var last error
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := until(ctx, func() bool {
		connection, err := net.DialTimeout("tcp", "127.0.0.1:8080", time.Second)
		if err != nil {
			last = err
			return false
		}
		defer func() { _ = connection.Close() }()
		_ = connection.SetDeadline(time.Now().Add(time.Second))
		text, err := io.ReadAll(connection)
		last = err
		return string(text) == "here\n"
	})
	if err != nil {
		t.Errorf("the container does not answer: %v (%v); what runs:", err, last)
		for _, p := range living(t) {
			t.Log(p.pid, p.arguments)
		}
		t.Fatal(strings.Join(readLog(Installed().Log, 0), "\n"))
	}
}
