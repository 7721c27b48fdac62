package proof

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// owner is whose the logs are: not root's, as inmanta is not, unless these
// tests are somebody else's themselves.
var owner = func() int {
	if self := os.Geteuid(); self != 0 {
		return self
	}
	return 4321
}()

// A writer is one log's, or one of a log's several.
type writer struct {
	ID   string `json:"id"`
	Kind string `json:"kind"` // watched, stalled, file, append, kept, inherited: see testdata/writers.py
	Path string `json:"path"`
	// Lines a second; 0 is as fast as it goes.
	Rate int `json:"rate,omitempty"`
	// Bytes of a line, its end included; 0 is 100.
	Length int `json:"length,omitempty"`
	// It stops after so many; 0 is when it is told to.
	Lines int `json:"lines,omitempty"`
	// Seconds between stat and write of kind stalled.
	Stall float64 `json:"stall,omitempty"`
}

// writers are a Python program that writes logs.
type writers struct {
	t       *testing.T
	command *exec.Cmd
	input   io.WriteCloser
	answers *bufio.Reader
	said    *strings.Builder
	journal string
	all     []writer
}

// start begins writing, as the logs' owner, and ends with the test at the latest.
func start(t *testing.T, all ...writer) *writers {
	t.Helper()
	w := &writers{t: t, all: all, journal: filepath.Join(t.TempDir(), "journal"), said: &strings.Builder{}}
	if err := os.WriteFile(w.journal, make([]byte, 8*len(all)), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string]any{"journal": w.journal, "uid": owner, "writers": all})
	if err != nil {
		t.Fatal(err)
	}
	program, err := filepath.Abs("testdata/writers.py")
	if err != nil {
		t.Fatal(err)
	}
	w.command = exec.Command("python3", program, string(config))
	w.command.Stderr = w.said
	// The shells that inherit a log go with it.
	w.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if w.input, err = w.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	output, err := w.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.answers = bufio.NewReader(output)
	if err := w.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.kill)
	w.answered("ready")
	return w
}

func (w *writers) kill() {
	// Its group, while its number is still its own.
	_ = syscall.Kill(-w.command.Process.Pid, syscall.SIGKILL)
	_ = w.command.Wait()
}

func (w *writers) answered(want string) {
	w.t.Helper()
	line, err := w.answers.ReadString('\n')
	if err != nil || strings.TrimSpace(line) != want {
		w.kill()
		w.t.Fatalf("the writers say %q (%v), want %q: %s", line, err, want, w.said)
	}
}

// tell gives a command, and returns when it is carried out.
func (w *writers) tell(command ...string) {
	w.t.Helper()
	if _, err := io.WriteString(w.input, strings.Join(command, " ")+"\n"); err != nil {
		w.t.Fatalf("telling the writers: %v: %s", err, w.said)
	}
	w.answered("done")
}

// stop ends the writing; what was written is known by then.
func (w *writers) stop() {
	w.t.Helper()
	w.tell("stop")
	if err := w.command.Wait(); err != nil {
		w.t.Fatalf("the writers: %v: %s", err, w.said)
	}
	if w.said.Len() != 0 {
		w.t.Errorf("the writers say: %s", w.said)
	}
}

// acknowledged is the number of the last line of each writer of a log whose
// write(2) has returned.
func (w *writers) acknowledged(path string) map[string]uint64 {
	w.t.Helper()
	journal, err := os.ReadFile(w.journal)
	if err != nil {
		w.t.Fatal(err)
	}
	numbers := map[string]uint64{}
	for i, one := range w.all {
		if one.Path != path {
			continue
		}
		numbers[one.ID] = binary.NativeEndian.Uint64(journal[8*i:])
		if one.Kind == "inherited" {
			numbers[one.ID+"c"] = numbers[one.ID]
		}
	}
	return numbers
}

// wait returns when each writer has written that many lines more than now.
func (w *writers) wait(more uint64) {
	w.t.Helper()
	read := func() []uint64 {
		var numbers []uint64
		for _, one := range w.all {
			numbers = append(numbers, w.acknowledged(one.Path)[one.ID])
		}
		return numbers
	}
	from := read()
	eventually(w.t, func() error {
		for i, number := range read() {
			if number < from[i]+more {
				return fmt.Errorf("%s has written %d lines, want %d", w.all[i].ID, number, from[i]+more)
			}
		}
		return nil
	})
}

// eventually waits for something that nothing tells of.
func eventually(t *testing.T, happened func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if err = happened(); err == nil {
			return
		}
	}
	t.Fatal(err)
}
