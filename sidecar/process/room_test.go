package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets this binary be a process that keeps room for itself, whose child
// says how many it may have.
func TestMain(m *testing.M) {
	if len(os.Args) != 3 || os.Args[1] != "keep-room" {
		os.Exit(m.Run())
	}
	mostProcesses = []string{"/no/such/file", os.Args[2]}
	if err := KeepRoom(100); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	output, err := exec.Command("/bin/bash", "-c", "ulimit -Su; ulimit -Hu").CombinedOutput()
	fmt.Print(string(output))
	if err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

func TestKeepRoom(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	as, err := exec.Command("/bin/bash", "-c", "ulimit -Su; ulimit -Hu").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"limited":   {"1096\n", "996\n996\n"},
		"unlimited": {"max\n", string(as)},
		"nonsense":  {"", string(as)},
	} {
		path := filepath.Join(t.TempDir(), "pids.max")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := exec.Command(self, "keep-room", path).CombinedOutput()
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %q (%v), want %q", name, got, err, c.want)
		}
	}
	if got, err := exec.Command(self, "keep-room", "/no/such/file/either").CombinedOutput(); err != nil || string(got) != string(as) {
		t.Errorf("where nothing says: %q (%v)", got, err)
	}
	if got, err := exec.Command(self, "keep-room", t.TempDir()).CombinedOutput(); err == nil || !strings.Contains(string(got), "may have") {
		t.Errorf("where it cannot be read: %q (%v)", got, err)
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text    string
		most    uint64
		limited bool
	}{
		{"4096\n", 3996, true}, {"200", 100, true}, {"150\n", 75, true}, {"1\n", 1, true}, {"0\n", 0, true},
		{"max\n", 0, false}, {"", 0, false}, {"-1", 0, false}, {"4096 4096", 0, false}, {"99999999999999999999", 0, false},
	} {
		if most, limited := share(c.text, 100); most != c.most || limited != c.limited {
			t.Errorf("%q: %d, %t, want %d, %t", c.text, most, limited, c.most, c.limited)
		}
	}
}
