package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// mountable says why this machine does not let anybody mount a file system that
// a program serves; empty when it does. It finds out by mounting one that
// nothing serves, the way sshfs would, and taking it away again.
func mountable(t *testing.T) (why string) {
	t.Helper()
	const mounter = "fusermount3"
	dir := t.TempDir()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	defer theirs.Close()
	// It opens /dev/fuse, mounts, and hands over the descriptor on this socket.
	mount := exec.Command(mounter, "-o", "fsname=inmanta-docker-e2e", "--", dir)
	mount.ExtraFiles = []*os.File{theirs}
	mount.Env = append(os.Environ(), "_FUSE_COMMFD=3")
	out, err := mount.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Fatalf("%s is not installed: `e2e/clients` installs what these tests need", mounter)
	}
	if err != nil {
		return fmt.Sprintf("%s: %v", strings.TrimSpace(string(out)), err)
	}
	if out, err := exec.Command(mounter, "-u", "-z", "--", dir).CombinedOutput(); err != nil {
		t.Fatalf("taking away the file system that was mounted to try: %v\n%s", err, out)
	}
	return ""
}
