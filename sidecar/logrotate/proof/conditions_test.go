package proof

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// conditionsPage is where it is written which test does what.
const conditionsPage = "../../../docs/sidecars/logrotate-conditions.md"

var (
	condition  = regexp.MustCompile(`(?m)^\| (\d+) \|.*$`)
	testIn     = regexp.MustCompile("`((?:Test|Fuzz)\\w+)` \\[in\\]\\(([^)]+)\\)")
	testOfOurs = regexp.MustCompile(`\nfunc (Test\w+)\(t `)
)

func TestConditionsPageNamesTests(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(conditionsPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	rows := condition.FindAllStringSubmatch(page, -1)
	if len(rows) != 20 {
		t.Errorf("%d conditions, want 20", len(rows))
	}
	for i, row := range rows {
		if row[1] != fmt.Sprint(i+1) || !testIn.MatchString(row[0]) {
			t.Errorf("condition %d: no test, or another number: %s", i+1, row[0])
		}
	}
	for _, named := range testIn.FindAllStringSubmatch(page, -1) {
		source, err := os.ReadFile(filepath.Join(filepath.Dir(conditionsPage), named[2]))
		if err != nil || !strings.Contains(string(source), "\nfunc "+named[1]+"(") {
			t.Errorf("%s has no %s (%v)", named[2], named[1], err)
		}
	}
	// And none of these is left out, nor any safeguard.
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range testOfOurs.FindAllStringSubmatch(string(source), -1) {
			if found[1] != t.Name() && !strings.Contains(page, "`"+found[1]+"`") {
				t.Errorf("%s of %s is not on the page", found[1], file)
			}
		}
	}
	for _, one := range safeguards {
		if !strings.Contains(page, "`"+one.name+"`") {
			t.Errorf("the safeguard %s is not on the page", one.name)
		}
	}
}
