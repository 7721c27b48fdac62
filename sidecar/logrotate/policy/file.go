package policy

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/sidecar/setting"
)

// Limits of what ParseFile reads, so that a wrong file costs neither memory nor
// patience.
const (
	LargestFile  = 1 << 20 // bytes
	mostProblems = 50      // that are told
)

// ParseFile reads a configuration in the format of logrotate(8) for the logs in
// folder, an absolute path, by the calendar of zone. name is what it is called in
// problems, each of which names its line. With any problem there are no policies:
// half a configuration is another one.
//
// What a directive does is in Directives. Beside the words, it is stricter than
// logrotate where that would ignore something or do what hardly anybody means: the
// same thing said twice in one section, directives that no section follows, a
// pattern that an earlier section has, sections that say not when to rotate or how
// much to keep, and logs outside folder are refused.
func ParseFile(name, text, folder string, zone *time.Location) (Policies, problem.List) {
	r := &reading{name: name, folder: path.Clean(folder), text: text, line: 1, global: &section{said: map[string]where{}}, patterns: map[string]int{}}
	if len(text) > LargestFile {
		r.tell(1, setting.Wrong("mount the configuration itself", "it has %d bytes, more than %d: that is no configuration", len(text), LargestFile))
		return Policies{}, r.problems
	}
	for r.at < len(r.text) && !r.full {
		r.statement()
	}
	r.finish()
	if len(r.problems) > 0 {
		return Policies{}, r.problems
	}
	for i := range r.policies.List {
		r.policies.List[i].Location = zone
	}
	return r.policies, nil
}

// reading is a configuration that is being read.
type reading struct {
	name, folder string
	text         string
	at           int // in text
	line         int

	global *section
	inner  *section // nil between sections
	// unused is where the first directive is that no section has followed yet.
	unused where
	// patterns are those of all sections, and their lines.
	patterns map[string]int

	policies Policies
	problems problem.List
	full     bool // there are mostProblems, and more
}

func (r *reading) place(line int) string { return fmt.Sprintf("%s:%d", r.name, line) }

func (r *reading) tell(line int, f *setting.Fault) {
	told := problem.Problem{ID: "logrotate-file", Where: r.place(line), What: f.What, Fix: f.Fix}
	for _, other := range r.problems {
		if other == told { // of a line outside all sections, which matters to each
			return
		}
	}
	if r.full = len(r.problems) == mostProblems; r.full {
		return
	}
	r.problems = append(r.problems, told)
}

