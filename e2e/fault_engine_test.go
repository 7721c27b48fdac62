package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
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

// The engine dies under a stack that is starting or serves, is told to end, or
// dies with all its containers, and is started again as make up does it: the
// stack comes back by itself, with its data, and whoever waits for it is told.
func TestEngineComesBack(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	m := newMachine(t, s)
	m.must("host-engine")
	m.load(tools.images["INMANTA_ORCHESTRATOR_IMAGE"], tools.images["POSTGRESQL_IMAGE"])
	m.must("inmanta-docker up")
	m.must("docker exec " + s.server() + " inmanta-cli project create --name precious")

	restart := func() {
		t.Helper()
		if r := m.run("inmanta-docker status"); r.code != 1 || !strings.Contains(r.stderr, "no container engine answers") {
			t.Errorf("the engine is gone, and status ends with %d:\n%s%s", r.code, r.stdout, r.stderr)
		}
		m.must("host-engine")
	}
	same := func(death string) {
		t.Helper()
		s.until("all is well again after the death of "+death, func() bool { return m.run("inmanta-docker status").code == 0 })
		if r := m.must("docker exec " + s.server() + " inmanta-cli project list"); !strings.Contains(r.stdout, "precious") {
			t.Errorf("after the death of %s the project is lost:\n%s", death, r.stdout)
		}
		if r := m.run("inmanta-docker up --dry-run"); r.code != 0 {
			t.Errorf("after the death of %s up would change something:\n%s%s", death, r.stdout, r.stderr)
		}
	}
	const engine = `"$(cat /run/docker.pid)"`
	m.upOutlives("kill -9 "+engine, restart)
	same("the engine alone")
	m.upOutlives("kill "+engine, restart)
	same("the engine, which was told to end")
	// Nowhere but on the machine of our own; it may end the shell, too.
	m.run(`[ "$(cat /proc/1/comm)" = sleep ] && kill -9 -1`)
	restart()
	same("everything, as when the power fails")

	// In the middle of a restore: it is gone on with, or undone.
	m.must("inmanta-docker backup backup.inmanta-backup")
	for _, c := range []struct{ step, death, then string }{
		{"Loading", "kill -9 " + engine, "--put-back"},
		{"Swapping", "kill -9 " + engine, "--continue"},
		{"Starting", `[ "$(cat /proc/1/comm)" = sleep ] && kill -9 -1`, "--put-back"},
	} {
		m.restoreCutShort("backup.inmanta-backup", c.step, c.death)
		restart()
		if r := m.run("inmanta-docker up"); r.code != 1 || !strings.Contains(r.stderr, "cut short") {
			t.Errorf("%s: up ends with %d:\n%s", c.step, r.code, r.stderr)
		}
		m.must("inmanta-docker restore " + c.then)
		same("the engine while a restore was " + strings.ToLower(c.step))
	}
}

// upOutlives has the engine die while up waits for the orchestrator: up says so,
// and ends well when the engine is back and the stack serves.
func (m *machine) upOutlives(death string, restart func()) {
	m.s.t.Helper()
	m.must("docker rm -f " + m.s.server())
	up := m.command("exec inmanta-docker up --json")
	var stdout bytes.Buffer
	up.Stdout = &stdout
	events, err := up.StderrPipe()
	if err == nil {
		err = up.Start()
	}
	if err != nil {
		m.s.t.Fatal(err)
	}
	var all []string
	died, back := false, false
	for lines := bufio.NewScanner(events); lines.Scan(); {
		all = append(all, lines.Text())
		var e struct{ ID, Text string }
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			m.s.t.Errorf("%q: %v", lines.Text(), err)
		}
		switch {
		case !died && e.ID == "Container "+m.s.server() && e.Text == "Waiting":
			died = true
			m.must(death)
		case e.ID == "Container engine" && e.Text == "Gone":
			// One that was told to end is gone when its process is.
			m.must(`while cat /proc/[0-9]*/stat 2>/dev/null | grep -q "(dockerd) [^Z]"; do sleep 0.05; done`)
			restart()
		case e.ID == "Container engine" && e.Text == "Back":
			back = true
		}
	}
	if err := up.Wait(); err != nil || !died || !back || !strings.Contains(stdout.String(), `"serving": true`) {
		m.s.t.Errorf("%s: up ends with %v (the engine died: %v, and came back: %v):\n%s\n%s", death, err, died, back, stdout.String(), strings.Join(all, "\n"))
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
	script := `awk '$2 ~ "^(/run|/var/run|/var/lib)/docker/" { print $2 }' /proc/mounts |
		while read -r mounted; do umount -l "$mounted" || ! mountpoint -q "$mounted"; done` + "\n" // some go away meanwhile
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
	cmd.Env = append(os.Environ(), "PATH=/run:"+tools.dir+":"+os.Getenv("PATH"), "DOCKER_HOST=",
		"DOCKER_CONFIG="+filepath.Join(tools.dir, "docker-config"), "NO_COLOR=1")
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
