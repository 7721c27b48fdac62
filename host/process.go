package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// process is one process as /proc shows it.
type process struct {
	pid, parent int
	// name is the kernel's short name of it, at most 15 bytes.
	name string
	// state is the kernel's letter: R, S, D, T (stopped), Z (zombie), X.
	state byte
	// started counts clock ticks since boot: with pid, what tells a process
	// from a later one of the same id.
	started uint64
	// executable is the file it runs; empty when that cannot be seen.
	executable string
	arguments  []string
	uid        int
	// near is whether it lives in the pid namespace of this process, so that
	// an id it wrote into a file means what it means here.
	near bool
}

// alive is whether it still runs: a zombie is dead, and only its parent can
// take it away.
func (p process) alive() bool {
	return p.pid > 0 && p.state != 'Z' && p.state != 'X'
}

// runs is whether it is a process of the named program.
func (p process) runs(program string) bool {
	return p.name == program || strings.TrimSuffix(filepath.Base(p.executable), " (deleted)") == program
}

// argument is the value of a command-line flag, given as --name=value, --name
// value, or by its short name.
func (p process) argument(names ...string) string {
	for i, argument := range p.arguments {
		for _, name := range names {
			if value, ok := strings.CutPrefix(argument, name+"="); ok {
				return value
			}
			if argument == name && i+1 < len(p.arguments) {
				return p.arguments[i+1]
			}
		}
	}
	return ""
}

// String names it for a person.
func (p process) String() string {
	switch p.state {
	case 'Z', 'X':
		return fmt.Sprintf("process %d, a zombie (dead %s that its parent, process %d, has not reaped)", p.pid, p.name, p.parent)
	case 'T', 't':
		return fmt.Sprintf("process %d (%s, stopped by a signal)", p.pid, p.name)
	}
	return fmt.Sprintf("process %d (%s)", p.pid, p.name)
}

// isDockerd is whether it is the dockerd that keeps its id in pidFile: not
// one of a container, of another user, or with a pid file of its own that
// merely got the id.
func (p process) isDockerd(pidFile string) bool {
	other := p.argument("--pidfile", "-p")
	return p.alive() && p.near && p.uid == 0 && p.runs("dockerd") &&
		(other == "" || samePath(other, pidFile))
}

// isContainerd is whether it is the containerd dockerd started with this
// configuration file.
func (p process) isContainerd(config string) bool {
	return p.alive() && p.near && p.runs("containerd") && samePath(p.argument("--config", "-c"), config)
}

// parseStat reads /proc/PID/stat. The name stands in parentheses and may hold
// any byte, parentheses included.
func parseStat(text []byte) (process, error) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return process{}, fmt.Errorf("no process name in %q", text)
	}
	// fields[0] is the third field of proc(5).
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 20 || len(fields[0]) != 1 {
		return process{}, fmt.Errorf("too few fields in %q", text)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:open])))
	if err != nil {
		return process{}, fmt.Errorf("reading the process id: %w", err)
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return process{}, fmt.Errorf("reading the parent's id: %w", err)
	}
	started, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return process{}, fmt.Errorf("reading the start time: %w", err)
	}
	return process{
		pid: pid, parent: parent, name: string(text[open+1 : end]),
		state: fields[0][0], started: started,
	}, nil
}

// readProcess looks at one process. A pid nobody has, or only a thread has,
// gives a process whose pid is 0.
func readProcess(pid int) (process, error) {
	directory := filepath.Join("/proc", strconv.Itoa(pid))
	text, err := os.ReadFile(filepath.Join(directory, "stat"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return process{}, nil
	}
	if err != nil {
		return process{}, fmt.Errorf("looking at process %d: %w", pid, err)
	}
	p, err := parseStat(text)
	if err != nil {
		return process{}, fmt.Errorf("looking at process %d: %w", pid, err)
	}
	// Whatever cannot be seen (the process may be gone by now) stays empty,
	// and so makes the process nobody's daemon.
	p.executable, _ = os.Readlink(filepath.Join(directory, "exe"))
	if line, err := os.ReadFile(filepath.Join(directory, "cmdline")); err == nil {
		p.arguments = strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
	}
	status, _ := os.ReadFile(filepath.Join(directory, "status"))
	if leader, ok := statusNumber(status, "Tgid"); ok && leader != pid {
		return process{}, nil
	}
	p.uid = -1
	if uid, ok := statusNumber(status, "Uid"); ok {
		p.uid = uid
	}
	theirs, _ := os.Readlink(filepath.Join(directory, "ns", "pid"))
	mine, _ := os.Readlink("/proc/self/ns/pid")
	p.near = theirs != "" && theirs == mine
	return p, nil
}

// statusNumber is the first number of one line of /proc/PID/status.
func statusNumber(status []byte, name string) (int, bool) {
	for line := range strings.Lines(string(status)) {
		rest, ok := strings.CutPrefix(line, name+":")
		if !ok {
			continue
		}
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			return 0, false
		}
		number, err := strconv.Atoi(fields[0])
		return number, err == nil
	}
	return 0, false
}

// gone is whether the process is dead or its id belongs to another by now.
func (p process) gone() bool {
	now, err := readProcess(p.pid)
	return err == nil && (!now.alive() || now.started != p.started)
}

// processes lists the processes the machine runs, in no order.
func processes() ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var all []process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if p, err := readProcess(pid); err == nil && p.pid != 0 {
			all = append(all, p)
		}
	}
	return all, nil
}

// pidFile is a file that should name a running process, and what it names.
type pidFile struct {
	path string
	// exists is whether there is such a file; err why it could not be read.
	exists bool
	err    error
	// text is what it holds; pid the number that is, 0 if it is none.
	text string
	pid  int
	// process is the one of that id; its pid is 0 when there is none.
	process process
}

// readPidFile looks at a pid file and at the process behind it.
func readPidFile(path string) pidFile {
	file := pidFile{path: path, exists: true}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return pidFile{path: path}
	}
	if err != nil {
		file.err = err
		return file
	}
	file.text, file.pid = parsePid(text)
	if file.pid != 0 {
		file.process, file.err = readProcess(file.pid)
	}
	return file
}

// parsePid reads the content of a pid file: 0 for what is no process id.
func parsePid(text []byte) (string, int) {
	trimmed := strings.TrimSpace(string(text))
	pid, err := strconv.ParseInt(trimmed, 10, 32)
	if err != nil || pid < 1 {
		return trimmed, 0
	}
	return trimmed, int(pid)
}

// names says what the file names, for a person.
func (f pidFile) names() string {
	switch {
	case f.text == "":
		return "it is empty"
	case f.pid == 0:
		return fmt.Sprintf("it holds %.40q, which is no process id", f.text)
	case f.process.pid == 0:
		return fmt.Sprintf("it names process %d, which is gone", f.pid)
	case !f.process.alive():
		return fmt.Sprintf("it names %s", f.process)
	}
	return fmt.Sprintf("its daemon is gone, and it now names %s", f.process)
}
