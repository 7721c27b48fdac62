package host

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/inmanta/inmanta-docker/progress"
)

// A test of an engine runs a second time inside a machine of its own: pid,
// mount and network namespaces in which /run, /var/log, /etc/docker and
// /var/lib/docker are folders of the test's. dockerd finds its default paths
// there, and neither sees nor touches the engine of the machine around it.
// The test is process 1 in there. It reaps nothing but its own children, so
// that orphans become zombies; and when it ends, the kernel kills whatever
// else still runs and drops every mount.
const (
	ownFolder = "HOST_TEST_OWN_FOLDER"
	ownPhase  = "HOST_TEST_OWN_PHASE"
)

// ownMachine is one such machine, seen from outside or from inside.
type ownMachine struct {
	folder string
	// phase is what the test asked this run inside for; empty outside.
	phase string
}

// folders are the paths that are the test's own, by their name in its folder.
var folders = map[string]string{
	"run": "/run", "log": "/var/log", "etc": "/etc/docker", "lib": "/var/lib/docker",
}

// own is the machine of the test. Outside, inside is false and the test calls
// run for each of its phases.
func own(t *testing.T) (m ownMachine, inside bool) {
	t.Helper()
	m = ownMachine{folder: os.Getenv(ownFolder), phase: os.Getenv(ownPhase)}
	if m.folder != "" {
		m.enter(t)
		return m, true
	}
	if os.Geteuid() != 0 {
		t.Fatal("this test starts a container engine of its own, which takes root: run it with sudo")
	}
	if program("dockerd") == "" {
		t.Fatal("this test starts a container engine of its own, and dockerd is not installed: run `go run ./cmd/host-engine` first, as `make test` does")
	}
	m.folder = t.TempDir()
	for name := range folders {
		must(t, os.Mkdir(filepath.Join(m.folder, name), 0o755))
	}
	group := fmt.Sprintf("host-test-%d-%s", os.Getpid(), t.Name())
	m.configure(t, fmt.Sprintf(`{"cgroup-parent": %q}`, group))
	t.Cleanup(func() {
		// Control groups have no namespace that would take them away.
		for _, pattern := range []string{"/sys/fs/cgroup/" + group, "/sys/fs/cgroup/*/" + group} {
			found, _ := filepath.Glob(pattern)
			for _, directory := range found {
				removeGroups(t, directory)
			}
		}
	})
	return m, false
}

// configure writes the daemon's configuration file; from inside, too.
func (m ownMachine) configure(t *testing.T, text string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(m.folder, "etc", "daemon.json"), []byte(text), 0o644))
}

// run runs the test again inside, and fails as that fails. Every process in
// there is dead when it returns.
func (m ownMachine) run(t *testing.T, phase string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	inside := exec.CommandContext(ctx, "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=3m")
	inside.Env = append(os.Environ(), ownFolder+"="+m.folder, ownPhase+"="+phase)
	inside.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Unshareflags: syscall.CLONE_NEWNS, // which Go makes private
		Pdeathsig:    syscall.SIGKILL,
	}
	// The signal comes when the thread dies that started the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	output, err := inside.CombinedOutput()
	t.Logf("%s:\n%s", phase, output)
	if err != nil {
		t.Fatalf("inside the machine of its own, %s failed: %v", phase, err)
	}
	if !bytes.Contains(output, []byte("--- PASS: "+t.Name())) {
		t.Fatalf("inside the machine of its own, %s did not run", phase)
	}
}

// enter puts the machine's own folders in place.
func (m ownMachine) enter(t *testing.T) {
	t.Helper()
	if os.Getpid() != 1 {
		t.Fatalf("%s is set outside of a machine of the test's own", ownFolder)
	}
	must(t, syscall.Mount("proc", "/proc", "proc", 0, ""))
	// What the engine around mounted came along, and would be kept busy.
	mounts, err := os.ReadFile("/proc/self/mounts")
	must(t, err)
	for line := range strings.Lines(string(mounts)) {
		if at := strings.Fields(line)[1]; strings.HasPrefix(run(at), "/run/docker/") || strings.HasPrefix(at, "/var/lib/docker/") {
			_ = syscall.Unmount(at, syscall.MNT_DETACH)
		}
	}
	for name, path := range folders {
		must(t, os.MkdirAll(path, 0o755))
		must(t, syscall.Mount(filepath.Join(m.folder, name), path, "", syscall.MS_BIND, ""))
	}
	loopback(t)
}

