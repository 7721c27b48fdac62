package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Files that cannot be read: refused with the file's name, before anything is made.
func TestUnreadableFiles(t *testing.T) {
	t.Parallel()
	const nobody = 65534
	for _, c := range []struct {
		name string
		// spoil is done in a directory with everything in order.
		spoil func(dir string) error
		as    uint32
		// words are what must be said; %DIR is the directory.
		words []string
	}{
		{".env of another user", func(dir string) error { return os.Chmod(filepath.Join(dir, ".env"), 0o600) }, nobody,
			[]string{"%DIR/.env: the file cannot be read: permission denied", "chown"}},
		{".env is a directory", func(dir string) error { return replaced(dir, ".env", os.Mkdir) }, 0,
			[]string{"%DIR/.env: the file cannot be read: is a directory"}},
		{".env leads to itself", func(dir string) error { return looped(dir, ".env") }, 0,
			[]string{"%DIR/.env: the file cannot be read: too many levels of symbolic links"}},
		{"compose file of another user", func(dir string) error { return os.Chmod(filepath.Join(dir, "docker-compose.yml"), 0) }, nobody,
			[]string{"%DIR/docker-compose.yml: the compose file cannot be read", "permission denied", "run as its owner"}},
		{"compose file is a directory", func(dir string) error { return replaced(dir, "docker-compose.yml", os.Mkdir) }, 0,
			[]string{"is a directory"}},
		{"compose file leads to itself", func(dir string) error { return looped(dir, "docker-compose.yml") }, 0,
			[]string{"%DIR/docker-compose.yml: the compose file cannot be read: too many levels of symbolic links"}},
		{"directory of another user", func(dir string) error { return os.Chmod(dir, 0) }, nobody,
			[]string{"%DIR", "permission denied"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := everybodys(t)
			for name, text := range map[string]string{".env": "INMANTA_NAME=unread\n", "docker-compose.yml": "services: {}\n"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.spoil(dir); err != nil {
				t.Fatal(err)
			}
			code, said := runAs(t, c.as, "-f", filepath.Join(dir, "docker-compose.yml"), "up")
			if code != 1 {
				t.Errorf("exit code %d", code)
			}
			for _, word := range c.words {
				if word = strings.ReplaceAll(word, "%DIR", dir); !strings.Contains(said, word) {
					t.Errorf("nothing is said of %q:\n%s", word, said)
				}
			}
		})
	}
}

// replaced puts something else of the same name in a file's place.
func replaced(dir, name string, put func(string, os.FileMode) error) error {
	path := filepath.Join(dir, name)
	if err := os.Remove(path); err != nil {
		return err
	}
	return put(path, 0o755)
}

func looped(dir, name string) error {
	return replaced(dir, name, func(path string, _ os.FileMode) error { return os.Symlink(name, path) })
}

// everybodys is a directory that any user can get to.
func everybodys(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e-files-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // that is what it is for
		t.Fatal(err)
	}
	return dir
}

// runAs runs inmanta-docker as a user.
func runAs(t *testing.T, uid uint32, args ...string) (code int, said string) {
	t.Helper()
	binary := filepath.Join(everybodys(t), "inmanta-docker")
	if err := os.Link(filepath.Join(tools.dir, "inmanta-docker"), binary); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, args...)
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Dir = &both, &both, "/"
	cmd.Env = append(os.Environ(), "NO_COLOR=1", "HOME=/nonexistent")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode(), both.String()
}

// The directory of a stack that runs is deleted: by its name it is still found,
// and taken down with nothing left.
func TestDirectoryDeleted(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	s.must("up", "--no-wait")
	if err := os.RemoveAll(s.dir); err != nil {
		t.Fatal(err)
	}
	elsewhere := &stack{t: t, name: s.name, dir: t.TempDir()}
	if r := elsewhere.must("-p", s.name, "ps"); !strings.Contains(r.stdout, s.db()) {
		t.Errorf("ps does not show it:\n%s", r.stdout)
	}
	elsewhere.must("-p", s.name, "down", "-v")
	if left := slices.Concat(s.containers(), s.volumes(), s.networks()); len(left) > 0 {
		t.Errorf("after down -v there is %v", left)
	}
	elsewhere.fails(1, []string{"project " + s.name, "has no container and no volume"}, "-p", s.name, "down", "-v")
}
