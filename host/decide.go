package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/inmanta/inmanta-docker/problem"
)

// enoughStarts is how often a daemon is started before its failure is final.
// One more than the first is for what only the failure brought to light: a
// containerd that was still dying when it was looked at.
const enoughStarts = 3

// decide says what to do next: nothing when the engine answers, and a
// problem.Problem when nothing that may be done here would make it answer.
// After the steps are taken, or one failed, it is asked again with new facts.
func decide(f facts) ([]step, error) {
	switch {
	case f.answer.reply == answers:
		return nil, nil
	case f.answer.reply == denied:
		return nil, f.permission()
	case !f.daemon.serves(f.endpoint):
		return nil, f.elsewhere()
	case f.system != "linux":
		return nil, f.foreignSystem()
	case f.answer.reply == strange:
		return nil, f.noEngine()
	case f.uid != 0:
		return nil, f.needsRoot()
	}
	if err := f.final(); err != nil {
		return nil, err
	}
	if live, ok := f.live(); ok {
		return []step{awaitDaemon{live}}, nil
	}
	if f.answer.reply == silent && !f.systemd {
		return nil, f.mute()
	}
	if f.dockerd == "" {
		return f.install()
	}
	cleaning, err := f.clean()
	if err != nil {
		return nil, err
	}
	starts, failure := f.failedStarts()
	if starts >= enoughStarts || (starts > 0 && len(cleaning) == 0) {
		return nil, failure
	}
	if f.systemd {
		return append(cleaning, startUnit{}), nil
	}
	return append(cleaning, startDaemon{f.dockerd}), nil
}

// live is the dockerd that runs for this endpoint without answering: the one
// its pid file names, or else the parent of its containerd, for a pid file
// can be lost.
func (f facts) live() (process, bool) {
	if p := f.dockerPid.process; p.isDockerd(f.daemon.PidFile) {
		return p, true
	}
	for _, containerd := range f.containerds {
		if parent := f.parents[containerd.parent]; parent.isDockerd(f.daemon.PidFile) {
			return parent, true
		}
	}
	return process{}, false
}

// clean lists what must go before a dockerd can start, once no live one is
// left: its pid files are stale then, whatever they name.
//
// What dockerd does with them was seen on 20.10 and 26.1. It refuses to start
// while docker.pid names any process, zombies included. Any process that
// containerd.pid names it takes for its own containerd, whose socket it has
// just removed, and gives up after 15 s: so it cannot use a containerd that
// outlived another dockerd either. 20.10 refuses a containerd.pid that holds
// no number. A socket where a containerd of the system's once listened makes
// it wait a minute and give up. A socket of its own it replaces: that one may
// stay.
func (f facts) clean() ([]step, error) {
	var steps []step
	for _, p := range f.containerds {
		steps = append(steps, stopOrphan{p})
	}
	for _, file := range []pidFile{f.dockerPid, f.containerdPid} {
		if !file.exists || (file.err != nil && file.pid == 0) {
			// What cannot be read, dockerd can name better.
			continue
		}
		why := file.names()
		if file.process.isContainerd(f.daemon.containerdConfig()) {
			why = fmt.Sprintf("it names the containerd of process %d, just stopped", file.pid)
		}
		steps = append(steps, removeFile{file.path, why})
	}
	if f.containerdSocket != refused {
		return steps, nil
	}
	if f.daemon.Containerd != "" || len(f.shims) > 0 {
		return nil, f.deadContainerd()
	}
	return append(steps, removeFile{f.daemon.SystemContainerd, "no containerd listens on it, and dockerd would wait for one"}), nil
}

// install lists what brings a dockerd onto the machine.
func (f facts) install() ([]step, error) {
	if !f.distribution.debian() || !f.apt {
		return nil, f.unknownSystem()
	}
	var updated bool
	var update, install error
	for _, a := range f.attempts {
		switch a.step.(type) {
		case updateLists:
			updated, update, install = true, a.err, nil
		case installEngine:
			if install = a.err; install == nil {
				return nil, f.notInstalled()
			}
		}
	}
	switch {
	// Lists that are there may be too old to fetch from.
	case !updated && (!f.candidate || install != nil):
		return []step{updateLists{}, installEngine{}}, nil
	case install != nil:
		return nil, install
	// One broken source fails the update of all; the others may do.
	case update != nil && !f.candidate:
		return nil, update
	}
	return []step{installEngine{}}, nil
}

// final is the error of a step that is not worth another look.
func (f facts) final() error {
	if len(f.attempts) == 0 {
		return nil
	}
	last := f.attempts[len(f.attempts)-1]
	switch last.step.(type) {
	case awaitDaemon:
		// One that ended while it was waited for is started anew.
		if errors.Is(last.err, errEnded) {
			return nil
		}
		return last.err
	case startUnit, startDaemon:
		if errors.Is(last.err, errSlow) {
			return last.err
		}
		return nil
	case removeFile, stopOrphan:
		return last.err
	}
	return nil
}

