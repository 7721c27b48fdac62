package codeserver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/inmanta/inmanta-docker/sidecar/passwd"
)

// home is where the account's own files are in the data volume. The volume's
// root stays root's, so that nothing that the editor runs can put something
// else in its place.
func home(data string) string { return filepath.Join(data, "home") }

// prepareHome makes the account's home in the data volume. It takes root.
func prepareHome(data string, account passwd.Account) error {
	if err := ownFolder(home(data), account); err != nil {
		return dataRefusal(err)
	}
	return nil
}

// ownFolder makes a folder that is the account's alone, where it is not there
// already. It takes root, but no more than the right to give a file away.
func ownFolder(at string, account passwd.Account) error {
	if err := os.Mkdir(at, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(at)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no folder: remove it", at)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) == account.UID && int(owner.Gid) == account.GID {
		return nil
	}
	return os.Lchown(at, account.UID, account.GID)
}

// tryHome says whether this process, which is the account by now, can write to
// its home. Full is not a reason to serve nobody: there is something to look at.
func tryHome(data string) error {
	file, err := os.CreateTemp(home(data), ".inmanta-sidecar-*")
	if isFull(err) {
		return nil
	}
	if err != nil {
		return dataRefusal(err)
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// dataRefusal puts what the file system says into words of the volume.
func dataRefusal(err error) error {
	switch {
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%s is read-only: %w", settingsVolume, err)
	case isFull(err):
		return fmt.Errorf("%s is full, make room on the engine's disk: %w", settingsVolume, err)
	}
	return fmt.Errorf("preparing %s: %w", settingsVolume, err)
}

// madeUpPassword is where the password is that was made up because none is
// configured: root's, like all of the volume that is not the account's home.
func madeUpPassword(data string) string { return filepath.Join(data, "password") }

// readPassword is the password that lets somebody in, and where it stands. One
// is made up, for good, where none is configured.
func readPassword(configured, data string) (word, where string, err error) {
	text, err := os.ReadFile(configured)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", fmt.Errorf("reading the password: %w", err)
	}
	if word := strings.TrimRight(string(text), "\r\n"); word != "" {
		return word, configured, nil
	}
	where = madeUpPassword(data)
	text, err = os.ReadFile(where)
	if word := strings.TrimSpace(string(text)); err == nil && word != "" {
		return word, where, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", fmt.Errorf("reading the password that was made up: %w", err)
	}
	word = newToken()
	// Whole or not at all, whatever happens meanwhile.
	if err := os.WriteFile(where+".new", []byte(word+"\n"), 0o600); err != nil {
		return "", "", dataRefusal(err)
	}
	if err := os.Rename(where+".new", where); err != nil {
		return "", "", dataRefusal(err)
	}
	return word, where, nil
}

// Password is what lets somebody in to the editor of this container. It takes root.
func Password() (string, error) {
	word, _, err := readPassword(passwordFile, dataFolder)
	return word, err
}
