// Package privilege turns a process that started as root into one that serves
// an ordinary user and that this user cannot touch, and starts that user's own
// processes from there.
//
// The kernel lets a user signal and trace a process whose real and saved user
// ids are the user's own (kill(2), ptrace(2)). A guarded process has only its
// effective id in common with the user: files it makes are the user's, and
// everything of the user's is open to it, but nothing of the user's can stop
// it, read its memory or take over its descriptors.
package privilege

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// GuardUID is the real and saved user id of a guarded process: no account of
// the orchestrator's or of PostgreSQL's image has it, and no file is its own.
const GuardUID = 64022

// Identity is a user as the kernel knows it.
type Identity struct {
	UID, GID int
	// Groups are its supplementary groups.
	Groups []int
}

// Guard makes this process, all threads of it, one that serves the identity:
// no capability is left, nor a way to get one back, and neither memory nor
// descriptors are open to others of the same user. There is no way back.
//
// It takes root with CAP_SETUID, CAP_SETGID and CAP_SETPCAP. When it fails the
// process must end: it may be half way.
func Guard(id Identity) error {
	if err := leaveRoot(id, GuardUID); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("closing memory and descriptors to others: %w", err)
	}
	return verify(id, GuardUID)
}

// Leave makes this process, all threads of it, an ordinary one of the identity:
// as Guard does, but for one that is not to be kept from others of the user, and
// whose children are to be the user's like any.
func Leave(id Identity) error {
	if err := leaveRoot(id, id.UID); err != nil {
		return err
	}
	return verify(id, id.UID)
}

// leaveRoot gives up all that root has over others, for good; real is the real
// and saved user id of the process from then on.
func leaveRoot(id Identity, real int) error {
	if id.UID == 0 || id.GID == 0 {
		return fmt.Errorf("user %d, group %d: root is not somebody to serve", id.UID, id.GID)
	}
	if os.Getuid() != 0 {
		return fmt.Errorf("started as user %d: only root can become another user for good", os.Getuid())
	}
	for capability := 0; ; capability++ {
		// Asked first, since it takes all threads a while to agree on anything;
		// what one of them has is what all have, which verify makes sure of.
		held, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(capability), 0, 0, 0)
		if errors.Is(err, unix.EINVAL) && capability > 0 {
			break // the kernel knows no more of them
		}
		if err == nil && held == 1 {
			err = everyThread(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(capability))
		}
		if err != nil {
			return fmt.Errorf("giving up capability %d for good: %w", capability, err)
		}
	}
	if err := everyThread(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1); err != nil {
		return fmt.Errorf("ruling out new privileges: %w", err)
	}
	if err := syscall.Setgroups(id.Groups); err != nil {
		return fmt.Errorf("leaving the groups of root: %w", err)
	}
	if err := syscall.Setresgid(id.GID, id.GID, id.GID); err != nil {
		return fmt.Errorf("becoming group %d: %w", id.GID, err)
	}
	if err := syscall.Setresuid(real, id.UID, real); err != nil {
		return fmt.Errorf("becoming user %d: %w", id.UID, err)
	}
	// What was inheritable outlives the change of user.
	if err := everyThread(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&capabilityHeader)), uintptr(unsafe.Pointer(&noCapabilities))); err != nil {
		return fmt.Errorf("giving up what is inheritable: %w", err)
	}
	return nil
}

// What capset(2) is given. Not on a stack, which moves: each thread is handed
// the addresses as numbers.
var (
	capabilityHeader = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	noCapabilities   [2]unix.CapUserData
)

// everyThread makes a system call in each thread: capabilities are a thread's own.
func everyThread(trap, first, second uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall6(trap, first, second, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// verify asks the kernel what became of it, rather than trusting that nothing
// above was left out.
func verify(id Identity, real int) error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("looking at what is left: %w", err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile("/proc/self/task/" + task.Name() + "/status")
		if errors.Is(err, os.ErrNotExist) {
			continue // a thread that has ended
		}
		if err != nil {
			return fmt.Errorf("looking at what is left: %w", err)
		}
		if err := powerless(string(text), id, real); err != nil {
			return err
		}
	}
	return nil
}

// powerless says what power /proc/PID/status (proc(5)) shows that this
// process must not have.
func powerless(status string, id Identity, real int) error {
	want := map[string]string{
		"Uid":        fmt.Sprintf("%d %d %d %d", real, id.UID, real, id.UID),
		"Gid":        fmt.Sprintf("%d %d %d %d", id.GID, id.GID, id.GID, id.GID),
		"NoNewPrivs": "1",
	}
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		want[set] = "0000000000000000"
	}
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		expected, checked := want[name]
		if !checked {
			continue
		}
		delete(want, name)
		if got := strings.Join(strings.Fields(value), " "); got != expected {
			return fmt.Errorf("%s is %s, not %s: a privilege is left", name, got, expected)
		}
	}
	if len(want) > 0 {
		return fmt.Errorf("the kernel does not say all of what is left: %s", status)
	}
	return nil
}

// firstToDie is what the kernel adds to a process's badness when memory runs
// out (proc(5), oom_score_adj): a session's goes before the server does.
const firstToDie = 500

// Become makes this process an ordinary one of the user that it has as its
// effective one, and runs the program in it: a guarded process calls it in a
// child of its own. It returns only when it fails.
//
// The program gets argv as its arguments, argv[0] included.
func Become(program string, argv, environment []string) error {
	uid := os.Geteuid()
	if err := syscall.Setresuid(uid, uid, uid); err != nil {
		return fmt.Errorf("becoming user %d: %w", uid, err)
	}
	// Its own files in /proc are closed to it until it may be dumped.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err == nil {
		_ = os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(firstToDie)), 0) // a courtesy to the server
	}
	if err := syscall.Exec(program, argv, environment); err != nil {
		return fmt.Errorf("running %s: %w", program, err)
	}
	return nil
}
