// Package archive is what becomes of a log once it has been set aside: how the
// files are called, how they are compressed and read, and how the archives of a
// log, the pieces that are not archived yet and the log itself are read as the
// one stream of bytes that its writer wrote.
package archive

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Kind is who named an archive, and so what its name tells.
type Kind uint8

// The kinds of names.
const (
	// Ours is NAME-20261127T062412Z: set aside at that second, UTC.
	Ours Kind = iota
	// Numbered is logrotate's NAME.2: the higher, the older.
	Numbered
	// Daily is logrotate's NAME-20261127, of its dateext.
	Daily
	// Hourly is logrotate's NAME-2026112706.
	Hourly
)

// Name is the name of an archive of a log, or of a segment: a piece that was set
// aside and is not compressed, or never will be. It is comparable, and every one
// that Parse or New return is what Parse makes of its String.
type Name struct {
	Log  string
	Kind Kind
	// Time is in UTC and whole seconds for ours; the beginning of the day or hour
	// for Daily and Hourly, in whatever zone logrotate ran; zero for Numbered.
	Time time.Time
	// Part counts the pieces that were taken from a segment in place, from 1 on.
	// The segment itself, and the archive of what was left in it, has 0.
	Part int
	// Number is that of a Numbered archive; 0 for others.
	Number int
	Format Format
}

const (
	longestLog  = 200
	highestPart = 999_999_999
	stamp       = "20060102T150405Z"
	day         = "20060102"
	hour        = "2006010215"
)

// New is a name of ours. The time is cut to a second. A log that CheckLog
// refuses, a year that has not four digits and a format we do not write are
// refused.
func New(log string, at time.Time, part int, format Format) (Name, error) {
	name := Name{Log: log, Time: at.UTC().Truncate(time.Second), Part: part, Format: format}
	if err := CheckLog(log); err != nil {
		return Name{}, err
	}
	if again, is := Parse(name.String()); !is || again != name || !format.Writable() {
		return Name{}, fmt.Errorf("no archive of %s can be named after %s, part %d, %s", log, at, part, format)
	}
	return name, nil
}

// String is the name of the file.
func (n Name) String() string {
	var end string
	switch n.Kind {
	case Numbered:
		end = "." + strconv.Itoa(n.Number)
	case Daily:
		end = "-" + n.Time.Format(day)
	case Hourly:
		end = "-" + n.Time.Format(hour)
	default:
		end = "-" + n.Time.Format(stamp)
		if n.Part != 0 {
			end += "-" + strconv.Itoa(n.Part)
		}
	}
	return n.Log + end + n.Format.Suffix()
}

// Parse reads the name of a file as that of an archive. It is none where what is
// left for the log is not a name that CheckLog takes: an archive of an archive is
// nobody's.
func Parse(base string) (name Name, is bool) {
	name, is = split(base)
	if !is || CheckLog(name.Log) != nil || name.Kind == Ours && !name.Format.Writable() {
		return Name{}, false
	}
	return name, true
}

// CheckLog refuses names that no log can have here: one that is not the name of
// a file in the folder, is hidden, is so long that those of its archives are too
// long for a file system, cannot be written down and read again as text, or has
// the form of an archive's.
func CheckLog(log string) error {
	switch {
	case log == "":
		return fmt.Errorf("a log without a name")
	case len(log) > longestLog:
		return fmt.Errorf("%.40q…: the name of a log has at most %d bytes", log, longestLog)
	case log[0] == '.':
		return fmt.Errorf("%q: the name of a log does not begin with a dot", log)
	case strings.ContainsAny(log, "/\x00"):
		return fmt.Errorf("%q: the name of a log has no slash and no NUL", log)
	case !utf8.ValidString(log), strings.ContainsFunc(log, unicode.IsControl):
		// What goes on is noted by name, and names are told to people's terminals.
		return fmt.Errorf("%q: the name of a log is text, without control characters", log)
	}
	if of, is := split(log); is {
		return fmt.Errorf("%q: this is the name of an archive, of %q", log, of.Log)
	}
	return nil
}

