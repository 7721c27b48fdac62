package rsync

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// client is the rsync of this machine: the program that people have. Another
// one can be given, to try another version of it.
func client(t *testing.T) string {
	t.Helper()
	name := os.Getenv("RSYNC_CLIENT")
	if name == "" {
		name = "rsync"
	}
	found, err := exec.LookPath(name)
	if err != nil {
		t.Fatal("there is no rsync to try this with: install the Debian package rsync")
	}
	return found
}

// fakeShell is an ssh without a network: it runs the command a client asks
// for, in this directory.
func fakeShell(t *testing.T) string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "shell")
	// The first argument is the machine's name.
	if err := os.WriteFile(script, []byte("#!/bin/sh\nshift\nexec sh -c \"$*\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return script
}

// ours is the server under test as a program.
func ours(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "rsync")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	return link
}

// ran is what became of a client.
type ran struct {
	stdout, stderr string
	code           int
}

// transfer runs the client in a directory, with a server: "host:" in arguments
// is the other machine.
func transfer(t *testing.T, directory, server string, args ...string) ran {
	t.Helper()
	full := append([]string{"-e", fakeShell(t), "--rsync-path=" + server}, args...)
	return command(t, directory, client(t), full...)
}

func command(t *testing.T, directory, program string, args ...string) ran {
	t.Helper()
	c := exec.CommandContext(t.Context(), program, args...)
	c.Dir = directory
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	return ran{stdout.String(), stderr.String(), c.ProcessState.ExitCode()}
}

// snapshot describes everything below a directory, one line a file.
func snapshot(t *testing.T, directory string, withTimes bool) string {
	t.Helper()
	var lines []string
	inodes := map[uint64]string{}
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(directory, path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		line := fmt.Sprintf("%q %v %d:%d", name, info.Mode(), stat.Uid, stat.Gid)
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += " -> " + target
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %d bytes %x", len(data), hashed(data))
			if stat.Nlink > 1 {
				if inodes[stat.Ino] == "" {
					inodes[stat.Ino] = name
				}
				line += " is " + inodes[stat.Ino]
			}
		}
		if withTimes {
			line += " " + info.ModTime().UTC().Format("2006-01-02T15:04:05.999999999")
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
