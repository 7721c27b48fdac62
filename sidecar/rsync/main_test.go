package rsync

import (
	"os"
	"path/filepath"
	"testing"
)

// The test binary, called by the name of rsync, is the server under test.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "rsync" {
		os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, teller()))
	}
	os.Exit(m.Run())
}