// split takes the end of an archive's name off. All of it is anchored at the end
// and each form has a character of its own before its digits, so that there is
// one way to read a name, whatever dashes, dots and digits the log's has.
func split(base string) (Name, bool) {
	rest, format := cutFormat(base)
	if name, is := splitOurs(rest); is {
		name.Format = format
		return name, true
	}
	name, is := splitForeign(rest)
	name.Format = format
	return name, is
}

func splitOurs(rest string) (Name, bool) {
	if name, is := dated(Name{}, rest, stamp); is {
		return name, true
	}
	i := strings.LastIndexByte(rest, '-')
	if i < 0 {
		return Name{}, false
	}
	part, is := number(rest[i+1:])
	if !is || part == 0 {
		return Name{}, false
	}
	return dated(Name{Part: part}, rest[:i], stamp)
}

func splitForeign(rest string) (Name, bool) {
	if i := strings.LastIndexByte(rest, '.'); i > 0 {
		if n, is := number(rest[i+1:]); is {
			return Name{Log: rest[:i], Kind: Numbered, Number: n}, true
		}
	}
	if name, is := dated(Name{Kind: Daily}, rest, day); is {
		return name, true
	}
	return dated(Name{Kind: Hourly}, rest, hour)
}

// dated completes a name with the log and the time that a text ends with.
func dated(name Name, rest, layout string) (Name, bool) {
	i := len(rest) - len(layout) - 1
	if i < 1 || rest[i] != '-' || !looksLike(rest[i+1:], layout) {
		return Name{}, false
	}
	at, err := time.Parse(layout, rest[i+1:])
	if err != nil || at.Format(layout) != rest[i+1:] {
		return Name{}, false
	}
	name.Log, name.Time = rest[:i], at
	return name, true
}

// looksLike says whether a text has digits where the layout has some, and is the
// same elsewhere. Of thousands of names most are no archive's, and each error of
// what reads them properly takes memory.
func looksLike(text, layout string) bool {
	for i := range len(layout) {
		if digit(layout[i]) && !digit(text[i]) || !digit(layout[i]) && text[i] != layout[i] {
			return false
		}
	}
	return true
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// number reads what strconv.Itoa writes, of at most nine digits.
func number(text string) (int, bool) {
	if text == "" || !digit(text[len(text)-1]) {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > highestPart || strconv.Itoa(n) != text {
		return 0, false
	}
	return n, true
}

// Compare orders names by log and, within one, by what is older: archives of
// others come before ours, numbered ones before those with a date. Of one time,
// the pieces that were taken in place come first, by number, and what was left
// comes last; of one piece, the compressed one before a segment.
func Compare(a, b Name) int {
	return cmp.Or(
		cmp.Compare(a.Log, b.Log),
		cmp.Compare(a.age(), b.age()),
		cmp.Compare(b.Number, a.Number),
		a.Time.Compare(b.Time),
		cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.turn(), b.turn()),
		cmp.Compare(b.Format, a.Format),
	)
}

// age groups kinds: the lower, the older.
func (n Name) age() int {
	switch n.Kind {
	case Numbered:
		return 0
	case Daily, Hourly:
		return 1
	default:
		return 2
	}
}

// turn is when a piece of one time comes.
func (n Name) turn() int {
	if n.Part == 0 {
		return highestPart + 1
	}
	return n.Part
}

// Temporary is the name under which a file is written before it gets its own: a
// hidden one, which no pattern for logs matches.
func (n Name) Temporary() string { return "." + n.String() + ".tmp" }

// Temporary tells whether a file has a name that Name.Temporary makes for an
// archive of ours.
func Temporary(base string) bool {
	inner, is := strings.CutPrefix(base, ".")
	if !is {
		return false
	}
	if inner, is = strings.CutSuffix(inner, ".tmp"); !is {
		return false
	}
	name, is := Parse(inner)
	return is && name.Kind == Ours
}