// failedStarts counts the starts that failed, with the error of the last.
func (f facts) failedStarts() (int, error) {
	count, last := 0, error(nil)
	for _, a := range f.attempts {
		switch a.step.(type) {
		case startUnit, startDaemon:
			if a.err == nil {
				a.err = errors.New("the daemon was started, answered, and answers no more")
			}
			count, last = count+1, a.err
		}
	}
	return count, last
}

// The sentences of a machine where nothing can be done.

func (f facts) permission() error {
	return problem.Problem{
		ID: "engine-permission", Where: f.endpoint.String(), Err: f.answer.err,
		What: "a container engine is there, but this user may not speak to it",
		Fix:  "run the command as root (sudo), or run `sudo usermod -aG docker \"$USER\"` and log in again",
	}
}

func (f facts) elsewhere() error {
	if f.endpoint.From == "" {
		return problem.Problem{
			ID: "engine-elsewhere", Where: f.daemon.Config, Err: f.answer.err,
			What: fmt.Sprintf("it makes dockerd listen on %s, and the Docker tools look for it at %s", strings.Join(f.daemon.Hosts, ", "), f.endpoint.Host),
			Fix:  "set DOCKER_HOST to one of these addresses, or add " + f.endpoint.Host + " to \"hosts\" in that file",
		}
	}
	fix := "start that engine, or choose another: unset DOCKER_HOST, or run `docker context use default`"
	if strings.HasPrefix(f.endpoint.Host, "ssh://") {
		fix = "reach it through its socket instead: `ssh -NL /tmp/docker.sock:/var/run/docker.sock HOST`, and DOCKER_HOST=unix:///tmp/docker.sock"
	}
	return problem.Problem{
		ID: "engine-unreachable", Where: f.endpoint.String(), Err: f.answer.err,
		What: fmt.Sprintf("the container engine chosen there does not answer: %v", f.answer.err),
		Fix:  fix,
	}
}

func (f facts) foreignSystem() error {
	return problem.Problem{
		ID: "engine-missing", Where: f.endpoint.String(), Err: f.answer.err,
		What: "no container engine answers, and on " + f.system + " none is installed automatically",
		Fix:  "install and start Docker Desktop (https://docs.docker.com/get-docker/), then run the command again",
	}
}

func (f facts) noEngine() error {
	return problem.Problem{
		ID: "engine-strange", Where: f.endpoint.String(), Err: f.answer.err,
		What: fmt.Sprintf("what listens there does not answer as a container engine does: %v", f.answer.err),
		Fix:  "look at what it is with `ss -lxp`, and stop it or set DOCKER_HOST to the engine to use",
	}
}

func (f facts) needsRoot() error {
	what, fix := "no container engine runs here, and only root can start one", "run the command as root (sudo)"
	switch {
	case f.answer.reply == silent:
		what = "the container engine takes connections and does not answer, and only root can see why"
	case f.dockerd == "":
		what = "no container engine is installed here, and only root can install one"
	case f.systemd:
		fix = "run `sudo systemctl start docker`, or the command itself as root (sudo)"
	}
	return problem.Problem{
		ID: "engine-root", Where: f.endpoint.String(), Err: f.answer.err, What: what,
		Fix: fix + ", or set DOCKER_HOST to an engine of your own",
	}
}

func (f facts) unknownSystem() error {
	name := f.distribution.name
	if name == "" {
		name = "this system"
	}
	return problem.Problem{
		ID: "engine-missing", Where: f.endpoint.String(), Err: f.answer.err,
		What: "no container engine is installed, and on " + name + " none is installed automatically (Debian and Ubuntu are known)",
		Fix:  "install Docker Engine (https://docs.docker.com/engine/install/), then run the command again",
	}
}

func (f facts) notInstalled() error {
	return problem.Problem{
		ID: "engine-install", Where: packageName,
		What: "the package is installed, but there is no program dockerd in " + os.Getenv("PATH") + " nor in " + strings.Join(superuserPath, ":"),
		Fix:  "see what it holds with `dpkg -L " + packageName + "`, and add the directory of dockerd to PATH",
	}
}

func (f facts) mute() error {
	return problem.Problem{
		ID: "engine-mute", Where: f.endpoint.String(), Err: f.answer.err,
		What: "something takes connections there and does not answer, and it is not the dockerd of " + f.daemon.PidFile,
		Fix:  "see what it is with `ss -lxp | grep " + filepath.Base(f.endpoint.Socket()) + "`, and restart or stop it",
	}
}

func (f facts) deadContainerd() error {
	socket := f.daemon.Containerd
	if socket == "" {
		socket = f.daemon.SystemContainerd
	}
	what := "dockerd needs the containerd of this socket, and none listens on it"
	if len(f.shims) > 0 {
		what = fmt.Sprintf("containers still run (%s) whose containerd is gone, and a second one would start them twice", f.shims[0])
	}
	return problem.Problem{
		ID: "containerd-gone", Where: socket, What: what,
		Fix: "start that containerd, then run the command again",
	}
}
