package command

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/inmanta/inmanta-docker/problem"
)

// sshRequest is what the verb ssh was asked for.
type sshRequest struct {
	help, knownHosts bool
	// options are ssh's own; command is what to run, nothing for a shell.
	options, command []string
}

// optionsWithValue are the options of OpenSSH that a value follows, as of 10.0.
const optionsWithValue = "BbcDEeFIiJLlmOoPpQRSWw"

// parseSSH reads the arguments as ssh would if the destination stood first: its
// options up to the first word that is none, and then the command.
func parseSSH(args []string) (r sshRequest, err error) {
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "--known-hosts":
			r.knownHosts = true
		case arg == "--help", arg == "-h":
			r.help = true
		case arg == "--":
			r.command = args[i+1:]
			return r, r.check()
		case strings.HasPrefix(arg, "--"):
			return r, badArgument(arg, "there is no such flag")
		case len(arg) > 1 && arg[0] == '-':
			r.options = append(r.options, arg)
			if !takesNext(arg) {
				continue
			}
			if i++; i == len(args) {
				return r, badArgument(arg, "it wants a value")
			}
			r.options = append(r.options, args[i])
		default:
			r.command = args[i:]
			return r, r.check()
		}
	}
	return r, r.check()
}

func (r sshRequest) check() error {
	if r.knownHosts && len(r.options)+len(r.command) > 0 {
		return badArgument("--known-hosts", "it takes nothing else")
	}
	return nil
}

func badArgument(arg, what string) problem.Problem {
	return problem.Problem{
		ID: "bad-argument", Where: "inmanta-docker ssh " + arg, What: what,
		Fix: "write ssh's own options first, then the command: inmanta-docker ssh --help",
	}
}

// takesNext says that the value of the option is the next word.
func takesNext(option string) bool {
	for i, letter := range option[1:] {
		if strings.ContainsRune(optionsWithValue, letter) {
			return i == len(option)-2
		}
	}
	return false
}

// clientArguments are the client's, from its own name on. It goes by the keys in
// file and nothing else, under the name of the container.
func clientArguments(access sshAccess, container, file string, r sshRequest) []string {
	args := []string{
		"ssh", "-p", fmt.Sprint(access.Port),
		"-o", "HostKeyAlias=" + container,
		"-o", "UserKnownHostsFile=" + quotePath(file),
		"-o", "GlobalKnownHostsFile=/dev/null",
		"-o", "StrictHostKeyChecking=yes",
		"-o", "CheckHostIP=no",
		"-o", "UpdateHostKeys=no",
	}
	args = append(args, r.options...)
	return append(append(args, "--", access.User+"@"+access.Host), r.command...)
}

// quotePath writes a path as a value in ssh_config(5), where a % begins a token.
func quotePath(path string) string {
	return `"` + strings.ReplaceAll(path, "%", "%%") + `"`
}

// hostKey is one key that the ssh sidecar proves itself with.
type hostKey struct {
	// Type is as in known_hosts: "ssh-ed25519".
	Type string `json:"type"`
	// Fingerprint is as ssh-keygen -l prints it: "SHA256:…".
	Fingerprint string `json:"fingerprint"`

	key ssh.PublicKey
}

// parseHostKeys reads public keys, one a line.
func parseHostKeys(text string) ([]hostKey, error) {
	keys := []hostKey{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		key, _, _, _, err := ssh.ParseAuthorizedKey(lines.Bytes())
		if err != nil {
			return nil, fmt.Errorf("%q is no public key", lines.Text())
		}
		keys = append(keys, hostKey{Type: key.Type(), Fingerprint: ssh.FingerprintSHA256(key), key: key})
	}
	if len(keys) == 0 {
		return nil, errors.New("it has none")
	}
	return keys, nil
}

// knownHosts are the lines of a known_hosts file for a server at host and port.
func knownHosts(host string, port int, keys []hostKey) string {
	var lines strings.Builder
	address := host
	if port != sshPort {
		address = fmt.Sprintf("[%s]:%d", host, port)
	}
	for _, k := range keys {
		lines.WriteString(knownhosts.Line([]string{address}, k.key) + "\n")
	}
	return lines.String()
}

// keepKnownHosts writes the keys where a client finds them, under the name of
// the container: in the user's cache, one file for each deployment, or in a
// directory of its own where that cannot be written.
func keepKnownHosts(project, daemon, container string, keys []hostKey) (path string, err error) {
	text := knownHosts(container, sshPort, keys)
	if cache, err := os.UserCacheDir(); err == nil && !strings.Contains(cache, `"`) {
		where := sha256.Sum256([]byte(daemon))
		name := project + "-" + hex.EncodeToString(where[:4])
		dir := filepath.Join(cache, "inmanta-docker", "known_hosts")
		if os.MkdirAll(dir, 0o700) == nil {
			if path, err := writeWhole(dir, name, text); err == nil {
				return path, nil
			}
		}
	}
	dir, err := os.MkdirTemp("", "inmanta-docker-ssh-")
	if err != nil {
		return "", fmt.Errorf("keeping the host keys: %w", err)
	}
	return writeWhole(dir, project, text)
}

// writeWhole writes a file for this user alone, so that another client that
// starts at the same time reads either the old text or this one.
func writeWhole(dir, name, text string) (path string, err error) {
	draft, err := os.CreateTemp(dir, ".new-*") // 0600
	if err != nil {
		return "", fmt.Errorf("keeping the host keys: %w", err)
	}
	defer os.Remove(draft.Name())
	_, err = draft.WriteString(text)
	path = filepath.Join(dir, name)
	if err = errors.Join(err, draft.Close()); err == nil {
		err = os.Rename(draft.Name(), path)
	}
	if err != nil {
		return "", fmt.Errorf("keeping the host keys: %w", err)
	}
	return path, nil
}
