package proof

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
)

// A process rotates, and may be killed.
type process struct {
	t       *testing.T
	command *exec.Cmd
	input   io.WriteCloser
	answers *bufio.Reader
	said    *strings.Builder
	first   answer
}

// errDied is that a process ended by SIGKILL before it answered.
var errDied = errors.New("it was killed")

// program is what carries a task out, and its environment.
func (what task) program(t *testing.T) (path string, environment []string) {
	t.Helper()
	config, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	path = what.Program
	if path == "" {
		path = "/proc/self/exe"
	}
	return path, append(os.Environ(), subjectConfig+"="+string(config), without+"="+what.Without)
}

// launch starts a process that rotates; it may be dead by the time this returns.
func launch(t *testing.T, what task) *process {
	t.Helper()
	p := &process{t: t, said: &strings.Builder{}}
	path, environment := what.program(t)
	p.command = exec.Command(path)
	p.command.Env = environment
	var err error
	p.command.Stderr = p.said
	if p.input, err = p.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	output, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.answers = bufio.NewReader(output)
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// kill ends it as nothing else does; a dead one stays dead.
func (p *process) kill() {
	_ = p.command.Process.Kill()
	_ = p.command.Wait()
}

// answered is what it says next.
func (p *process) answered() (answer, error) {
	line, err := p.answers.ReadBytes('\n')
	if err != nil {
		err = p.command.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
			return answer{}, errDied
		}
		return answer{}, fmt.Errorf("the process that rotates ended: %w: %s", err, p.said)
	}
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return answer{}, fmt.Errorf("%q: %w", line, err)
	}
	return a, nil
}

// tell gives a command.
func (p *process) tell(command string) (answer, error) {
	if _, err := io.WriteString(p.input, command+"\n"); err != nil && !errors.Is(err, syscall.EPIPE) {
		return answer{}, err
	}
	return p.answered()
}

// must gives a command that has to be carried out.
func (p *process) must(command string) answer {
	p.t.Helper()
	a, err := p.tell(command)
	if err != nil {
		p.t.Fatalf("%s: %v", command, err)
	}
	return a
}

// well gives a command of which nothing may fail.
func (p *process) well(command string) answer {
	p.t.Helper()
	a := p.must(command)
	for _, one := range a.failures() {
		p.t.Errorf("%s: %+v", command, one)
	}
	return a
}

// finish ends it properly.
func (p *process) finish() {
	p.t.Helper()
	_ = p.input.Close()
	if err := p.command.Wait(); err != nil {
		p.t.Errorf("the process that rotates: %v: %s", err, p.said)
	}
}

// rotates starts a process that has to live.
func rotates(t *testing.T, what task) *process {
	t.Helper()
	p := launch(t, what)
	var err error
	if p.first, err = p.answered(); err != nil {
		t.Fatal(err)
	}
	return p
}

// taskIn is to rotate a folder, with a folder of state, of the logs' owner.
func taskIn(t *testing.T, folder string) task {
	t.Helper()
	return task{}.in(t, folder)
}

func (what task) in(t *testing.T, folder string) task {
	t.Helper()
	what.Folder, what.State = folder, owned(t, filepath.Join(scratch(t), "state"))
	what.UID, what.Format = owner, archive.Gzip
	return what
}
