package e2e

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// mountable says why this machine does not let anybody mount a file system that
// a program serves; empty when it does. Whoever asks says so in the test's output;
// `make test` shows it beforehand, as Go keeps the output of tests that pass to itself.
func mountable(t *testing.T) (why string) {
	t.Helper()
	var said strings.Builder
	try := exec.Command("./clients", "mounts")
	try.Stderr = &said
	err := try.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err == nil {
		return ""
	}
	return strings.TrimSpace(said.String()) + " (" + err.Error() + ")"
}
