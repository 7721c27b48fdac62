package rsync

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/inmanta/inmanta-docker/sidecar/rsync/wire"
)

// mostArguments limits a command line that comes on stdin.
const mostArguments = 10_000

// readSecluded reads the rest of a command line: words that end in NUL, and an
// empty one at the end.
func readSecluded(stdin io.Reader) ([]string, error) {
	var words []string
	var word []byte
	// One byte at a time: what follows is the transfer's.
	var b [1]byte
	for {
		if _, err := io.ReadFull(stdin, b[:]); err != nil {
			return nil, err
		}
		switch {
		case b[0] != 0:
			word = append(word, b[0])
		case len(word) == 0:
			// The first word is the program's name.
			return words[min(1, len(words)):], nil
		default:
			words = append(words, string(word))
			word = word[:0]
		}
		if len(words) > mostArguments || len(word) > 2*wire.MaxPath {
			return nil, fatal(exitSyntax, "the command line on standard input is too long")
		}
	}
}

// expand turns the wild cards of paths that no shell has seen into names.
func expand(paths []string) []string {
	var all []string
	for i, one := range paths {
		found, err := filepath.Glob(one)
		if i == 0 || err != nil || len(found) == 0 {
			found = []string{one}
		}
		all = append(all, found...)
	}
	return all
}

// listedNames are the names that option --files-from gives: from the client,
// or from a file here. They are below the one path given.
func (s *session) listedNames() ([]string, error) {
	base := "."
	if len(s.paths) > 0 {
		base = s.paths[0]
	}
	var data []byte
	if s.filesFrom != "-" {
		var err error
		if data, err = os.ReadFile(s.filesFrom); err != nil {
			return nil, fatal(exitSelection, "the list of files %q cannot be read: %s", s.filesFrom, reason(err))
		}
	}
	if err := os.Chdir(base); err != nil {
		return nil, fatal(exitSelection, "%q cannot be entered: %s", base, reason(err))
	}
	var names []string
	if s.filesFrom != "-" {
		for _, name := range splitNames(data, s.from0) {
			names = append(names, inside(name))
		}
		return names, nil
	}
	if s.protocol == 30 {
		// Before protocol 31 they come without frames.
		s.in.Unframe()
		defer s.in.Frame()
	}
	total := 0
	for {
		var name []byte
		for {
			b, err := s.in.Byte()
			if err != nil {
				return nil, err
			}
			if b == 0 {
				break
			}
			if name = append(name, b); len(name) > wire.MaxPath {
				return nil, wire.Broken("a name of more than %d bytes comes", wire.MaxPath)
			}
		}
		if len(name) == 0 {
			return names, nil
		}
		if total += len(name); total > mostNames || len(names) > mostFiles {
			return nil, fatal(exitUnsupported, "the list of files is too long")
		}
		names = append(names, inside(string(name)))
	}
}

// splitNames takes a list of files apart: a line each without comments, or up
// to a NUL each.
func splitNames(data []byte, nul bool) []string {
	var names []string
	cut := func(c rune) bool { return c == '\n' || c == '\r' }
	if nul {
		cut = func(c rune) bool { return c == 0 }
	}
	for name := range bytes.FieldsFuncSeq(data, cut) {
		if nul || name[0] != '#' && name[0] != ';' {
			names = append(names, string(name))
		}
	}
	return names
}

// inside is a listed name below the top, whatever it says: "/a" is "a", and
// ".." leads no further up than the top. A slash at its end and "/./" stay, as
// they mean something.
func inside(name string) string {
	var parts []string
	for element := range strings.SplitSeq(name, "/") {
		switch element {
		case "":
		case "..":
			if len(parts) > 0 {
				parts = parts[:len(parts)-1]
			}
		default:
			parts = append(parts, element)
		}
	}
	clean := strings.Join(parts, "/")
	if clean == "" {
		return "."
	}
	if strings.HasSuffix(name, "/") {
		clean += "/"
	}
	return clean
}

// forwardNames sends the client, who has the files, a list of them that is on
// this machine.
func (s *session) forwardNames() error {
	if s.protocol < 31 {
		return fatal(exitUnsupported, "option --files-from with a file on this machine takes rsync 3.1 or later")
	}
	file, err := os.Open(path.Clean(s.filesFrom))
	if err != nil {
		return fatal(exitSelection, "the list of files %q cannot be read: %s", s.filesFrom, reason(err))
	}
	// The client sends its list meanwhile: one waits for the other.
	go func() {
		defer file.Close()
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 2*wire.MaxPath)
		if s.from0 {
			lines.Split(splitNUL)
		}
		for lines.Scan() {
			if name := strings.TrimRight(lines.Text(), "\r"); name != "" {
				_ = s.out.Text(name + "\x00")
			}
		}
		if err := lines.Err(); err != nil {
			s.found.Or(troubleGeneral)
			s.complain("read", s.filesFrom, err)
		}
		_ = s.out.Text("\x00")
		s.out.Flush()
	}()
	return nil
}

func splitNUL(data []byte, end bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return i + 1, data[:i], nil
	}
	if end && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}