// loopback brings the network's loopback up.
func loopback(t *testing.T) {
	t.Helper()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	must(t, err)
	defer func() { _ = syscall.Close(socket) }()
	request := struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}{flags: syscall.IFF_UP}
	copy(request.name[:], "lo")
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(socket), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request))); errno != 0 {
		t.Fatal(errno)
	}
}

// removeGroups removes a tree of control groups that hold no process any more.
func removeGroups(t *testing.T, root string) {
	t.Helper()
	var all []string
	_ = filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			all = append(all, path)
		}
		return nil
	})
	slices.Reverse(all)
	for _, directory := range all {
		if err := syscall.Rmdir(directory); err != nil {
			t.Errorf("a control group is left: %v", err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Inside.

// ownEndpoint is where the own engine listens.
var ownEndpoint = Endpoint{Host: DefaultSocket}

// record is a report, and what it was told so far, one line an event.
func record(t *testing.T) (progress.Report, func() string) {
	t.Helper()
	lines := make(chan string, 10_000)
	report := func(e progress.Event) {
		t.Logf("%s: %s  %s", e.ID, e.Text, e.Detail)
		lines <- e.ID + ": " + e.Text + ": " + e.Detail
	}
	return report, func() string {
		var all []string
		for {
			select {
			case line := <-lines:
				all = append(all, line)
			default:
				return strings.Join(all, "\n")
			}
		}
	}
}

// ensured makes the own engine answer, and returns what was reported.
func ensured(t *testing.T) string {
	t.Helper()
	report, said := record(t)
	if _, err := Ensure(t.Context(), ownEndpoint, Installed(), report); err != nil {
		t.Fatalf("no engine: %v\nreported:\n%s", err, said())
	}
	return said()
}

// living lists the live processes but this one, which is process 1.
func living(t *testing.T) []process {
	t.Helper()
	all, err := processes()
	must(t, err)
	return slices.DeleteFunc(all, func(p process) bool { return p.pid == 1 || !p.alive() })
}

// livingAs lists the live processes of a program.
func livingAs(t *testing.T, program string) []process {
	t.Helper()
	return slices.DeleteFunc(living(t), func(p process) bool { return !p.runs(program) })
}

// kill ends processes with -9, and returns when they are dead.
func kill(t *testing.T, victims ...process) {
	t.Helper()
	for _, p := range victims {
		// One that is gone was its victim's child.
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
	}
	for _, p := range victims {
		must(t, until(t.Context(), p.gone))
	}
}

// killAll ends everything with -9, also what is born meanwhile.
func killAll(t *testing.T) {
	t.Helper()
	for all := living(t); len(all) > 0; all = living(t) {
		kill(t, all...)
	}
}

// sleeper starts a process that has nothing to do with any engine.
func sleeper(t *testing.T) process {
	t.Helper()
	sleep := exec.Command("sleep", "1000")
	must(t, sleep.Start())
	t.Cleanup(func() { _ = sleep.Process.Kill(); _ = sleep.Wait() })
	p, err := readProcess(sleep.Process.Pid)
	must(t, err)
	return p
}

// zombie starts a process and leaves it dead and unreaped.
func zombie(t *testing.T) process {
	t.Helper()
	p := sleeper(t)
	kill(t, p)
	p, err := readProcess(p.pid)
	must(t, err)
	if p.state != 'Z' {
		t.Fatalf("%s is no zombie", p)
	}
	return p
}

// build builds a package of this repository to /run inside, where any user
// may run it.
func (m ownMachine) build(t *testing.T, source, name string) {
	t.Helper()
	build := exec.Command("go", "build", "-o", filepath.Join(m.folder, "run", name), source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", source, err, output)
	}
}

// hostEngine runs the command itself inside, as root or as another user.
func hostEngine(t *testing.T, uid uint32) (stdout, stderr string, err error) {
	t.Helper()
	var out, all bytes.Buffer
	command := exec.Command("/run/host-engine")
	command.Stdout, command.Stderr = &out, &all
	command.Env = append(os.Environ(), "DOCKER_HOST=", "DOCKER_CONTEXT=", "HOME=/run")
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	err = command.Run()
	t.Logf("host-engine as user %d:\n%s%s", uid, out.String(), all.String())
	return out.String(), all.String(), err
}
