package proof

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// without is the environment variable that takes a safeguard out of the tests
// that `unguarded` builds.
const without = "INMANTA_PROOF_WITHOUT"

const switches = `

import "os"

func takenOut(name string) bool { return os.Getenv("` + without + `") == name }
`

// unguarded builds the tests of a package once more, from a source of which the
// safeguards can be taken out. The source as it is has no such thing.
func unguarded(t *testing.T, folder string) (program string) {
	t.Helper()
	source, err := filepath.Abs(filepath.Join("../../..", folder))
	if err != nil {
		t.Fatal(err)
	}
	scratch := t.TempDir()
	overlay, sources := map[string]string{}, map[string]string{}
	for _, one := range safeguards {
		if one.folder != folder {
			continue
		}
		for _, e := range one.edits {
			if _, read := sources[e.file]; !read {
				text, err := os.ReadFile(filepath.Join(source, e.file))
				if err != nil {
					t.Fatal(err)
				}
				sources[e.file] = string(text)
			}
			if found := strings.Count(sources[e.file], e.text); found != 1 {
				t.Fatalf("%s has %d times what is there for %q, want once: %s", e.file, found, one.name, e.text)
			}
			sources[e.file] = strings.Replace(sources[e.file], e.text, strings.ReplaceAll(e.without, "OUT", fmt.Sprintf("takenOut(%q)", one.name)), 1)
		}
	}
	sources["switches.go"] = "package " + filepath.Base(folder) + switches
	for file, text := range sources {
		to := filepath.Join(scratch, file)
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay[filepath.Join(source, file)] = to
	}
	table, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		t.Fatal(err)
	}
	listed := filepath.Join(scratch, "overlay.json")
	if err := os.WriteFile(listed, table, 0o600); err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(scratch, "unguarded")
	build := exec.Command("go", "test", "-c", "-o", program, "-overlay", listed, ".")
	build.Dir = source
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building without the safeguards: %v: %s", err, output)
	}
	return program
}

// judged runs tests of a program, one safeguard taken out, and says which failed.
func judged(t *testing.T, program, folder, name string, tests ...string) (failed []string, output string) {
	t.Helper()
	source := filepath.Join("../../..", folder)
	command := exec.Command(program, "-test.run", "^("+strings.Join(tests, "|")+")$", "-test.v", "-test.timeout=60s")
	command.Dir = source
	command.Env = append(os.Environ(), without+"="+name)
	text, err := command.CombinedOutput()
	for line := range strings.Lines(string(text)) {
		if rest, is := strings.CutPrefix(line, "--- FAIL: "); is {
			test, _, _ := strings.Cut(rest, " ")
			failed = append(failed, test)
		}
	}
	for _, test := range tests {
		if !strings.Contains(string(text), "=== RUN   "+test+"\n") {
			t.Errorf("%s has no %s", folder, test)
		}
	}
	if (err != nil) != (len(failed) > 0) {
		t.Errorf("%s: %v: %s", name, err, text)
	}
	return failed, string(text)
}

func TestSafeguards(t *testing.T) {
	t.Parallel()
	var folders []string
	for _, one := range safeguards {
		if !slices.Contains(folders, one.folder) {
			folders = append(folders, one.folder)
		}
	}
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			t.Parallel()
			program := unguarded(t, folder)
			var tests []string
			for _, one := range safeguards {
				if one.folder == folder && !slices.Contains(tests, one.test) {
					tests = append(tests, one.test)
				}
			}
			if failed, output := judged(t, program, folder, "", tests...); len(failed) > 0 {
				t.Fatalf("with all safeguards, %q fail:\n%s", failed, output)
			}
			for _, one := range safeguards {
				if one.folder != folder {
					continue
				}
				t.Run(one.name, func(t *testing.T) {
					if failed, _ := judged(t, program, folder, one.name, one.test); len(failed) == 0 {
						t.Errorf("without it, %s does not fail", one.test)
					}
				})
			}
		})
	}
}
