package proof

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/policy"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/rotation"
)

// This file is the process that rotates, in tests that kill it: the same
// program, started again with a task in its environment.

// subjectConfig holds a task, as JSON.
const subjectConfig = "INMANTA_PROOF_SUBJECT"

// A task is what a process that rotates is to do.
type task struct {
	Folder, State string
	// The user that it becomes first; 0 is nobody else.
	UID int
	// It ends, as by SIGKILL, before that step, at the time that it comes by;
	// 1 is the first.
	DieAt  string
	DieNth int
	// A shell command that it runs before that step, the first time.
	DoAt, Do string
	// Whether it goes on rotating by itself; else it is told to, on its input.
	Loop bool
	// It rotates once, by itself, and ends.
	Once         bool
	Format       archive.Format
	CopyTruncate bool
	// It is the sidecar itself, with these settings (without the beginning that
	// all of them have), and answers at an address.
	Settings map[string]string
	// How many files it may have open; 0 is as many as this program.
	Files   uint64
	Address string
	// Start of its clock, in seconds since 1970; 0 is now. It goes on with the
	// machine's, and at each "advance SECONDS".
	Clock int64

	// The program that does it, and which safeguard it is without; empty is this
	// one, with all.
	Program, Without string `json:"-"`
}

// An answer is what it says after each command.
type answer struct {
	Outcomes []outcome
	Problems []string
}

type outcome struct {
	Segment, Result, Why, Err string
	Archives                  []string
}

func (a answer) String() string {
	text, _ := json.Marshal(a)
	return string(text)
}

// failures are the outcomes that say that something is wrong.
func (a answer) failures() (failed []outcome) {
	for _, one := range a.Outcomes {
		if one.Err != "" {
			failed = append(failed, one)
		}
	}
	return failed
}

// rotator is a process's view of its task.
type rotator struct {
	task
	folder *rotation.Folder
	began  time.Time
	clock  time.Time
	ahead  atomic.Int64 // of the clock, by what it was advanced; in nanoseconds
	passed int
}

func (r *rotator) now() time.Time {
	return r.clock.Add(time.Since(r.began) + time.Duration(r.ahead.Load()))
}

// serve is the sidecar, until its input ends.
func (r *rotator) serve() error {
	policies, wrong := policy.FromSettings(func(name string) string {
		return r.Settings[strings.TrimPrefix(name, "INMANTA_LOGROTATE_")]
	})
	if len(wrong) > 0 {
		return fmt.Errorf("the settings: %v", wrong)
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		defer stop()
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			said, err := r.carryOut(strings.Fields(lines.Text()))
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return
			}
			say(said)
		}
	}()
	say(answer{})
	return logrotate.Serve(ctx, logrotate.Config{
		Folder: r.Folder, State: r.State, Policies: policies, Address: r.Address, Log: os.Stderr, Now: r.now, Step: r.step,
	})
}

// step does what is to be done there, and ends the process where it is to end.
func (r *rotator) step(name string) {
	if name == r.DoAt {
		r.DoAt = ""
		if output, err := exec.Command("sh", "-c", r.Do).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v: %s\n", r.Do, err, output)
			os.Exit(1)
		}
	}
	if name != r.DieAt {
		return
	}
	if r.passed++; r.passed == r.DieNth {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// subject is that process.
func subject(config string) error {
	r := &rotator{began: time.Now(), clock: time.Now()}
	if err := json.Unmarshal([]byte(config), &r.task); err != nil {
		return err
	}
	if r.Clock != 0 {
		r.clock = time.Unix(r.Clock, 0)
	}
	if r.UID != 0 && r.UID != os.Getuid() {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(r.UID), syscall.Setuid(r.UID)); err != nil {
			return err
		}
	}
	if r.Files != 0 {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: r.Files, Max: r.Files}); err != nil {
			return err
		}
	}
	if r.Settings != nil {
		return r.serve()
	}
	var err error
	r.folder, err = rotation.Open(rotation.Options{Path: r.Folder, State: r.State, Now: r.now, Step: r.step})
	if err != nil {
		return err
	}
	first := answer{}
	for _, problem := range r.folder.Problems {
		first.Problems = append(first.Problems, problem.Error())
	}
	say(first)
	for r.Loop {
		if _, err := r.rotate(); err != nil {
			return err
		}
	}
	if r.Once {
		said, err := r.rotate()
		say(said)
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		said, err := r.carryOut(strings.Fields(lines.Text()))
		if err != nil {
			return err
		}
		say(said)
	}
	r.folder.Close()
	return nil
}

func say(a answer) { _, _ = io.WriteString(os.Stdout, a.String()+"\n") }

func (r *rotator) carryOut(command []string) (answer, error) {
	switch command[0] {
	case "rotate":
		return r.rotate()
	case "settle":
		return r.settle()
	case "advance":
		seconds, err := strconv.Atoi(command[1])
		r.ahead.Add(int64(time.Duration(seconds) * time.Second))
		return answer{}, err
	}
	return answer{}, fmt.Errorf("unknown command: %q", command)
}

// logs are all that is there, whatever its name.
func (r *rotator) logs() ([]rotation.Log, error) {
	all, _, err := r.folder.List(func(string) bool { return true })
	return all, err
}

// rotate sets every log aside, once, and settles what can be settled by now.
func (r *rotator) rotate() (answer, error) {
	all, err := r.logs()
	if err != nil {
		return answer{}, err
	}
	var live []rotation.Log
	for _, one := range all {
		if one.Live != nil && len(one.Segments) == 0 {
			live = append(live, one)
		}
	}
	_, failed := r.folder.SetAside(live)
	said, err := r.settle()
	if err != nil {
		return said, err
	}
	err = r.discard()
	for name, why := range failed {
		said.Outcomes = append(said.Outcomes, outcome{Segment: name, Result: string(rotation.Failed), Err: why.Error()})
	}
	return said, err
}

// spare is a log of which no archive is kept.
const spare = "spare.log"

func (r *rotator) discard() error {
	all, err := r.logs()
	for _, one := range all {
		if one.Name != spare {
			continue
		}
		for _, failed := range r.folder.Remove(one.Archives) {
			err = errors.Join(err, failed)
		}
	}
	return err
}

// stepLooked is between what is found in the folder and what is done with it.
const stepLooked = "looked"

// settle looks at what is aside until that has become something or only its
// writer can bring it on. The second that lines on their way may take is over at once.
func (r *rotator) settle() (answer, error) {
	var said answer
	for range 6 {
		all, err := r.logs()
		if err != nil {
			return said, err
		}
		r.step(stepLooked)
		var tasks []rotation.Task
		for _, one := range all {
			for _, segment := range one.Segments {
				tasks = append(tasks, rotation.Task{
					Segment: segment, Format: r.Format, Renewed: one.Live != nil, Take: true, Pieces: one.Pieces(segment), CopyTruncate: r.CopyTruncate,
				})
			}
		}
		pending := false
		said.Outcomes = nil
		r.folder.Settle(context.Background(), slices.Values(tasks), func(o rotation.Outcome) {
			one := outcome{Segment: o.Segment.Base, Result: string(o.Result), Why: o.Why, Archives: o.Archives}
			if o.Err != nil && !errors.Is(o.Err, fs.ErrNotExist) {
				one.Err = o.Err.Error()
			}
			said.Outcomes = append(said.Outcomes, one)
			pending = pending || o.Result == rotation.Waiting && (o.Grows || !o.Again.IsZero())
		})
		if !pending {
			break
		}
		r.ahead.Add(int64(time.Second))
		time.Sleep(2 * time.Millisecond) // for a line or two
	}
	return said, nil
}
