package sftp_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/inmanta/inmanta-docker/sidecar/sftp"
)

func connectRawIn(t *testing.T, dir string) *client {
	t.Helper()
	return connectRaw(t, sftp.Options{Start: dir})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path, contents string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(contents), 0o644))
}

func get(t *testing.T, path string) string {
	t.Helper()
	contents, err := os.ReadFile(path)
	must(t, err)
	return string(contents)
}

// absent says that nothing is at path, not even a link to nowhere.
func absent(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Fatalf("%s is there (%v)", path, err)
	}
}

// resolved is path without symbolic links: a temporary directory may have some.
func resolved(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.EvalSymlinks(path)
	must(t, err)
	return path
}

// pattern is n bytes of which no two pages, and no two places within one, are alike.
func pattern(n int) string {
	bytes := make([]byte, n)
	state := uint32(n)
	for i := range bytes {
		state = state*1664525 + 1013904223
		bytes[i] = byte(state >> 24)
	}
	return string(bytes)
}

// readUpTo reads as many bytes as want has, or fewer where what comes is
// already something else.
func readUpTo(from io.Reader, into []byte, want string) (int, error) {
	n := 0
	for n < len(into) {
		m, err := from.Read(into[n:])
		n += m
		if err != nil || string(into[:n]) != want[:n] {
			return n, err
		}
	}
	return n, nil
}
