package rotation

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Given back slice by slice, nothing of it is left, and nothing more is taken.
func TestPunch(t *testing.T) {
	t.Parallel()
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	const start, end, size = slice / 2, 3*slice + slice/2, 4 * slice // a hole comes first
	text := bytes.Repeat([]byte("line\n"), slice/5+1)[:slice]
	for at := int64(start); at < size; at += slice / 2 {
		if _, err := file.WriteAt(text[:slice/2], at); err != nil {
			t.Fatal(err)
		}
	}
	if err := punch(file, end); err != nil {
		t.Fatal(err)
	}
	is, err := look(file, "")
	if err != nil {
		t.Fatal(err)
	}
	if first, err := firstData(file, size); err != nil || first != end || is.size != size || is.allocated > size-end {
		t.Errorf("data begins at %d (%v), not at %d; size %d, of which %d are there", first, err, end, is.size, is.allocated)
	}
	rest := make([]byte, slice/2)
	if _, err := file.ReadAt(rest, end); err != nil || !bytes.Equal(rest, text[:slice/2]) {
		t.Errorf("what comes next is not as it was: %v", err)
	}
}
