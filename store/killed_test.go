package store

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// killedIn has this program write into a folder until it is killed, instead of
// running its tests.
const killedIn = "STORE_TEST_KILLED_IN"

func TestMain(m *testing.M) {
	dir := os.Getenv(killedIn)
	if dir == "" {
		os.Exit(m.Run())
	}
	u, err := Folder(dir).Create(context.Background(), "killed"+Extension)
	if err == nil {
		_, err = io.WriteString(u, "half of it")
	}
	if err != nil {
		panic(err)
	}
	_, _ = os.Stdout.WriteString("writing\n")
	_, _ = os.Stdin.Read(make([]byte, 1)) // until it is killed
}

// A process that is killed in the middle leaves a hidden file, which the next one
// removes: not as long as somebody writes to it, and nothing else.
func TestFolderWriterThatIsKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := Folder(dir)
	foreign := ".somebody.else" + partial[1:]
	for _, name := range []string{foreign, ".a" + Extension, "b" + partial} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(foreign, filepath.Join(dir, ".link"+partial)); err != nil {
		t.Fatal(err)
	}
	hidden := func() []string {
		return slices.DeleteFunc(namesIn(t, dir), func(name string) bool { return !strings.HasPrefix(name, ".killed") })
	}

	killed := exec.Command(os.Args[0])
	killed.Env = append(os.Environ(), killedIn+"="+dir)
	stdin, err := killed.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := killed.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "writing\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := put(t, s, "a"+Extension, ""); err != nil {
		t.Fatal(err)
	}
	if names := hidden(); len(names) != 1 {
		t.Fatalf("while it writes there are %v", names)
	}
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait()
	if list, err := s.List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("listed are %v, %v", list, err)
	}
	if err := put(t, s, "b"+Extension, ""); err != nil {
		t.Fatal(err)
	}
	if names := hidden(); len(names) != 0 {
		t.Errorf("left are %v", names)
	}
	if names := namesIn(t, dir); len(names) != 6 {
		t.Errorf("somebody else's are gone: %v", names)
	}
}
