package store

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

func noEnv(string) string { return "" }

// put writes a file into a store.
func put(t testing.TB, s Store, name, text string) error {
	t.Helper()
	u, err := s.Create(t.Context(), name)
	if err != nil {
		return err
	}
	defer func() {
		if err := u.Abort(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := io.WriteString(u, text); err != nil {
		return err
	}
	return u.Commit()
}

func get(t testing.TB, s Store, name string) (string, error) {
	t.Helper()
	from, size, err := s.Open(t.Context(), name)
	if err != nil {
		return "", err
	}
	defer from.Close()
	text, err := io.ReadAll(from)
	if err == nil && int64(len(text)) != size {
		t.Errorf("the size of %s is said to be %d, and it has %d", name, size, len(text))
	}
	return string(text), err
}

func TestFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, name, err := At(dir, noEnv)
	if err != nil || name != "" || s.String() != dir+"/" {
		t.Fatalf("%v, %q, %v", s, name, err)
	}
	if err := put(t, s, "a"+Extension, "text"); err != nil {
		t.Fatal(err)
	}
	if text, err := get(t, s, "a"+Extension); err != nil || text != "text" {
		t.Errorf("it reads %q, %v", text, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "a"+Extension)); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	if err := s.Remove(t.Context(), "a"+Extension); err != nil {
		t.Error(err)
	}
	if list, err := s.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}
