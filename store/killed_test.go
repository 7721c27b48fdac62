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

// writesAt has this program write a file there, instead of running its tests, and
// finish it when its input ends.
const writesAt = "STORE_TEST_WRITES_AT"

func TestMain(m *testing.M) {
	where := os.Getenv(writesAt)
	if where == "" {
		os.Exit(m.Run())
	}
	s, name, err := At(where, os.Getenv)
	var u Upload
	if err == nil {
		u, err = s.Create(context.Background(), name)
	}
	if err == nil {
		_, err = io.WriteString(u, "half of it")
	}
	if err == nil {
		_, err = os.Stdout.WriteString("writing\n")
	}
	if err == nil {
		_, _ = io.Copy(io.Discard, os.Stdin)
		err = u.Commit()
	}
	if err != nil {
		_, _ = io.WriteString(os.Stdout, err.Error()+"\n")
		os.Exit(1)
	}
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
	killed.Env = append(os.Environ(), writesAt+"="+filepath.Join(dir, "killed"+Extension))
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
