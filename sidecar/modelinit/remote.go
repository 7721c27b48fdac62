package modelinit

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// pytest-inmanta-lsm reaches the orchestrator's files through a remote shell:
// it runs `REMOTE_SHELL REMOTE_HOST sh` with a script on standard input, and
// `rsync -e REMOTE_SHELL … REMOTE_HOST:…`. Here the files are on a volume that
// is mounted, so both stay in this container: the shell drops the host and
// runs the rest, and rsync copies from folder to folder.

// remoteHost is the host's name in those commands; nobody ever looks it up.
const remoteHost = "orchestrator"

// defaultEnvironment is pytest-inmanta-lsm's own, said aloud so that whoever
// looks for it finds it in the environment.
const defaultEnvironment = "719c7ad5-6657-444b-b536-a27174cb7498"

// environmentVariable names the environment that a test case initialises.
const environmentVariable = "INMANTA_LSM_ENVIRONMENT"

// remote says to pytest-inmanta-lsm how to reach the orchestrator. What an
// overlay of the user's says counts.
func (c Config) remote(made variables) {
	host, port, _ := net.SplitHostPort(c.API)
	made.otherwise(hostVariable, host)
	made.otherwise(portVariable, port)
	made.otherwise(environmentVariable, defaultEnvironment)
	made.otherwise("INMANTA_LSM_CONTAINER_ENV", "true")
	// Without these a run ends well and leaves an empty, halted environment.
	made.otherwise("INMANTA_LSM_NO_CLEAN", "true")
	made.otherwise("INMANTA_LSM_NO_HALT", "true")
	made.otherwise("INMANTA_LSM_REMOTE_SHELL", "/usr/local/bin/inmanta-sidecar init here")
	made.otherwise("INMANTA_LSM_REMOTE_HOST", remoteHost)
}

// Here is the remote shell: it takes a host, which it drops, and becomes the
// program that follows, with the environment that it would have there. It
// returns only when it fails.
func Here(args []string) error {
	if len(args) < 2 {
		return errors.New("init here takes a host and a command; pytest-inmanta-lsm calls it")
	}
	environment := outside(os.Environ())
	// Looked up on the path as it is there.
	if err := os.Setenv("PATH", value(environment, "PATH", os.Getenv("PATH"))); err != nil {
		return fmt.Errorf("setting the path: %w", err)
	}
	program, err := exec.LookPath(args[1])
	if err != nil {
		return fmt.Errorf("finding %s: %w", args[1], err)
	}
	if err := syscall.Exec(program, args[1:], environment); err != nil {
		return fmt.Errorf("running %s: %w", program, err)
	}
	return nil
}

// outside is an environment without the virtual environment in which the tests run.
func outside(environ []string) []string {
	virtual := value(environ, "VIRTUAL_ENV", "")
	var kept []string
	for _, variable := range environ {
		name, v, _ := strings.Cut(variable, "=")
		switch {
		case name == "VIRTUAL_ENV", name == "PYTHONPATH", name == reportVariable, strings.HasPrefix(name, "PYTEST_"):
			continue
		case name == "PATH" && virtual != "":
			parts := slices.DeleteFunc(filepath.SplitList(v), func(p string) bool { return p == filepath.Join(virtual, "bin") })
			variable = "PATH=" + strings.Join(parts, string(filepath.ListSeparator))
		}
		kept = append(kept, variable)
	}
	return kept
}

// LocalCopy is rsync's arguments with the remote shell taken out and the host
// before paths dropped: a copy from folder to folder.
func LocalCopy(args []string) []string {
	var local []string
	remote := false
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-e" || a == "--rsh":
			i++
			remote = true
		case strings.HasPrefix(a, "--rsh="):
			remote = true
		default:
			local = append(local, a)
		}
	}
	if !remote {
		return args
	}
	for i, a := range local {
		if host, path, ok := strings.Cut(a, ":"); ok && !strings.HasPrefix(a, "-") && !strings.Contains(host, "/") {
			local[i] = path
		}
	}
	return local
}

// offerRsync puts an rsync where shells find it, unless the image has one. It
// takes root.
func offerRsync(self string) error {
	if _, err := exec.LookPath("rsync"); err == nil {
		return nil
	}
	script := "#!/bin/sh\nexec " + self + " init rsync \"$@\"\n"
	if err := os.WriteFile("/usr/local/bin/rsync", []byte(script), 0o755); err != nil {
		return fmt.Errorf("offering rsync to the tests: %w", err)
	}
	return nil
}
