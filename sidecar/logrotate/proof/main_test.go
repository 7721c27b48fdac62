package proof

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inside is set where the tests run apart from the rest of the machine, to the
// folder that is theirs alone.
const inside = "INMANTA_PROOF_INSIDE"

func TestMain(m *testing.M) {
	if os.Getenv(subjectConfig) != "" {
		if err := subject(os.Getenv(subjectConfig)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// Most of what these tests do is to wait.
	_ = flag.Set("test.parallel", strconv.Itoa(4*runtime.GOMAXPROCS(0)))
	if os.Getenv(inside) != "" {
		if err := settle(os.Getenv(inside)); err != nil {
			fmt.Fprintln(os.Stderr, "proof:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	if os.Geteuid() != 0 {
		os.Exit(m.Run()) // without mounts; each test says what it does not do
	}
	code, err := apart()
	if err != nil {
		fmt.Fprintln(os.Stderr, "proof:", err)
		code = 1
	}
	os.Exit(code)
}

// apart runs the tests once more, in namespaces of their own: when the first
// process there ends, however it does, so do all others, and with the last one
// all mounts, loop devices and files go.
func apart() (code int, err error) {
	folder, err := place()
	if err != nil {
		return 0, err
	}
	defer os.Remove(folder)
	// What is started ends with this thread, so the thread has to stay.
	runtime.LockOSThread()
	tests := exec.Command("/proc/self/exe", os.Args[1:]...)
	tests.Args[0] = os.Args[0]
	tests.Stdin, tests.Stdout, tests.Stderr = os.Stdin, os.Stdout, os.Stderr
	tests.Env = append(os.Environ(), inside+"="+folder, "TMPDIR="+folder)
	tests.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig:    syscall.SIGKILL,
		Unshareflags: syscall.CLONE_NEWNS,
		Cloneflags:   syscall.CLONE_NEWPID,
	}
	err = tests.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, is := exit.Sys().(syscall.WaitStatus); is && status.Signaled() {
			return 1, fmt.Errorf("the tests ended by %s", status.Signal())
		}
		return exit.ExitCode(), nil
	}
	return 0, err
}

// place makes the folder that the tests' files are mounted on. It is empty for
// everybody else, so those of runs that were killed can go.
func place() (folder string, err error) {
	prefix := filepath.Join(os.TempDir(), "inmanta-proof-")
	left, err := filepath.Glob(prefix + "*")
	if err != nil {
		return "", err
	}
	for _, other := range left {
		pid, err := strconv.Atoi(strings.TrimPrefix(other, prefix))
		if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.Remove(other)
		}
	}
	folder = prefix + strconv.Itoa(os.Getpid())
	return folder, os.Mkdir(folder, 0o755)
}

// settle makes the namespaces usable: processes under their numbers here, and
// files in memory, which no other load of the machine's disk delays.
func settle(folder string) error {
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	if err := unix.Mount("proof", folder, "tmpfs", 0, "size=4g,mode=755"); err != nil {
		return fmt.Errorf("mounting %s: %w", folder, err)
	}
	return nil
}
