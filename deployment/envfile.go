package deployment

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/compose-spec/compose-go/v2/dotenv"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/settings"
)

// EnvFile is one environment file: its text, and where in it each variable is
// set. What the values are is compose-go's business, so that both tools agree.
type EnvFile struct {
	// Path is where it was read from.
	Path string
	text string
	// assignments are in the file's order; a later one of the same name wins.
	assignments []assignment
}

type assignment struct {
	name string
	// line counts from 1; start and end are byte offsets of the statement,
	// without its line break.
	line, start, end int
}

// ReadEnvFile reads the file at path. A missing file is an empty one.
func ReadEnvFile(path string) (EnvFile, error) {
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return EnvFile{}, problem.Problem{
			ID: "env-file-unreadable", Where: path, What: fmt.Sprintf("the file cannot be read: %v", unwrapPath(err)),
			Fix: "give this user the right to read it (chown, chmod), or run as its owner", Err: err,
		}
	}
	return parseEnvFile(path, string(content))
}

func unwrapPath(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

var lineOfError = regexp.MustCompile(`(?s)^(?:failed to read .*: )?line (\d+): (.*)$`)

// parseEnvFile accepts what compose-go accepts, but for a last line that only
// passes because its end is missing.
func parseEnvFile(path, text string) (EnvFile, error) {
	// Another variable's value may be missing here; only the form counts.
	if _, err := dotenv.ParseWithLookup(strings.NewReader(text+"\n"), func(string) (string, bool) { return "", true }); err != nil {
		return EnvFile{}, malformed(path, text, err)
	}
	return EnvFile{Path: path, text: text, assignments: scan(text)}, nil
}

func malformed(path, text string, err error) problem.Problem {
	where, what := path, err.Error()
	fix := "write one NAME=value a line; put values with spaces, quotes or '#' in single quotes"
	if m := lineOfError.FindStringSubmatch(what); m != nil {
		where, what = path+":"+m[1], m[2]
		number, _ := strconv.Atoi(m[1])
		if lines := strings.Split(text, "\n"); number > 0 && number <= len(lines) && publicKeyLine.MatchString(lines[number-1]) {
			what = "this public key is not part of any setting: a value without quotes ends with its line"
			fix = fmt.Sprintf("put all keys between one pair of single quotes, one a line: %s='ssh-… alice⏎ssh-… bob'", settings.AuthorizedKeys)
		}
	}
	return problem.Problem{ID: "env-file-malformed", Where: where, What: "the environment file cannot be understood: " + what, Fix: fix, Err: err}
}

// publicKeyLine begins one of several keys that were written without quotes.
var publicKeyLine = regexp.MustCompile(`^\s*(?:ssh-|ecdsa-|sk-)\S+\s+AAAA`)

// blank is white space that does not end a statement.
const blank = " \t\v\f\r\u0085\u00a0"

// scan finds the statements of a file that compose-go accepts. A name alone on
// its line (inherited from the shell) sets nothing here and is passed over.
func scan(text string) []assignment {
	var found []assignment
	at := 0
	if strings.HasPrefix(text, byteOrderMark) {
		at = len(byteOrderMark)
	}
	for at < len(text) {
		rest := text[at:]
		if trimmed := strings.TrimLeftFunc(rest, unicode.IsSpace); len(trimmed) < len(rest) {
			at += len(rest) - len(trimmed)
			continue
		}
		if rest[0] == '#' {
			at += lineLength(rest)
			continue
		}
		nameAt := at
		if exportWord.MatchString(rest) {
			nameAt += len("export")
			nameAt += len(text[nameAt:]) - len(strings.TrimLeft(text[nameAt:], blank))
		}
		sign := strings.IndexAny(text[nameAt:], "=:\n")
		if sign < 0 {
			break
		}
		sign += nameAt
		if text[sign] == '\n' {
			at = sign + 1
			continue
		}
		valueAt := sign + 1
		valueAt += len(text[valueAt:]) - len(strings.TrimLeft(text[valueAt:], blank))
		end := valueAt + valueLength(text[valueAt:])
		// "=value" is accepted, and sets nothing that anybody could name.
		if name := strings.TrimRightFunc(text[nameAt:sign], unicode.IsSpace); name != "" {
			found = append(found, assignment{name: name, line: 1 + strings.Count(text[:at], "\n"), start: at, end: end})
		}
		at = end
	}
	return found
}

var exportWord = regexp.MustCompile(`^export\s+`)

// Editors on Windows put it at the start of a file.
const byteOrderMark = "\ufeff"

func lineLength(s string) int {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i
	}
	return len(s)
}

