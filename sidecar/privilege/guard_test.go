//go:build !race

// The race detector needs cgo, with which Go changes no thread but one.

package privilege

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain lets this binary be a guarded process, and its launcher.
func TestMain(m *testing.M) {
	var err error
	switch {
	case len(os.Args) > 2 && os.Args[1] == "guarded":
		err = guarded(os.Args[2])
	case len(os.Args) > 3 && os.Args[1] == "session":
		err = Become(os.Args[2], os.Args[3:], os.Environ())
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// guarded gives up root, then says what it is and what its session can do to it.
func guarded(folder string) error {
	if err := Guard(inmanta); err != nil {
		return err
	}
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	fmt.Print(string(text))
	if err := os.WriteFile(filepath.Join(folder, "file"), nil, 0o600); err != nil {
		return err
	}
	for _, back := range []func() error{
		func() error { return syscall.Setresuid(0, 0, 0) },
		func() error { return syscall.Setresgid(0, 0, 0) },
		func() error { return syscall.Setgroups([]int{0}) },
		func() error { return unix.Chroot("/") },
	} {
		if back() == nil {
			return fmt.Errorf("there is a way back")
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	pid := os.Getpid()
	session := exec.Command(self, "session", "/bin/sh", "-sh", "-c", fmt.Sprintf(`
		echo "session: $0 $(id -u) $(id -ru) $(id -g) oom $(cat /proc/self/oom_score_adj)"
		grep Uid: /proc/$$/status
		for signal in TERM KILL STOP HUP; do kill -$signal %[1]d 2>/dev/null && echo "may send $signal"; done
		cat /proc/%[1]d/environ >/dev/null 2>&1 && echo "may read its environment"
		cat /proc/%[1]d/maps >/dev/null 2>&1 && echo "may read its maps"
		ls /proc/%[1]d/fd >/dev/null 2>&1 && echo "may see its descriptors"
		true 2>/dev/null >/proc/%[1]d/mem && echo "may write its memory"
		echo 0 2>/dev/null >/proc/%[1]d/oom_score_adj && echo "may change its badness"
		echo over`, pid))
	session.Env = []string{"SECRET=of the session", "PATH=/usr/bin:/bin"}
	output, err := session.CombinedOutput()
	fmt.Print(string(output))
	return err
}

func TestGuard(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		return // what there is to see without root is in TestGuardServesNobodyAsRoot
	}
	folder, err := os.MkdirTemp("/tmp", "guard-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	// The binary is where the user can get at it, as the sidecar's is.
	self := filepath.Join(folder, "guard")
	if err := copyFile(self); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{os.Chmod(folder, 0o711), os.Chown(folder, inmanta.UID, inmanta.GID)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	output, err := exec.Command(self, "guarded", folder).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	said := map[string]bool{}
	for lines := bufio.NewScanner(strings.NewReader(string(output))); lines.Scan(); {
		said[strings.Join(strings.Fields(lines.Text()), " ")] = true
		if strings.Contains(lines.Text(), "may ") {
			t.Errorf("a session %s", lines.Text())
		}
	}
	for _, want := range []string{
		"Uid: 64022 997 64022 997", "Gid: 995 995 995 995", "Groups: 995", "CapEff: 0000000000000000", "CapBnd: 0000000000000000", "NoNewPrivs: 1",
		"session: -sh 997 997 995 oom " + strconv.Itoa(firstToDie), "Uid: 997 997 997 997", "over",
	} {
		if !said[want] {
			t.Errorf("it does not say %q:\n%s", want, output)
		}
	}
	info, err := os.Stat(filepath.Join(folder, "file"))
	if err != nil {
		t.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t); int(owner.Uid) != inmanta.UID || int(owner.Gid) != inmanta.GID {
		t.Errorf("a file that it makes is of %d:%d", owner.Uid, owner.Gid)
	}
}

func copyFile(to string) error {
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer from.Close()
	file, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, from); err != nil {
		return err
	}
	return file.Close()
}
