package plan

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// String is the plan as lines of text, each step followed by its reasons; what
// is left as it is comes with a line too.
func (p Plan) String() string {
	steps := make([]string, len(p.Nodes))
	for i, n := range p.Nodes {
		steps[i] = n.String()
	}
	return strings.Join(steps, "\n")
}

// String is the step and below it its reasons, without a newline at the end.
func (n Node) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%-9s %-9s %s", n.Action, n.Kind, n.Name)
	for _, r := range n.Reasons {
		fmt.Fprintf(&text, "\n%10s%s", "", r)
	}
	return text.String()
}

// String is the reason on one line, with long values cut to where they differ.
func (r Reason) String() string {
	var said []string
	from, to := brief(r.From, r.To)
	switch {
	case r.From == hidden && r.To == hidden:
		said = append(said, "changed "+hidden)
	case r.From != "" && r.To != "":
		said = append(said, from+" → "+to)
	case r.To != "":
		said = append(said, "added "+to)
	case r.From != "":
		said = append(said, "removed "+from)
	}
	if r.Text != "" {
		said = append(said, r.Text)
	}
	line := oneLine(r.Path) + ": " + strings.Join(said, ", ")
	if len(r.Settings) > 0 {
		line += " (" + strings.Join(r.Settings, ", ") + ")"
	}
	return line
}

// Of a value longer than widest, so many runes are shown, beginning so many
// before the first difference.
const (
	widest = 80
	shown  = 60
	before = 12
)

// brief are two values fit for one line.
func brief(from, to string) (string, string) {
	from, to = oneLine(from), oneLine(to)
	a, b := []rune(from), []rune(to)
	same := 0
	for same < len(a) && same < len(b) && a[same] == b[same] {
		same++
	}
	start := max(0, same-before)
	return cut(a, start), cut(b, start)
}

func cut(value []rune, start int) string {
	if len(value) <= widest {
		return string(value)
	}
	text := value[min(start, len(value)-before):]
	lead, trail := "", ""
	if len(text) < len(value) {
		lead = "…"
	}
	if len(text) > shown {
		text, trail = text[:shown], "…"
	}
	return lead + string(text) + trail
}

// oneLine keeps a value from writing more than its line on the terminal.
func oneLine(value string) string {
	if !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(value)
	}
	return value
}
