// Command docs writes the generated parts of the documentation: the settings
// table in README.md, the table of logrotate's directives, the command reference,
// and the JSON schemas of what the CLI prints with --json. It runs at the root of the repository; a test
// compares what it would write with what is there.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/inmanta/inmanta-docker/command"
)

const reference = "docs/reference"

func main() {
	files, err := generate()
	if err == nil {
		err = write(files)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

// write replaces the generated files, and removes those no longer generated.
func write(files map[string][]byte) error {
	old, err := filepath.Glob(reference + "/*")
	if err != nil {
		return err
	}
	for _, path := range old {
		if _, still := files[path]; !still {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	if err := os.MkdirAll(reference, 0o755); err != nil {
		return err
	}
	for path, content := range files {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate makes every file, by its path in the repository.
func generate() (map[string][]byte, error) {
	files, err := verbs(command.Root())
	if err != nil {
		return nil, err
	}
	schemas, err := schemas(command.Outputs())
	if err != nil {
		return nil, err
	}
	for path, content := range schemas {
		files[path] = content
	}
	for _, table := range []struct {
		page, mark string
		content    []byte
	}{
		{"README.md", "settings-table", settingsTable()},
		{"docs/sidecars/logrotate.md", "directives-table", directivesTable()},
	} {
		if files[table.page], err = between(table.page, table.mark, table.content); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// between is a page with what stands between two marks replaced.
func between(page, mark string, content []byte) ([]byte, error) {
	text, err := os.ReadFile(page)
	if err != nil {
		return nil, err
	}
	from, to := []byte("<!-- "+mark+" -->\n"), []byte("<!-- /"+mark+" -->")
	before, rest, ok := bytes.Cut(text, from)
	_, after, ok2 := bytes.Cut(rest, to)
	if !ok || !ok2 {
		return nil, fmt.Errorf("%s has no marks %q and %q", page, from, to)
	}
	return bytes.Join([][]byte{before, from, content, to, after}, nil), nil
}
