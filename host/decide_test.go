package host

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/inmanta/inmanta-docker/problem"
)

// Processes a pid file may name.
var (
	dockerd    = process{pid: 10, parent: 1, name: "dockerd", state: 'S', executable: "/usr/sbin/dockerd", arguments: []string{"/usr/sbin/dockerd"}, near: true}
	containerD = process{pid: 11, parent: 10, name: "containerd", state: 'S', executable: "/usr/bin/containerd", near: true,
		arguments: []string{"containerd", "--config", "/var/run/docker/containerd/containerd.toml", "--log-level", "info"}}
	nginx = process{pid: 12, parent: 1, name: "nginx", state: 'S', executable: "/usr/sbin/nginx", near: true}
	dead  = process{pid: 13, parent: 1, name: "dockerd", state: 'Z', near: true}
)

// named is a pid file that names a process.
func named(path string, p process) pidFile {
	return pidFile{path: path, exists: true, text: fmt.Sprint(p.pid), pid: p.pid, process: p}
}

// with is a process, changed.
func with(p process, change func(*process)) process {
	change(&p)
	return p
}

// rooted is a Debian without systemd where dockerd is installed, root asks,
// and nothing runs; changed by each case.
func rooted(change func(*facts)) facts {
	f := facts{
		endpoint: Endpoint{Host: DefaultSocket}, daemon: parseDaemon(nil),
		answer:       answer{reply: absent, err: fs.ErrNotExist},
		system:       "linux",
		distribution: distribution{id: "debian", name: "Debian GNU/Linux 12 (bookworm)"},
		dockerd:      "/usr/sbin/dockerd",
		dockerPid:    pidFile{path: "/var/run/docker.pid"}, containerdPid: pidFile{path: "/var/run/docker/containerd/containerd.pid"},
		containerdSocket: absent,
	}
	f.daemon.Config = "/etc/docker/daemon.json"
	if change != nil {
		change(&f)
	}
	return f
}

