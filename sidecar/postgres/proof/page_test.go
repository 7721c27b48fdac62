package proof

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// page is where the faults and the safeguards are listed.
const page = "../../../docs/durable-faults.md"

// pageText is what is there, without its safeguards, and these.
func pageText(t *testing.T) (faults, safeguards string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	faults, safeguards, _ = strings.Cut(string(text), "\n## The safeguards\n")
	return faults, safeguards
}

// The page has each safeguard, with its test, and no other.
func TestSafeguardsAreOnThePage(t *testing.T) {
	t.Parallel()
	rows := map[string]string{}
	_, table := pageText(t)
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, " | "); strings.HasPrefix(line, "| `") && len(cells) == 3 {
			rows[strings.Trim(cells[0], "| `")] = strings.Trim(cells[2], "| `\n")
		}
	}
	for _, one := range safeguards {
		if rows[one.name] != one.test {
			t.Errorf("the page says that the test of %s is %q, and it is %s", one.name, rows[one.name], one.test)
		}
		delete(rows, one.name)
	}
	for name := range rows {
		t.Errorf("the page has %s, which is not taken out here", name)
	}
}

var (
	named = regexp.MustCompile("`(Test\\w+)`")
	fault = regexp.MustCompile("`(?:deaths|links|copies|refused|disk-full)/([a-z-]+)`")
)

// The tests of the faults are there, and none of the end-to-end tests of the pair
// is left out.
func TestFaultsHaveTheirTests(t *testing.T) {
	t.Parallel()
	faults, _ := pageText(t)
	sources := map[string]string{}
	for _, pattern := range []string{"e2e/durable_*_test.go", "sidecar/postgres/*_test.go"} {
		files, err := filepath.Glob(filepath.Join("../../..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sources[pattern] += string(text)
		}
	}
	ends := sources["e2e/durable_*_test.go"]
	for _, found := range named.FindAllStringSubmatch(faults, -1) {
		if !strings.Contains(ends+sources["sidecar/postgres/*_test.go"], "\nfunc "+found[1]+"(") {
			t.Errorf("there is no %s", found[1])
		}
	}
	rows := map[string]bool{}
	for _, found := range fault.FindAllStringSubmatch(faults, -1) {
		rows[found[1]] = true
		if !strings.Contains(ends, `{"`+found[1]+`", `) {
			t.Errorf("no test does %s", found[1])
		}
	}
	for _, found := range regexp.MustCompile(`\t\{"([a-z-]+)", [a-zA-Z]+\},\n`).FindAllStringSubmatch(ends, -1) {
		if !rows[found[1]] {
			t.Errorf("the page does not have %s", found[1])
		}
	}
}
