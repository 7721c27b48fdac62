package ui

import (
	"strings"

	"github.com/inmanta/inmanta-docker/progress"
)

// Mode is how progress is shown.
type Mode int

// The modes.
const (
	Plain Mode = iota // a line for each change, for pipes and logs
	TTY               // a live block at the bottom of a terminal
	JSON              // an object for each event, and the result as one JSON value
	Quiet             // nothing
)

// Asked is how the user wants to see it.
type Asked struct {
	// JSON is --json.
	JSON bool
	// ANSI is --ansi: never, always, or auto, which is what it is when empty.
	ANSI string
	// Progress is --progress: tty, plain, quiet, or auto, which is what it is when empty.
	Progress string
}

// Environment is what the look of the output depends on.
type Environment struct {
	Asked
	// OutTerminal and ErrTerminal tell whether a stream is a terminal.
	OutTerminal, ErrTerminal bool
	// NoColor, Term and CI are the variables NO_COLOR, TERM and CI.
	NoColor, Term, CI string
	// Locale is the first of LC_ALL, LC_CTYPE and LANG that is not empty.
	Locale string
}

// Look is how output is shown: progress, and each of the two streams.
type Look struct {
	Mode     Mode
	Out, Err Style
}

// Style is what one stream can show.
type Style struct {
	// Terminal has lines fitted to its width and is sent no foreign escape sequence.
	Terminal bool
	// Color allows the sixteen colours every terminal has.
	Color bool
	// ASCII forbids markers of any other character.
	ASCII bool
}

// Choose is the one place where the look is decided. A live block needs a
// terminal that can move its cursor, and no CI, which records all it is sent;
// NO_COLOR takes nothing but colours.
func Choose(e Environment) Look {
	locale := strings.ToLower(e.Locale)
	ascii := !strings.Contains(locale, "utf-8") && !strings.Contains(locale, "utf8")
	smart := e.Term != "" && e.Term != "dumb"
	style := func(terminal bool) Style {
		color := terminal && smart && e.ANSI != "never" || e.ANSI == "always"
		return Style{Terminal: terminal, Color: color && e.NoColor == "", ASCII: ascii}
	}
	look := Look{Out: style(e.OutTerminal), Err: style(e.ErrTerminal)}
	switch {
	case e.JSON:
		look.Mode = JSON
	case e.Progress == "quiet":
		look.Mode = Quiet
	case e.Progress == "plain" || e.ANSI == "never":
	case e.Progress == "tty", e.ErrTerminal && smart && (e.CI == "" || e.CI == "0" || e.CI == "false"):
		look.Mode = TTY
	}
	return look
}

// glyphs is all that is drawn and is not text.
type glyphs struct {
	marks                                      map[progress.Status]string
	arrow, gutter, prompt, ellipsis, bar, rest string
	spinner                                    []string
}

var (
	unicodeGlyphs = glyphs{
		map[progress.Status]string{progress.Done: "✓", progress.Warning: "!", progress.Failed: "✗", progress.Working: "·"},
		"↳", "│", "$", "…", "━", "─", strings.Split("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", ""),
	}
	asciiGlyphs = glyphs{
		map[progress.Status]string{progress.Done: "+", progress.Warning: "!", progress.Failed: "x", progress.Working: "-"},
		"->", "|", "$", "...", "=", "-", strings.Split(`|/-\`, ""),
	}
)

func (st Style) glyphs() *glyphs {
	if st.ASCII {
		return &asciiGlyphs
	}
	return &unicodeGlyphs
}

// paint is a Select Graphic Rendition parameter; empty for the reader's own colour.
type paint string

const (
	bold   paint = "1"
	dim    paint = "2"
	red    paint = "31"
	green  paint = "32"
	yellow paint = "33"
	cyan   paint = "36"
)

// in is s in a colour where colours are allowed.
func (st Style) in(p paint, s string) string {
	if !st.Color || s == "" || p == "" {
		return s
	}
	return "\x1b[" + string(p) + "m" + s + "\x1b[0m"
}

var markPaint = map[progress.Status]paint{
	progress.Done: green, progress.Warning: yellow, progress.Failed: red, progress.Working: dim,
}

// mark is the one cell that tells how something stands.
func (st Style) mark(s progress.Status) string {
	return st.in(markPaint[s], st.glyphs().marks[s])
}