// valueLength is the length of the value at the start of s: to the closing
// quote, or to the end of the line.
func valueLength(s string) int {
	if s == "" || (s[0] != '\'' && s[0] != '"') {
		return lineLength(s)
	}
	for i, escaped := 1, false; i < len(s); i++ {
		switch {
		case escaped:
			escaped = false
		case s[i] == '\\':
			escaped = true
		case s[i] == s[0]:
			return i + 1
		}
	}
	return len(s)
}

// Line is where name gets its value; 0 if the file does not set it.
func (f EnvFile) Line(name string) int {
	if a, ok := f.find(name); ok {
		return a.line
	}
	return 0
}

// Lines are where name gets a value, in the file's order: the last one counts.
func (f EnvFile) Lines(name string) []int {
	var lines []int
	for _, a := range f.assignments {
		if a.name == name {
			lines = append(lines, a.line)
		}
	}
	return lines
}

// ValueLine is where the n-th line of name's value stands, from 1; 0 if the file
// does not set it. Lines that are written as \n stand where the value begins.
func (f EnvFile) ValueLine(name string, n int) int {
	a, ok := f.find(name)
	if !ok {
		return 0
	}
	return a.line + min(n-1, strings.Count(f.text[a.start:a.end], "\n"))
}

// Names are the variables that the file sets, each once, in order of first appearance.
func (f EnvFile) Names() []string {
	var names []string
	seen := map[string]bool{}
	for _, a := range f.assignments {
		if !seen[a.name] {
			seen[a.name] = true
			names = append(names, a.name)
		}
	}
	return names
}

func (f EnvFile) find(name string) (assignment, bool) {
	for i := len(f.assignments) - 1; i >= 0; i-- {
		if f.assignments[i].name == name {
			return f.assignments[i], true
		}
	}
	return assignment{}, false
}

// Set is the file with name set to value, in place where it was set before and
// at the end where it was not. All else stays as it is, to the byte.
func (f EnvFile) Set(name, value string) EnvFile {
	statement := name + "=" + quote(value)
	text := f.text
	if a, ok := f.find(name); ok {
		text = text[:a.start] + statement + text[a.end:]
	} else {
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		text += statement + "\n"
	}
	return EnvFile{Path: f.Path, text: text, assignments: scan(text)}
}

var plainValue = regexp.MustCompile(`^[A-Za-z0-9_./:@%+,=-]*$`)

// quote writes a value so that compose-go reads it back unchanged.
func quote(value string) string {
	if plainValue.MatchString(value) {
		return value
	}
	// Single quotes take everything literally but a quote and a backslash before one.
	if !strings.ContainsAny(value, `'\`) {
		return "'" + value + "'"
	}
	// In double quotes a backslash and its escapes are unescaped first, and
	// then $ is expanded, whose literal form is $$.
	quoted := strconv.Quote(value)
	var b strings.Builder
	for i := 0; i < len(quoted); i++ {
		if quoted[i] == '$' {
			b.WriteString(`\$`)
			continue
		}
		b.WriteByte(quoted[i])
	}
	return b.String()
}

// Write stores the file so that a crash leaves either the old text or the new
// one. A new file, and one that holds a secret, is for its owner only.
func (f EnvFile) Write(secret bool) error {
	mode := fs.FileMode(0o600)
	if info, err := os.Stat(f.Path); err == nil && !secret {
		mode = info.Mode().Perm()
	}
	return writeFile(f.Path, []byte(f.text), mode)
}

func writeFile(path string, content []byte, mode fs.FileMode) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".new-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer os.Remove(temporary.Name())
	write := func() error {
		if err := temporary.Chmod(mode); err != nil {
			return err
		}
		if _, err := temporary.Write(content); err != nil {
			return err
		}
		return temporary.Sync()
	}
	if err := errors.Join(write(), temporary.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
