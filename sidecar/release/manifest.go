package release

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// Manifest says what a release consists of.
type Manifest struct {
	// Version is what the release says it is.
	Version string
	// Processor is what it is made for, as Go names it.
	Processor string
	// Tarball is the SHA-256 of what it was unpacked from, in hexadecimal.
	Tarball string
	// Entries are its files, links and folders, each by its own path.
	Entries []Entry
}

// Kind is what an entry is.
type Kind byte

// The kinds of entries. Releases have no others.
const (
	File       Kind = 'f'
	Executable Kind = 'x'
	Link       Kind = 'l'
	Folder     Kind = 'd'
)

// Entry is one thing below a release's folder.
type Entry struct {
	Kind Kind
	// Path is below the folder, with slashes.
	Path string
	// Size is a file's, in bytes.
	Size int64
	// Digest is the SHA-256 of a file, in hexadecimal; of a link it is what the
	// link says.
	Digest string
}

const title = "code-server"

// Text is the manifest as it is written: a line for each entry, and at the end
// the checksum of all lines before it.
func (m Manifest) Text() []byte {
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s %s %s %s\n", title, m.Version, m.Processor, m.Tarball)
	for _, e := range m.Entries {
		fmt.Fprintf(&text, "%c %d %q %q\n", e.Kind, e.Size, e.Digest, e.Path)
	}
	return append(text.Bytes(), sealed(text.Bytes())...)
}

func sealed(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256 " + hex.EncodeToString(sum[:]) + "\n"
}

// errManifest is what parse says of any text that no Manifest was written as.
var errManifest = errors.New("the manifest of the release is damaged")

// isChecksum says that a text is a SHA-256 in hexadecimal, as it is written here.
func isChecksum(text string) bool {
	return len(text) == 2*sha256.Size && only(text, "0123456789abcdef")
}

// isWord says that a text is a version, or the name of a processor. (Regular
// expressions would be made ready in every process of the sidecars' binary.)
func isWord(text string) bool {
	return text != "" && len(text) <= 64 && only(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.+-")
}

func only(text, letters string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return !strings.ContainsRune(letters, r) })
}

// parse reads what Text wrote, and nothing else.
func parse(text []byte) (Manifest, error) {
	body, seal := cutLastLine(text)
	if seal != sealed(body) {
		return Manifest{}, errManifest
	}
	head, lines, _ := strings.Cut(string(body), "\n")
	fields := strings.Split(head, " ")
	if len(fields) != 4 || fields[0] != title || !isWord(fields[1]) || !isWord(fields[2]) || !isChecksum(fields[3]) {
		return Manifest{}, errManifest
	}
	m := Manifest{Version: fields[1], Processor: fields[2], Tarball: fields[3]}
	for line := range strings.Lines(lines) {
		e, ok := parseEntry(strings.TrimSuffix(line, "\n"))
		if !ok {
			return Manifest{}, errManifest
		}
		m.Entries = append(m.Entries, e)
	}
	return m, nil
}

// cutLastLine splits a text before its last line, which ends with a newline.
func cutLastLine(text []byte) (before []byte, last string) {
	at := bytes.LastIndexByte(bytes.TrimSuffix(text, []byte("\n")), '\n') + 1
	return text[:at], string(text[at:])
}

// parseEntry reads `KIND SIZE "DIGEST" "PATH"`.
func parseEntry(line string) (Entry, bool) {
	kind, rest, _ := strings.Cut(line, " ")
	number, rest, _ := strings.Cut(rest, " ")
	size, err := strconv.ParseInt(number, 10, 64)
	if err != nil || size < 0 || len(kind) != 1 || !strings.ContainsAny(kind, "fxld") {
		return Entry{}, false
	}
	digest, rest, ok := cutQuoted(rest)
	if !ok {
		return Entry{}, false
	}
	name, rest, ok := cutQuoted(strings.TrimPrefix(rest, " "))
	e := Entry{Kind: Kind(kind[0]), Size: size, Digest: digest, Path: name}
	return e, ok && rest == "" && local(name) && line == fmt.Sprintf("%c %d %q %q", e.Kind, e.Size, e.Digest, e.Path)
}

func cutQuoted(text string) (value, rest string, ok bool) {
	quoted, err := strconv.QuotedPrefix(text)
	if err != nil {
		return "", "", false
	}
	value, err = strconv.Unquote(quoted)
	return value, text[len(quoted):], err == nil
}

// local says that a name is that of something below the folder, in its one form.
func local(name string) bool {
	return name != "" && name != "." && !path.IsAbs(name) && path.Clean(name) == name &&
		name != ".." && !strings.HasPrefix(name, "../") && !strings.ContainsAny(name, "\x00\\")
}
