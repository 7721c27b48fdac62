package deployment

import (
	"fmt"
	"path/filepath"

	"github.com/inmanta/inmanta-docker/problem"
)

// Stdin stands for standard input among the paths of compose files.
const Stdin = "-"

// composeFiles are the absolute paths of compose files.
func composeFiles(dir string, files []string) []string {
	var paths []string
	for _, f := range files {
		if f != Stdin {
			f = absolute(dir, f)
		}
		paths = append(paths, f)
	}
	return paths
}

// besides is the directory of the first compose file that has one.
func besides(paths []string) (dir string, ok bool) {
	for _, path := range paths {
		if path != Stdin {
			return filepath.Dir(path), true
		}
	}
	return "", false
}

// openStdin is the compose file on standard input, unless it was read before.
func openStdin(before bool, read func() ([]byte, error)) (File, error) {
	const where = "-f " + Stdin
	if before {
		return File{}, problem.Problem{
			ID: "stdin-twice", Where: where, What: "standard input is named twice, and can be read only once", Fix: "leave one out",
		}
	}
	text, err := read()
	if err != nil {
		return File{}, problem.Problem{
			ID: "compose-file-unreadable", Where: where, What: fmt.Sprintf("the compose file on standard input cannot be read: %v", err),
			Fix: "pipe one into this command: cat docker-compose.yml | inmanta-docker -f - …", Err: err,
		}
	}
	if len(text) == 0 {
		return File{}, problem.Problem{
			ID: "compose-file-empty", Where: where, What: "there is no compose file on standard input", Fix: "pipe one into this command: cat docker-compose.yml | inmanta-docker -f - …",
		}
	}
	return File{Path: Stdin, Embedded: text}, nil
}

// FromStdin says that a compose file was read from standard input, which no
// later command can.
func (d Deployment) FromStdin() bool {
	for _, f := range d.Files {
		if f.Path == Stdin {
			return true
		}
	}
	return false
}