// statement reads one directive, the beginning of a section, or its end.
func (r *reading) statement() {
	switch c := r.text[r.at]; {
	case c == '\n':
		r.at++
		r.line++
	case c == ' ' || c == '\t' || c == '\r':
		r.at++
	case c == '#':
		r.rest()
	case c == '}':
		r.at++
		r.close()
	case c == '/' || c == '"' || c == '\'' || c == '~':
		r.open()
	case letter(c):
		r.word()
	default:
		r.tell(r.line, setting.Wrong("write a directive, or a path in quotation marks where it needs them", "%s begins neither a directive nor an absolute path", setting.Shown(strings.TrimSpace(r.rest()))))
	}
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// rest takes what is left of the line, its end not included.
func (r *reading) rest() string {
	rest, _, _ := strings.Cut(r.text[r.at:], "\n")
	r.at += len(rest)
	return rest
}

// word reads a directive with what stands behind it.
func (r *reading) word() {
	start := r.at
	for r.at < len(r.text) && letter(r.text[r.at]) {
		r.at++
	}
	name, line := r.text[start:r.at], r.line
	if r.at < len(r.text) && !strings.ContainsRune(" \t\r\n=}", rune(r.text[r.at])) {
		r.tell(line, setting.Wrong("write one of the words of logrotate, and a space behind it", "%s is no directive", setting.Shown(name+firstWord(r.rest()))))
		return
	}
	one, is := findDirective(name)
	if !is {
		r.rest()
		f := setting.Wrong("take it out, or spell it as logrotate(8) does", "%s is no directive of logrotate", setting.Shown(name))
		if known, is := findDirective(strings.ToLower(name)); is {
			f.Fix = "write " + known.Name
		}
		r.tell(line, f)
		return
	}
	argument, f := r.argument(one)
	if f == nil {
		f = r.apply(one, argument, line)
	}
	if f != nil {
		r.tell(line, setting.Wrong(f.Fix, "%s: %s", one.Name, f.What))
	}
}

func firstWord(text string) string {
	word, _, _ := strings.Cut(text, " ")
	return strings.TrimSpace(word)
}

// argument reads what stands behind a directive.
func (r *reading) argument(one directive) (string, *setting.Fault) {
	switch one.takes {
	case nothing:
		if behind := strings.TrimLeft(r.text[r.at:], " \t"); strings.HasPrefix(behind, "=") {
			return "", setting.Wrong("write the word alone", "it takes nothing behind it, and there is %s", setting.Shown(strings.TrimSpace(r.rest())))
		}
		return "", nil
	case script:
		return "", r.script()
	}
	argument := strings.TrimSpace(r.rest())
	if r.inner != nil && strings.HasSuffix(argument, "}") {
		argument = strings.TrimSpace(strings.TrimSuffix(argument, "}"))
		r.at = strings.LastIndexByte(r.text[:r.at], '}')
	}
	argument = strings.TrimSpace(strings.TrimPrefix(argument, "="))
	if argument == "" && one.takes == value {
		return "", setting.Wrong("write it on the same line", "its value is missing")
	}
	return argument, nil
}

// script passes over the lines of one, up to and with its endscript.
func (r *reading) script() *setting.Fault {
	r.rest()
	for r.at < len(r.text) {
		r.at++ // the end of the line before
		r.line++
		if line := strings.TrimLeft(r.rest(), " \t"); line == "endscript" || strings.HasPrefix(line, "endscript") && !letter(line[len("endscript")]) {
			return nil
		}
	}
	return setting.Wrong("take it out, with all lines of the script", "no line with endscript follows, so all that does is its script")
}

// apply puts a directive into the section it stands in.
func (r *reading) apply(one directive, argument string, line int) *setting.Fault {
	into := r.inner
	if into == nil {
		into = r.global
	}
	if r.inner != nil && (one.Name == "tabooext" || one.Name == "taboopat") {
		return setting.Wrong("take it out", "it cannot stand in a section")
	}
	if f := into.conflict(one, line); f != nil {
		return f
	}
	into.at = line
	if f := one.set(into, argument); f != nil {
		return f
	}
	if r.inner == nil && one.group != "" && r.unused.line == 0 {
		r.unused = where{one.Name, line}
	}
	if one.noted {
		r.policies.Notes = append(r.policies.Notes, Note{r.place(line), one.Name + ": " + one.Meaning})
	}
	return nil
}

// finish looks at what is left open at the end.
func (r *reading) finish() {
	switch {
	case r.full:
		r.problems[mostProblems-1] = problem.Problem{
			ID: "logrotate-file", Where: r.place(r.line), What: fmt.Sprintf("there are %d problems or more, and what follows is not read", mostProblems), Fix: "mend the others first",
		}
	case r.inner != nil:
		r.tell(r.inner.line, setting.Wrong("write } on a line of its own behind its last directive", "the section that begins here does not end"))
	case r.unused.line != 0:
		r.tell(r.unused.line, setting.Wrong("write it before the sections it is for, or in them", "%s: no section follows, so it would do nothing", r.unused.name))
	case len(r.policies.List) == 0 && len(r.problems) == 0:
		r.tell(r.line, setting.Wrong(fmt.Sprintf("write a section, as %s/*.log { daily rotate 10 } with each word on its own line, or take the file away for the settings to count", r.folder), "it names no log"))
	}
}