func TestDecideSteps(t *testing.T) {
	failed := func(s step) attempt { return attempt{s, errors.New("it failed")} }
	start := startDaemon{"/usr/sbin/dockerd"}
	cases := []struct {
		name  string
		facts facts
		// want is the steps' names and what they are about, in order.
		want string
	}{
		{"an engine answers", rooted(func(f *facts) { f.answer = answer{reply: answers}; f.uid = 1000 }), ""},
		{"an engine elsewhere answers", rooted(func(f *facts) {
			f.answer, f.endpoint = answer{reply: answers}, Endpoint{Host: "tcp://build:2376", From: "DOCKER_HOST"}
		}), ""},
		{"nothing runs", rooted(nil), "Starting dockerd"},
		{"nothing runs, under systemd", rooted(func(f *facts) { f.systemd = true }), "Starting docker.service"},
		{"DOCKER_HOST names the daemon's own socket", rooted(func(f *facts) {
			f.endpoint = Endpoint{Host: "unix:///run/docker.sock", From: "DOCKER_HOST"}
		}), "Starting dockerd"},
		{"a stale socket", rooted(func(f *facts) { f.answer = answer{reply: refused, err: syscall.ECONNREFUSED} }), "Starting dockerd"},

		{"not installed, lists there", rooted(func(f *facts) { f.dockerd, f.apt, f.candidate = "", true, true }), "Installing package docker.io"},
		{"not installed, no lists", rooted(func(f *facts) { f.dockerd, f.apt = "", true }), "Fetching package lists, Installing package docker.io"},
		{"not installed, an Ubuntu's child", rooted(func(f *facts) {
			f.dockerd, f.apt, f.candidate, f.distribution = "", true, true, distribution{id: "linuxmint", like: []string{"ubuntu", "debian"}}
		}), "Installing package docker.io"},
		{"installing failed with lists of yesterday", rooted(func(f *facts) {
			f.dockerd, f.apt, f.candidate, f.attempts = "", true, true, []attempt{failed(installEngine{})}
		}), "Fetching package lists, Installing package docker.io"},
		{"a source could not be fetched, the package's could", rooted(func(f *facts) {
			f.dockerd, f.apt, f.candidate, f.attempts = "", true, true, []attempt{failed(updateLists{})}
		}), "Installing package docker.io"},
		{"installed just now", rooted(func(f *facts) { f.attempts = []attempt{{installEngine{}, nil}} }), "Starting dockerd"},

		{"pid files name nobody", rooted(func(f *facts) {
			f.dockerPid = pidFile{path: "/var/run/docker.pid", exists: true, text: "10", pid: 10}
			f.containerdPid = pidFile{path: "/c.pid", exists: true, text: "11", pid: 11}
		}), "Removing /var/run/docker.pid (it names process 10, which is gone), Removing /c.pid (it names process 11, which is gone), Starting dockerd"},
		{"docker.pid names a zombie", rooted(func(f *facts) { f.dockerPid = named("/d.pid", dead) }),
			"Removing /d.pid (it names process 13, a zombie (dead dockerd that its parent, process 1, has not reaped)), Starting dockerd"},
		{"containerd.pid names a zombie", rooted(func(f *facts) { f.containerdPid = named("/c.pid", dead) }),
			"Removing /c.pid (it names process 13, a zombie (dead dockerd that its parent, process 1, has not reaped)), Starting dockerd"},
		{"docker.pid names a foreign process", rooted(func(f *facts) { f.dockerPid = named("/d.pid", nginx) }),
			"Removing /d.pid (its daemon is gone, and it now names process 12 (nginx)), Starting dockerd"},
		{"containerd.pid names a foreign process", rooted(func(f *facts) { f.containerdPid = named("/c.pid", nginx) }),
			"Removing /c.pid (its daemon is gone, and it now names process 12 (nginx)), Starting dockerd"},
		{"stale files under systemd", rooted(func(f *facts) { f.systemd, f.dockerPid = true, named("/d.pid", nginx) }),
			"Removing /d.pid (its daemon is gone, and it now names process 12 (nginx)), Starting docker.service"},
		{"pid files hold no number", rooted(func(f *facts) {
			f.dockerPid = pidFile{path: "/d.pid", exists: true, text: "gone"}
			f.containerdPid = pidFile{path: "/c.pid", exists: true}
		}), `Removing /d.pid (it holds "gone", which is no process id), Removing /c.pid (it is empty), Starting dockerd`},
		{"a pid file that cannot be read is left to dockerd", rooted(func(f *facts) {
			f.dockerPid = pidFile{path: "/d.pid", exists: true, err: syscall.EISDIR}
		}), "Starting dockerd"},

		{"a dockerd in a container got the id", rooted(func(f *facts) {
			f.dockerPid = named("/d.pid", with(dockerd, func(p *process) { p.near = false }))
		}), "Removing /d.pid (its daemon is gone, and it now names process 10 (dockerd)), Starting dockerd"},
		{"a rootless dockerd got the id", rooted(func(f *facts) {
			f.dockerPid = named("/d.pid", with(dockerd, func(p *process) { p.uid = 1000 }))
		}), "Removing /d.pid (its daemon is gone, and it now names process 10 (dockerd)), Starting dockerd"},
		{"a dockerd with a pid file of its own got the id", rooted(func(f *facts) {
			f.dockerPid = named("/d.pid", with(dockerd, func(p *process) { p.arguments = []string{"dockerd", "-p", "/other.pid"} }))
		}), "Removing /d.pid (its daemon is gone, and it now names process 10 (dockerd)), Starting dockerd"},
		{"a containerd of the system's got the id", rooted(func(f *facts) {
			f.containerdPid = named("/c.pid", with(containerD, func(p *process) { p.arguments = []string{"/usr/bin/containerd"} }))
		}), "Removing /c.pid (its daemon is gone, and it now names process 11 (containerd)), Starting dockerd"},

		{"a live dockerd starts", rooted(func(f *facts) { f.dockerPid = named("/d.pid", dockerd) }), "Waiting dockerd (process 10 (dockerd) runs and does not answer yet)"},
		{"a live dockerd says nothing", rooted(func(f *facts) {
			f.dockerPid, f.answer = named("/d.pid", dockerd), answer{reply: silent}
		}), "Waiting dockerd (process 10 (dockerd) runs and does not answer yet)"},
		{"a live dockerd says nothing, under systemd", rooted(func(f *facts) {
			f.systemd, f.dockerPid, f.answer = true, named("/d.pid", dockerd), answer{reply: silent}
		}), "Waiting dockerd (process 10 (dockerd) runs and does not answer yet)"},
		{"a live dockerd whose program was replaced", rooted(func(f *facts) {
			f.dockerPid = named("/d.pid", with(dockerd, func(p *process) { p.name, p.executable = "exe", "/usr/sbin/dockerd (deleted)" }))
		}), "Waiting dockerd (process 10 (exe) runs and does not answer yet)"},
		{"a live dockerd that names this pid file", rooted(func(f *facts) {
			f.dockerPid = named("/var/run/docker.pid", with(dockerd, func(p *process) { p.arguments = []string{"dockerd", "--pidfile=/run/docker.pid"} }))
		}), "Waiting dockerd (process 10 (dockerd) runs and does not answer yet)"},
		{"a live dockerd whose pid file is lost", rooted(func(f *facts) {
			f.containerds, f.parents = []process{containerD}, map[int]process{10: dockerd}
		}), "Waiting dockerd (process 10 (dockerd) runs and does not answer yet)"},
		{"a live dockerd and a stale containerd.pid", rooted(func(f *facts) {
			f.dockerPid, f.containerdPid = named("/d.pid", dockerd), named("/c.pid", dead)
		}), "Waiting dockerd (process 10 (dockerd) runs and does not answer yet)"},
		{"a live dockerd ended while it was waited for", rooted(func(f *facts) {
			f.attempts = []attempt{{awaitDaemon{dockerd}, fmt.Errorf("waiting: %w", errEnded)}}
		}), "Starting dockerd"},

		{"a containerd outlived its dockerd", rooted(func(f *facts) {
			orphan := with(containerD, func(p *process) { p.parent = 1 })
			f.containerds, f.parents = []process{orphan}, map[int]process{1: {pid: 1, name: "init", state: 'S'}}
			f.containerdPid = named("/c.pid", orphan)
		}), "Stopping process 11 (containerd) (the dockerd it belonged to is gone, and a new one cannot use it; containers keep running), " +
			"Removing /c.pid (it names the containerd of process 11, just stopped), Starting dockerd"},
		{"a containerd outlived its dockerd, a zombie", rooted(func(f *facts) {
			f.containerds, f.parents = []process{containerD}, map[int]process{10: with(dockerd, func(p *process) { p.state = 'Z' })}
		}), "Stopping process 11 (containerd) (the dockerd it belonged to is gone, and a new one cannot use it; containers keep running), Starting dockerd"},

		{"the system's containerd is gone", rooted(func(f *facts) { f.containerdSocket = refused }),
			"Removing /run/containerd/containerd.sock (no containerd listens on it, and dockerd would wait for one), Starting dockerd"},
		{"the system's containerd runs", rooted(func(f *facts) { f.containerdSocket = answers }), "Starting dockerd"},

		{"a start that left something to clean", rooted(func(f *facts) {
			f.containerdPid, f.attempts = named("/c.pid", dead), []attempt{failed(start)}
		}), "Removing /c.pid (it names process 13, a zombie (dead dockerd that its parent, process 1, has not reaped)), Starting dockerd"},
		{"a start another run was faster with", rooted(func(f *facts) {
			f.dockerPid, f.attempts = named("/d.pid", dockerd), []attempt{failed(start)}
		}), "Waiting dockerd (process 10 (dockerd) runs and does not answer yet)"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			steps, err := decide(c.facts)
			if err != nil {
				t.Fatalf("it gives up: %v", err)
			}
			var got []string
			for _, s := range steps {
				w := s.words()
				text := w.doing + " " + w.subject
				if w.why != "" {
					text += " (" + w.why + ")"
				}
				got = append(got, text)
			}
			if strings.Join(got, ", ") != c.want {
				t.Errorf("it decides\n  %s\nwant\n  %s", strings.Join(got, ", "), c.want)
			}
		})
	}
}

