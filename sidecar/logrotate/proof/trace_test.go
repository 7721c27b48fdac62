package proof

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file runs a process under ptrace(2), and stops it before each system
// call that changes a file: between any two of them a kill finds the same on
// disk, so a kill before each of them is a kill at any moment but within one.

// A change is such a system call.
type change struct {
	call string
	path string // of the file, or its name in a folder
}

func (c change) String() string { return c.call + " " + c.path }

// traced lets a process carry out its task once, on its own, and asks before each
// change whether it may go on; if not, it is dead when this returns.
func traced(t *testing.T, what task, may func(number int, next change) bool) (answer, error) {
	t.Helper()
	what.Once = true
	program, environment := what.program(t)
	said, err := os.CreateTemp(t.TempDir(), "said")
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	type end struct {
		killed bool
		err    error
	}
	ended := make(chan end)
	go func() {
		// Only this thread may deal with what it started; it ends with it.
		runtime.LockOSThread()
		killed, err := trace(program, environment, said, may)
		ended <- end{killed, err}
	}()
	of := <-ended
	if of.err != nil {
		t.Fatal(of.err)
	}
	if of.killed {
		return answer{}, errDied
	}
	text, err := os.ReadFile(said.Name())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	var last answer
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return last, nil
}

const traceOptions = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK |
	unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_EXITKILL

func trace(program string, environment []string, said *os.File, may func(int, change) bool) (killed bool, err error) {
	pid, err := syscall.ForkExec(program, []string{"proof"}, &syscall.ProcAttr{
		Env: environment, Files: []uintptr{0, said.Fd(), said.Fd()}, Sys: &syscall.SysProcAttr{Ptrace: true, Setpgid: true},
	})
	if err != nil {
		return false, err
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil {
		return false, err
	}
	if err := unix.PtraceSetOptions(pid, traceOptions); err != nil {
		return false, err
	}
	if err := unix.PtraceSyscall(pid, 0); err != nil {
		return false, err
	}
	number := 0
	for {
		// Of its group only: this program has other children.
		thread, err := unix.Wait4(-pid, &status, unix.WALL, nil)
		if err != nil {
			return false, err
		}
		if status.Exited() || status.Signaled() {
			if thread != pid {
				continue
			}
			if status.Exited() && status.ExitStatus() != 0 {
				text, _ := os.ReadFile(said.Name())
				return false, fmt.Errorf("the process that rotates ended with %d: %s", status.ExitStatus(), text)
			}
			return status.Signaled(), nil
		}
		signal := status.StopSignal()
		switch {
		case signal == syscall.SIGTRAP|0x80:
			signal = 0
			next, is, err := entered(thread)
			if err != nil && !errors.Is(err, unix.ESRCH) {
				return false, err
			}
			if !is {
				break
			}
			if number++; !may(number, next) {
				if err := unix.Kill(pid, unix.SIGKILL); err != nil {
					return false, err
				}
			}
		case signal == syscall.SIGTRAP, signal == syscall.SIGSTOP:
			signal = 0 // a thread begins
		}
		// One that is being killed is not there to go on.
		if err := unix.PtraceSyscall(thread, int(signal)); err != nil && !errors.Is(err, unix.ESRCH) {
			return false, err
		}
	}
}

// entry is what PTRACE_GET_SYSCALL_INFO says at the beginning of a system call.
type entry struct {
	op     uint8
	_      [3]uint8
	_      uint32
	_, _   uint64
	number uint64
	args   [6]uint64
}

const entering = 1 // PTRACE_SYSCALL_INFO_ENTRY

// Which argument names a file: by a descriptor, or by its name in a folder.
var (
	byDescriptor = map[uint64]string{
		unix.SYS_WRITE: "write", unix.SYS_PWRITE64: "pwrite", unix.SYS_FSYNC: "fsync", unix.SYS_FDATASYNC: "fdatasync",
		unix.SYS_FTRUNCATE: "ftruncate", unix.SYS_FALLOCATE: "fallocate", unix.SYS_FCHMOD: "fchmod",
		unix.SYS_COPY_FILE_RANGE: "copy_file_range",
	}
	byName = map[uint64]string{
		unix.SYS_OPENAT: "create", unix.SYS_UNLINKAT: "unlink", unix.SYS_RENAMEAT: "rename", unix.SYS_RENAMEAT2: "rename",
		unix.SYS_LINKAT: "link", unix.SYS_MKDIRAT: "mkdir",
	}
)

// entered says whether a thread is about to change a file, and which.
func entered(thread int) (change, bool, error) {
	var e entry
	_, _, failed := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(thread),
		unsafe.Sizeof(e), uintptr(unsafe.Pointer(&e)), 0, 0)
	if failed != 0 {
		return change{}, false, failed
	}
	if e.op != entering {
		return change{}, false, nil
	}
	if call, is := byDescriptor[e.number]; is {
		path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", thread, int32(e.args[0])))
		// Neither a pipe nor what it says to the test.
		if err != nil || !strings.HasPrefix(path, "/") || int32(e.args[0]) <= 2 {
			return change{}, false, nil
		}
		return change{call, path}, true, nil
	}
	call, is := byName[e.number]
	if !is || e.number == unix.SYS_OPENAT && e.args[2]&unix.O_CREAT == 0 {
		return change{}, false, nil
	}
	name := make([]byte, 300)
	n, err := unix.PtracePeekData(thread, uintptr(e.args[1]), name)
	if end := slices.Index(name[:n], 0); end >= 0 {
		n, err = end, nil
	}
	return change{call, string(name[:n])}, true, err
}
