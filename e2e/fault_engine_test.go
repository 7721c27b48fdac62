package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The engine dies under a stack that serves, alone and with all its containers,
// and is started again as make up does it: the stack comes back by itself, with
// its data.
func TestEngineComesBack(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	m := newMachine(t, s)
	m.must("host-engine")
	m.load(tools.images["INMANTA_ORCHESTRATOR_IMAGE"], tools.images["POSTGRESQL_IMAGE"])
	m.must("inmanta-docker up")
	m.must("docker exec " + s.server() + " inmanta-cli project create --name precious")

	for _, death := range []struct{ name, line string }{
		{"the engine alone", `kill -9 "$(cat /run/docker.pid)"`},
		// Nowhere but on the machine of our own.
		{"everything, as when the power fails", `[ "$(cat /proc/1/comm)" = sleep ] && kill -9 -1`},
	} {
		m.run(death.line) // which may end the shell too
		if r := m.run("inmanta-docker status"); r.code != 1 || !strings.Contains(r.stderr, "no container engine answers") {
			t.Errorf("%s is dead, and status ends with %d:\n%s%s", death.name, r.code, r.stdout, r.stderr)
		}
		m.must("host-engine")
		s.until("all is well again after the death of "+death.name, func() bool { return m.run("inmanta-docker status").code == 0 })
		if r := m.must("docker exec " + s.server() + " inmanta-cli project list"); !strings.Contains(r.stdout, "precious") {
			t.Errorf("after the death of %s the project is lost:\n%s", death.name, r.stdout)
		}
		if r := m.run("inmanta-docker up --dry-run"); r.code != 0 {
			t.Errorf("after the death of %s up would change something:\n%s%s", death.name, r.stdout, r.stderr)
		}
	}
}

// machine is a machine of the scenario's own: namespaces in which an engine
// finds its usual places empty, and neither sees nor disturbs the one around it.
type machine struct {
	s *stack
	// init is its first process, as seen from outside: all others die with it.
	init int
}

// ownPlaces are the directories of an engine that the machine has for itself.
var ownPlaces = []string{"/run", "/etc/docker", "/var/lib/docker"}

func newMachine(t *testing.T, s *stack) *machine {
	t.Helper()
	folder := t.TempDir()
	// What the engine around has mounted is not this machine's, and would be kept busy.
	script := `awk '$2 ~ "^(/run|/var/run|/var/lib)/docker/" { print $2 }' /proc/mounts | xargs -r umount -l` + "\n"
	for _, place := range ownPlaces {
		own := filepath.Join(folder, place)
		if err := os.MkdirAll(own, 0o755); err != nil {
			t.Fatal(err)
		}
		script += fmt.Sprintf("mkdir -p %s && mount --bind %s %s\n", place, own, place)
	}
	group := fmt.Sprintf("%s-%d", s.name, os.Getpid())
	if err := os.WriteFile(filepath.Join(folder, "/etc/docker/daemon.json"), []byte(`{"cgroup-parent": "`+group+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(folder, "run", "host-engine"), "../cmd/host-engine")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building host-engine: %v\n%s", err, out)
	}
	script += "ip link set lo up && echo ready && exec sleep infinity"
	holder := exec.Command("unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc", "sh", "-euc", script)
	var said bytes.Buffer
	holder.Stderr = &said
	out, err := holder.StdoutPipe()
	if err == nil {
		err = holder.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{s: s, init: holder.Process.Pid}
	t.Cleanup(func() {
		// The first process has ended once all others have.
		_ = syscall.Kill(m.init, syscall.SIGKILL)
		_ = holder.Wait()
		removeGroups(t, group)
	})
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatalf("making a machine, which takes root: %v\n%s", err, said.String())
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", holder.Process.Pid, holder.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	first, err := strconv.Atoi(strings.TrimSpace(string(children)))
	if err != nil {
		t.Fatal(err)
	}
	m.init = first
	return m
}

// removeGroups removes the control groups that the machine's engine has left:
// they are in no namespace.
func removeGroups(t *testing.T, group string) {
	t.Helper()
	for _, pattern := range []string{"/sys/fs/cgroup/" + group, "/sys/fs/cgroup/*/" + group} {
		roots, _ := filepath.Glob(pattern)
		for _, root := range roots {
			var all []string
			_ = filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
				if err == nil && entry.IsDir() {
					all = append(all, path)
				}
				return nil
			})
			for _, directory := range slices.Backward(all) {
				if err := os.Remove(directory); err != nil {
					t.Errorf("a control group is left: %v", err)
				}
			}
		}
	}
}

// command is a line of shell on the machine, in the deployment's directory.
func (m *machine) command(line string) *exec.Cmd {
	cmd := exec.CommandContext(m.s.t.Context(), "nsenter", "--target", strconv.Itoa(m.init), "--all", "--wd="+m.s.dir, "bash", "-euc", line)
	cmd.Env = append(os.Environ(), "PATH=/run:"+tools.dir+":"+os.Getenv("PATH"), "DOCKER_HOST=", "NO_COLOR=1")
	return cmd
}

// run runs a line of shell on the machine.
func (m *machine) run(line string) result {
	m.s.t.Helper()
	cmd := m.command(line)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.s.t.Fatalf("%s: %v", line, err)
	}
	return m.s.discreet(result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()})
}

// must is run, and the scenario ends here unless it succeeds.
func (m *machine) must(line string) result {
	m.s.t.Helper()
	r := m.run(line)
	if r.code != 0 {
		m.s.t.Fatalf("%s: exit code %d\n%s%s", line, r.code, r.stdout, r.stderr)
	}
	return r
}

// load takes images from the engine around to the machine's.
func (m *machine) load(images ...string) {
	m.s.t.Helper()
	save := exec.Command("docker", append([]string{"save"}, images...)...)
	load := m.command("docker load")
	var said bytes.Buffer
	save.Stderr, load.Stderr = &said, &said
	pipe, err := save.StdoutPipe()
	if err == nil {
		load.Stdin = pipe
		err = load.Start()
	}
	if err == nil {
		err = save.Run()
	}
	if err == nil {
		err = load.Wait()
	}
	if err != nil {
		m.s.t.Fatalf("loading images: %v\n%s", err, said.String())
	}
}
