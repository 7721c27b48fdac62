package ui

import (
	"fmt"
	"strings"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
)

// Section is one part of a report. What is empty is left out; the rest follows
// in this order.
type Section struct {
	// Status draws a marker before the title.
	Status progress.Status
	Title  string
	// Text is prose, wrapped on a terminal; what stands in backquotes is kept whole.
	Text  string
	Facts []Fact
	// Log is shown as it is, behind a gutter.
	Log string
	// Commands are what the reader may type next, one each.
	Commands []string
}

// readable is where prose is wrapped on a wide terminal, in cells.
const readable = 100

func section(st Style, columns int, s Section) string {
	var b strings.Builder
	indent := ""
	if s.Title != "" {
		title := st.in(bold, line(s.Title))
		if s.Status != "" {
			title = st.mark(s.Status) + " " + title
		}
		b.WriteString(title + "\n")
		indent = "  "
	}
	if s.Text != "" {
		hang(&b, indent, indent, s.Text, columns-len(indent))
	}
	b.WriteString(keyValues(st, indent, s.Facts))
	if s.Log != "" {
		gutter := indent + st.in(dim, st.glyphs().gutter) + " "
		for l := range strings.SplitSeq(strings.Trim(Clean(s.Log), "\n"), "\n") {
			for _, piece := range chop(strings.TrimRight(l, " "), columns-len(indent)-2) {
				b.WriteString(strings.TrimRight(gutter+piece, " ") + "\n")
			}
		}
	}
	for _, c := range s.Commands {
		b.WriteString(indent + st.in(dim, st.glyphs().prompt) + " " + st.in(bold, line(c)) + "\n")
	}
	return b.String()
}

// problems is every problem with its fix below it, and how many there are.
func problems(st Style, columns int, list problem.List) string {
	var b strings.Builder
	arrow := "  " + st.glyphs().arrow + " "
	for _, p := range list {
		hang(&b, st.mark(progress.Failed)+" ", "  ", p.Error(), columns-2)
		if p.Fix != "" {
			hang(&b, st.in(cyan, arrow), strings.Repeat(" ", width(arrow)), p.Fix, columns-width(arrow))
		}
	}
	switch len(list) {
	case 0:
	case 1:
		b.WriteString("\n1 problem\n")
	default:
		fmt.Fprintf(&b, "\n%d problems\n", len(list))
	}
	return b.String()
}

// hang writes text of at most n cells a line: the first behind first, the others
// behind rest.
func hang(b *strings.Builder, first, rest, text string, n int) {
	for _, l := range wrap(strings.TrimSpace(Clean(text)), min(n, readable)) {
		b.WriteString(strings.TrimRight(first+l, " ") + "\n")
		first = rest
	}
}
