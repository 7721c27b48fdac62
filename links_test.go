package inmantadocker_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// link is the target of a Markdown link or picture.
var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// notOurs are folders that hold no page of this repository.
var notOurs = []string{".git", "bin", "dist"}

// Pages name files, and files move.
func TestLinksBetweenPagesLeadSomewhere(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, at fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if at.IsDir() {
			if slices.Contains(notOurs, path) {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".md" || filepath.Base(path) == "template.md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, found := range link.FindAllStringSubmatch(string(text), -1) {
			target, _, _ := strings.Cut(found[1], "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), target)); err != nil {
				t.Errorf("%s links to %s, which is not there", path, found[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
