package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/authorizedkeys"
	"github.com/inmanta/inmanta-docker/sidecar/passwd"
)

// Config is all that the server is told.
type Config struct {
	// Account is whom sessions belong to; no other name may log in.
	Account passwd.Account
	// Environment is what every session gets, as NAME=value.
	Environment []string
	// Keys are read again at each attempt to log in.
	Keys KeySources
	// Launcher starts a program as the account's: it is followed by the
	// program's path and its arguments, argv[0] included. None runs it as it is.
	Launcher []string
	// SFTP is the command of the sftp subsystem: its path and arguments.
	SFTP   []string
	Limits Limits
}

// Where things are in the container.
const (
	// HostKeyFolder is the volume that holds the host keys.
	HostKeyFolder = "/etc/inmanta-sidecar/host-keys"
	// keysVariable holds authorized keys, new-line separated.
	keysVariable = "INMANTA_AUTHORIZED_KEYS"
)

// Grace is how long sessions may go on once the server is told to stop.
const Grace = 10 * time.Second

// FromEnvironment is the configuration in the container. self is the path of
// this binary.
func FromEnvironment(environ []string, self string) (Config, error) {
	account, err := passwd.Find(passwd.Inmanta)
	if err != nil {
		return Config{}, err
	}
	return Config{
		Account:     account,
		Environment: account.Environment(environ),
		Keys:        KeySources{Variable: lookup(environ, keysVariable), Paths: authorizedkeys.Places},
		Launcher:    []string{self, "session"},
		SFTP:        []string{self, "sftp-server", "report"},
		Limits:      DefaultLimits,
	}, nil
}

// KeySources is where authorized keys come from.
type KeySources struct {
	// Variable is the text of INMANTA_AUTHORIZED_KEYS.
	Variable string
	// Paths are files, and folders whose files are read; they need not exist.
	Paths []string
}

// Read reads all sources as they are now. What cannot be read authorizes
// nobody, and is a fault.
func (k KeySources) Read() ([]authorizedkeys.Key, []authorizedkeys.Fault) {
	keys, faults := authorizedkeys.Parse(keysVariable, k.Variable)
	for _, path := range k.files() {
		text, err := readAtMost(path, largestKeyFile)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				faults = append(faults, authorizedkeys.Fault{Source: path, What: "cannot be read: " + err.Error(), Fix: "make it readable to the user inmanta"})
			}
			continue
		}
		more, wrong := authorizedkeys.Parse(path, text)
		keys, faults = append(keys, more...), append(faults, wrong...)
	}
	return keys, faults
}

// files are the paths, folders replaced by what is in them.
func (k KeySources) files() []string {
	var files []string
	for _, path := range k.Paths {
		entries, err := os.ReadDir(path)
		if err != nil {
			files = append(files, path) // a file, or a problem that reading it shows
			continue
		}
		for _, entry := range entries {
			// Hidden ones are an editor's, or how Kubernetes swaps a folder's content.
			if !strings.HasPrefix(entry.Name(), ".") && !entry.IsDir() {
				files = append(files, filepath.Join(path, entry.Name()))
			}
		}
	}
	return files
}

// largestKeyFile is what a file of keys may hold, in bytes.
const largestKeyFile = 4 << 20

func readAtMost(path string, limit int64) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a file", path)
	}
	if info.Size() > limit {
		return "", fmt.Errorf("%s has %d bytes, more than %d", path, info.Size(), limit)
	}
	text, err := os.ReadFile(path)
	return string(text), err
}

// lookup is the value of a variable among NAME=value.
func lookup(environ []string, name string) string {
	for _, variable := range environ {
		if value, ok := strings.CutPrefix(variable, name+"="); ok {
			return value
		}
	}
	return ""
}
