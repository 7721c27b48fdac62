package ui

import (
	"strings"

	"github.com/mattn/go-runewidth"
)

// cells measures text in terminal cells, the same in every locale. In all of
// this package a width of 0 or less, for a line, means that it has no end.
var cells = &runewidth.Condition{StrictEmojiNeutral: true}

func width(s string) int { return cells.StringWidth(s) }

// cut takes the end off what is wider than n cells.
func (st Style) cut(s string, n int) string {
	dots := st.glyphs().ellipsis
	switch {
	case width(s) <= n:
		return s
	case n < 2*width(dots):
		return cells.Truncate(s, max(0, n), "")
	}
	return strings.TrimRight(cells.Truncate(s, n-width(dots), ""), " ") + dots
}

// squeeze takes the middle out of what is wider than n cells: both ends of a
// name, a path or an address tell it from others.
func (st Style) squeeze(s string, n int) string {
	dots := st.glyphs().ellipsis
	room := n - width(dots)
	if width(s) <= n || room < 6 {
		return st.cut(s, n)
	}
	return cells.Truncate(s, room-room/2, "") + dots + cells.TruncateLeft(s, width(s)-room/2, "")
}

// wrap breaks prose into lines of at most n cells where it can. What stands in
// backquotes is never broken: it is there to be copied.
func wrap(s string, n int) []string {
	if n <= 0 {
		return strings.Split(s, "\n")
	}
	var lines []string
	for paragraph := range strings.SplitSeq(s, "\n") {
		quoted, current := false, ""
		for _, word := range strings.FieldsFunc(paragraph, func(r rune) bool {
			quoted = quoted != (r == '`')
			return r == ' ' && !quoted
		}) {
			if current != "" && width(current)+1+width(word) > n {
				lines = append(lines, current)
				current = ""
			}
			current = strings.TrimPrefix(current+" "+word, " ")
		}
		lines = append(lines, current)
	}
	return lines
}

// chop cuts a line of verbatim text into pieces of at most n cells, but for a
// single character wider than that.
func chop(s string, n int) []string {
	if n <= 0 {
		return []string{s}
	}
	var pieces []string
	start, used := 0, 0
	for i, r := range s {
		w := cells.RuneWidth(r)
		if used += w; used > n && i > start {
			pieces = append(pieces, s[start:i])
			start, used = i, w
		}
	}
	return append(pieces, s[start:])
}
