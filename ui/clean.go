package ui

import (
	"regexp"
	"strings"
	"unicode"
)

// escapes are control sequences, control strings that end on their line (one
// that does not must not swallow a log) and the other escape sequences, in this
// order, with one-character introducers too. Source: ECMA-48, xterm's ctlseqs.
var escapes = regexp.MustCompile(`(?:\x1b\[|\x{9b})[ -?]*[@-~]?` +
	`|(?:\x1b[\]PX^_]|[\x{90}\x{98}\x{9d}-\x{9f}])[^\n\x07\x1b\x{9c}]*(?:\x07|\x1b\\|\x{9c})` +
	`|\x1b[ -/]*[0-~]?`)

var spaces = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n", "\t", "    ")

// Clean is text from elsewhere (logs, image names, errors) made safe for a
// terminal: escape sequences, control characters, invisible and
// direction-changing characters are gone, what is not UTF-8 is U+FFFD, a tab is
// four spaces and every line ends in "\n". Nothing in it can hide, repaint or
// answer anything.
func Clean(s string) string {
	s = strings.ToValidUTF8(escapes.ReplaceAllString(s, ""), "\ufffd")
	return strings.Map(func(r rune) rune {
		joiner := r == '\u200c' || r == '\u200d' // part of how words and emoji are spelt
		if unicode.IsControl(r) && r != '\n' || unicode.Is(unicode.Cf, r) && !joiner {
			return -1
		}
		return r
	}, spaces.Replace(s))
}

// line is Clean text on one line.
func line(s string) string {
	return strings.TrimSpace(strings.ReplaceAll(Clean(s), "\n", " "))
}
