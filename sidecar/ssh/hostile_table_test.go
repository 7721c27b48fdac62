package ssh

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// hostilePage is where it is written which test does what.
const hostilePage = "../../docs/sidecars/ssh-hostile.md"

var (
	numberedRow = regexp.MustCompile(`(?m)^\| (\d+) \|.*$`)
	namedTest   = regexp.MustCompile("`(\\w+)` \\[in\\]\\(([^)]+)\\)")
)

func TestHostilePageNamesTests(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(hostilePage)
	if err != nil {
		t.Fatal(err)
	}
	rows := numberedRow.FindAllStringSubmatch(string(text), -1)
	if len(rows) != 32 {
		t.Errorf("%d rows have a number, want 32", len(rows))
	}
	for i, row := range rows {
		if row[1] != fmt.Sprint(i+1) {
			t.Errorf("row %d has number %s", i+1, row[1])
		}
		if !namedTest.MatchString(row[0]) {
			t.Errorf("row %s names no test", row[1])
		}
	}
	sources := map[string]string{}
	for _, named := range namedTest.FindAllStringSubmatch(string(text), -1) {
		name, path := named[1], filepath.Join(filepath.Dir(hostilePage), named[2])
		if _, read := sources[path]; !read {
			source, err := os.ReadFile(path)
			if err != nil {
				t.Error(err)
			}
			sources[path] = string(source)
		}
		if !strings.Contains(sources[path], "\nfunc "+name+"(") {
			t.Errorf("%s has no %s", named[2], name)
		}
	}
	// And none that says it is one of them is left out.
	for _, pattern := range []string{"*_test.go", "../*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range regexp.MustCompile(`\nfunc (TestHostile\d\d\w+)\(`).FindAllStringSubmatch(string(source), -1) {
				if !strings.Contains(string(text), "`"+found[1]+"`") {
					t.Errorf("%s of %s is not on the page", found[1], file)
				}
			}
		}
	}
}
