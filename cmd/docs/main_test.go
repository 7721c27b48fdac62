package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// What is generated is what the repository holds.
func TestNoDrift(t *testing.T) {
	t.Chdir("../..")
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range files {
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not up to date (%v): run make docs", path, err)
		}
	}
	old, err := filepath.Glob(reference + "/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range old {
		if _, still := files[path]; !still {
			t.Errorf("%s is no longer generated: run make docs", path)
		}
	}
}
