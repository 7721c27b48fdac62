package sftp_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/sftp"
)

// serving, in the environment, makes this program the server instead of its
// tests: clients start their server as a program.
const serving = "TEST_AS_SFTP_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(serving) == "" {
		os.Exit(m.Run())
	}
	signal.Ignore(unix.SIGPIPE)
	if err := sftp.Serve(os.Stdin, os.Stdout, sftp.Options{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// program is a command whose children, or which itself, serve.
func program(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	command.Env = append(os.Environ(), serving+"=1")
	return command
}

// self is the path of this program.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
