package host

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// patience is how long an engine that runs may take to answer before it
// counts as one that is starting, or stuck.
const patience = 2 * time.Second

// facts is all that is known when deciding what to do next.
type facts struct {
	endpoint Endpoint
	daemon   Daemon
	// answer is what the endpoint said when asked.
	answer answer

	// system is the operating system in Go's words: "linux", "darwin".
	system string
	// uid is the effective user id: 0 is root.
	uid int
	// distribution is what /etc/os-release calls the system.
	distribution distribution
	// apt is whether apt-get is there; candidate whether its package lists
	// know packageName.
	apt, candidate bool
	// systemd is whether systemd runs the machine and knows docker.service.
	systemd bool

	// dockerd is the path of the program; empty when it is not installed.
	dockerd string
	// dockerPid and containerdPid are the pid files of the daemon and of the
	// containerd it starts for itself.
	dockerPid, containerdPid pidFile
	// containerds are the live containerds that belong to this daemon, by
	// their configuration file and whatever the pid file says.
	containerds []process
	// parents are the parents of containerds, by their id.
	parents map[int]process
	// containerdSocket is how the socket of the containerd that dockerd
	// would rely on takes a connection; absent when it brings its own.
	containerdSocket reply
	// shims are the live processes that hold containers of that containerd's.
	shims []process

	// attempts are the steps taken so far, the last one last.
	attempts []attempt
}

// attempt is a step that was taken, and its error.
type attempt struct {
	step step
	err  error
}

// distribution is what /etc/os-release calls an operating system.
type distribution struct {
	// id is its name ("debian"), like the ones it descends from.
	id   string
	like []string
	// name is what a person calls it: "Debian GNU/Linux 12 (bookworm)".
	name string
}

// debian is whether it is Debian, Ubuntu or one of their descendants.
func (d distribution) debian() bool {
	return slices.ContainsFunc(append([]string{d.id}, d.like...), func(id string) bool {
		return id == "debian" || id == "ubuntu"
	})
}

// parseDistribution reads /etc/os-release.
func parseDistribution(text []byte) distribution {
	var d distribution
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		name, value, _ := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		value = strings.Trim(value, `"'`)
		switch name {
		case "ID":
			d.id = value
		case "ID_LIKE":
			d.like = strings.Fields(value)
		case "PRETTY_NAME":
			d.name = value
		}
	}
	return d
}

// look gathers the facts. What costs something is looked at only where a
// decision can need it: an engine that answers ends it all.
func look(ctx context.Context, endpoint Endpoint, daemon Daemon) (facts, error) {
	f := facts{endpoint: endpoint, daemon: daemon, system: runtime.GOOS, uid: os.Geteuid()}
	f.answer = ask(ctx, endpoint, patience)
	if f.answer.reply == answers || ctx.Err() != nil || f.system != "linux" {
		return f, ctx.Err()
	}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		release, _ = os.ReadFile("/usr/lib/os-release")
	}
	f.distribution = parseDistribution(release)
	f.dockerd = program("dockerd")
	if f.dockerd == "" {
		f.apt = program("apt-get") != ""
		f.candidate = f.apt && hasCandidate(ctx)
	}
	// What sd_booted(3) looks at.
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		state, _ := command(ctx, "systemctl", "show", "--property=LoadState", "--value", "docker.service").Output()
		f.systemd = strings.TrimSpace(string(state)) == "loaded"
	}
	return f, f.lookAtDaemon()
}

// lookAtDaemon gathers what an earlier daemon left, or what a live one holds.
func (f *facts) lookAtDaemon() error {
	f.dockerPid = readPidFile(f.daemon.PidFile)
	f.containerdPid = readPidFile(f.daemon.ContainerdPidFile())
	f.containerdSocket = absent
	socket := f.daemon.Containerd
	if socket == "" {
		socket = f.daemon.SystemContainerd
	}
	if _, err := os.Lstat(socket); err == nil || f.daemon.Containerd != "" {
		f.containerdSocket = listens(strings.TrimPrefix(socket, "unix://"))
	}
	all, err := processes()
	if err != nil {
		return err
	}
	f.parents = map[int]process{}
	for _, p := range all {
		switch {
		case p.isContainerd(f.daemon.containerdConfig()):
			f.containerds = append(f.containerds, p)
			if f.parents[p.parent], err = readProcess(p.parent); err != nil {
				return err
			}
		case p.alive() && strings.HasPrefix(filepath.Base(p.executable), "containerd-shim") &&
			samePath(p.argument("-address", "--address"), socket):
			f.shims = append(f.shims, p)
		}
	}
	return nil
}

// superuserPath is where Debian keeps what only root runs: a root shell that
// came from a plain `su` does not have it in its PATH.
var superuserPath = []string{"/usr/local/sbin", "/usr/sbin", "/sbin"}

// program is the path of an installed program: empty when there is none.
func program(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, directory := range superuserPath {
		if path, err := exec.LookPath(filepath.Join(directory, name)); err == nil {
			return path
		}
	}
	return ""
}

// environment is this process's, with the directories of root's programs
// added to PATH and nothing that would ask a question.
func environment() []string {
	path := strings.Join(append([]string{os.Getenv("PATH")}, superuserPath...), ":")
	return append(os.Environ(), "PATH="+path, "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8")
}

// command is a program to run to its end, found even where PATH lacks it.
func command(ctx context.Context, name string, arguments ...string) *exec.Cmd {
	path := program(name)
	if path == "" {
		path = name
	}
	c := exec.CommandContext(ctx, path, arguments...)
	c.Env = environment()
	return c
}