func TestDecideGivesUp(t *testing.T) {
	last := problem.Problem{ID: "the-last", What: "its last error"}
	slow := problem.Problem{ID: "slow", What: "it is slow", Err: errSlow}
	start := startDaemon{"/usr/sbin/dockerd"}
	foreign := Endpoint{Host: "tcp://build:2376", From: "DOCKER_HOST"}
	cases := []struct {
		name          string
		facts         facts
		id, what, fix string
	}{
		{"no permission", rooted(func(f *facts) { f.uid, f.answer = 1000, answer{reply: denied, err: fs.ErrPermission} }), "engine-permission", "may not speak to it", "usermod -aG docker"},
		{"no permission, elsewhere", rooted(func(f *facts) { f.endpoint, f.answer = foreign, answer{reply: denied, err: fs.ErrPermission} }), "engine-permission", "may not speak to it", "sudo"},
		{"an engine elsewhere", rooted(func(f *facts) {
			f.endpoint, f.answer = foreign, answer{reply: refused, err: syscall.ECONNREFUSED}
		}), "engine-unreachable", "connection refused", "unset DOCKER_HOST"},
		{"an engine elsewhere never leads to one here", rooted(func(f *facts) {
			f.endpoint, f.dockerd, f.apt, f.candidate = foreign, "", true, true
		}), "engine-unreachable", "does not answer", "start that engine"},
		{"an engine behind ssh", rooted(func(f *facts) {
			f.endpoint, f.answer = Endpoint{Host: "ssh://build", From: "DOCKER_HOST"}, answer{reply: strange, err: errors.New("not understood")}
		}), "engine-unreachable", "not understood", "ssh -NL"},
		{"a rootless engine's socket", rooted(func(f *facts) {
			f.endpoint = Endpoint{Host: "unix:///run/user/1000/docker.sock", From: `the Docker context "rootless"`}
		}), "engine-unreachable", "does not answer", "docker context use default"},
		{"the daemon listens elsewhere", rooted(func(f *facts) { f.daemon.Hosts = []string{"tcp://127.0.0.1:2375"} }), "engine-elsewhere", "tcp://127.0.0.1:2375", "set DOCKER_HOST"},
		{"another operating system", rooted(func(f *facts) { f.system = "darwin" }), "engine-missing", "darwin", "Docker Desktop"},
		{"something else listens", rooted(func(f *facts) { f.answer = answer{reply: strange, err: errors.New("404")} }), "engine-strange", "404", "ss -lxp"},
		{"not root, not running", rooted(func(f *facts) { f.uid = 1000 }), "engine-root", "only root can start", "sudo"},
		{"not root, under systemd", rooted(func(f *facts) { f.uid, f.systemd = 1000, true }), "engine-root", "only root can start", "systemctl start docker"},
		{"not root, not installed", rooted(func(f *facts) { f.uid, f.dockerd, f.apt = 1000, "", true }), "engine-root", "only root can install", "sudo"},
		{"not root, silent", rooted(func(f *facts) { f.uid, f.answer = 1000, answer{reply: silent} }), "engine-root", "does not answer", "sudo"},
		{"not Debian", rooted(func(f *facts) {
			f.dockerd, f.distribution = "", distribution{id: "fedora", name: "Fedora Linux 44"}
		}), "engine-missing", "on Fedora Linux 44 none", "docs.docker.com"},
		{"no name, no apt", rooted(func(f *facts) { f.dockerd, f.distribution = "", distribution{} }), "engine-missing", "on this system none", "docs.docker.com"},
		{"installing failed with fresh lists", rooted(func(f *facts) {
			f.dockerd, f.apt, f.candidate, f.attempts = "", true, true, []attempt{{updateLists{}, nil}, {installEngine{}, last}}
		}), "the-last", "its last error", ""},
		{"installing failed before and after a failed fetch", rooted(func(f *facts) {
			f.dockerd, f.apt, f.candidate = "", true, true
			f.attempts = []attempt{{installEngine{}, errors.New("first")}, {updateLists{}, errors.New("second")}, {installEngine{}, last}}
		}), "the-last", "its last error", ""},
		{"no lists to be had", rooted(func(f *facts) { f.dockerd, f.apt, f.attempts = "", true, []attempt{{updateLists{}, last}} }), "the-last", "its last error", ""},
		{"installed, and not there", rooted(func(f *facts) {
			f.dockerd, f.apt, f.candidate, f.attempts = "", true, true, []attempt{{installEngine{}, nil}}
		}), "engine-install", "no program dockerd", "dpkg -L docker.io"},
		{"silent, and no dockerd behind it", rooted(func(f *facts) { f.answer = answer{reply: silent} }), "engine-mute", "not the dockerd of /var/run/docker.pid", "ss -lxp | grep docker.sock"},
		{"silent, and no dockerd installed", rooted(func(f *facts) { f.answer, f.dockerd, f.apt = answer{reply: silent}, "", true }), "engine-mute", "not the dockerd", "ss -lxp"},
		{"the configured containerd is gone", rooted(func(f *facts) { f.daemon.Containerd, f.containerdSocket = "/c.sock", refused }), "containerd-gone", "none listens on it", "start that containerd"},
		{"the system's containerd left containers running", rooted(func(f *facts) {
			f.containerdSocket, f.shims = refused, []process{{pid: 9, name: "containerd-shim", state: 'S'}}
		}), "containerd-gone", "process 9 (containerd-shim)", "start that containerd"},
		{"a failed start with nothing to clean", rooted(func(f *facts) { f.attempts = []attempt{{start, last}} }), "the-last", "its last error", ""},
		{"a failed start under systemd", rooted(func(f *facts) { f.systemd, f.attempts = true, []attempt{{startUnit{}, last}} }), "the-last", "its last error", ""},
		{"failed starts without end", rooted(func(f *facts) {
			f.dockerPid = named("/d.pid", dead)
			f.attempts = []attempt{{start, errors.New("first")}, {removeFile{}, nil}, {start, errors.New("second")}, {removeFile{}, nil}, {start, last}}
		}), "the-last", "its last error", ""},
		{"a start that takes too long is not doubled", rooted(func(f *facts) {
			f.dockerPid, f.attempts = named("/d.pid", dockerd), []attempt{{start, slow}}
		}), "slow", "it is slow", ""},
		{"a live dockerd that never answers", rooted(func(f *facts) {
			f.dockerPid, f.attempts = named("/d.pid", dockerd), []attempt{{awaitDaemon{dockerd}, slow}}
		}), "slow", "it is slow", ""},
		{"a stale file that cannot be removed", rooted(func(f *facts) {
			f.dockerPid, f.attempts = named("/d.pid", dead), []attempt{{removeFile{}, last}}
		}), "the-last", "its last error", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			steps, err := decide(c.facts)
			if err == nil {
				t.Fatalf("it goes on with %v", steps)
			}
			wants(t, err, c.id, c.what, c.fix)
			if one := problem.In(err)[0]; c.id != "the-last" && c.id != "slow" && (one.Fix == "" || one.Where == "") {
				t.Errorf("no place or no fix: %#v", one)
			}
		})
	}
}

// wants checks the one problem an error holds.
func wants(t *testing.T, err error, id, what, fix string) {
	t.Helper()
	list := problem.In(err)
	if len(list) != 1 || list[0].ID != id || !strings.Contains(list[0].What, what) || !strings.Contains(list[0].Fix, fix) {
		t.Errorf("the error is %#v, want %s: …%s… ↳ …%s…", err, id, what, fix)
	}
}
