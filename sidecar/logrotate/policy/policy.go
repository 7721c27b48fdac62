package policy

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/schedule"
	"github.com/inmanta/inmanta-docker/sidecar/setting"
)

// Policies are all policies of one folder of logs.
type Policies struct {
	// List is in order of precedence: a log belongs to the first that matches it.
	List []Policy
	// MaxTotal is how many bytes all archives of the folder may take together;
	// 0 is no limit. A logrotate configuration cannot say it.
	MaxTotal int64
	// Notes are remarks on what ParseFile read that is not a mistake, but means
	// nothing here, or not quite what it means to logrotate.
	Notes []Note
}

// Note is a remark on one line.
type Note struct {
	Where string // "FILE:LINE"
	What  string // a sentence without its full stop
}

// Policy is how the logs that match it are rotated.
type Policy struct {
	// Patterns are globs in the form of path.Match on the names of logs within
	// the folder; a log matches when one of them does.
	Patterns []string
	Schedule schedule.Schedule
	// Size is how many bytes a log may have: a larger one is rotated whatever
	// the schedule. 0 is no limit, which a schedule of BySize never has.
	Size int64
	// MinSize is how many bytes a log has to have to be rotated by the schedule.
	MinSize int64
	// Keep is of how many periods archives are kept, the newest of them: 0 is
	// none, so that what is rotated is removed at once; -1 is all.
	Keep int
	// MaxAge is how old an archive may get, in days; 0 is no limit.
	MaxAge      int
	Compression Compression
	// IfEmpty is whether a log without a byte is rotated.
	IfEmpty bool
	// Create are the permission bits that a log made anew after a rotation is to
	// have; 0 leaves them to its writer.
	Create fs.FileMode
	// CopyTruncate allows to copy and truncate a log where its file system has no
	// way to rotate it without losing what is written meanwhile.
	CopyTruncate bool
	// Location is the time zone whose calendar the schedule goes by; nil is UTC.
	Location *time.Location
}

// For is the policy that a log belongs to, by its name within the folder. Names
// that begin with a dot are the sidecar's own and belong to none. Archives match
// as readily as logs where a pattern is wide enough: they are to be told apart
// before.
func (p Policies) For(name string) (Policy, bool) {
	if strings.HasPrefix(name, ".") {
		return Policy{}, false
	}
	for _, one := range p.List {
		if one.matches(name) {
			return one, true
		}
	}
	return Policy{}, false
}

func (p Policy) matches(name string) bool {
	return slices.ContainsFunc(p.Patterns, func(pattern string) bool { return match(pattern, name) })
}

// match is path.Match for names without a slash. Nearly all patterns are an
// asterisk and an ending, which takes a tenth of the time this way; there may be
// thousands of names.
func match(pattern, name string) bool {
	if ending, is := strings.CutPrefix(pattern, "*"); is && !strings.ContainsAny(ending, `*?[\`) {
		return strings.HasSuffix(name, ending)
	}
	is, err := path.Match(pattern, name)
	return err == nil && is
}

func (p Policy) location() *time.Location {
	if p.Location == nil {
		return time.UTC
	}
	return p.Location
}

// Format is how archives are compressed.
type Format string

// The formats there are.
const (
	None Format = "none"
	Gzip Format = "gzip"
	Zstd Format = "zstd"
)

// Compression is a format and how hard it tries: 1 to 9 for gzip, 1 to 19 for
// zstd, 0 for none.
type Compression struct {
	Format Format
	Level  int
}

// String is as the setting has it: "gzip:6", "none".
func (c Compression) String() string {
	if c.Format == None {
		return string(None)
	}
	return fmt.Sprintf("%s:%d", c.Format, c.Level)
}

// usual levels, and the highest; the lowest is 1.
var (
	usualLevel   = map[Format]int{Gzip: 6, Zstd: 3}
	highestLevel = map[Format]int{Gzip: 9, Zstd: 19}
)

// compression checks a format and a level, of which 0 is the usual one.
func compression(format Format, level int) (Compression, *setting.Fault) {
	highest, is := highestLevel[format]
	switch {
	case format == None && level == 0:
		return Compression{Format: None}, nil
	case format == None:
		return Compression{}, setting.Wrong("write none alone, or gzip or zstd with the level", "none has no level")
	case !is:
		return Compression{}, setting.Wrong("write gzip or zstd, with a level if the usual is not right, as gzip:6, or none", "%s is no compression that there is here", setting.Shown(string(format)))
	case level == 0:
		level = usualLevel[format]
	case level < 0 || level > highest:
		return Compression{}, setting.Wrong(fmt.Sprintf("write a level of 1 to %d", highest), "%s has no level %d", format, level)
	}
	return Compression{format, level}, nil
}

// glob turns a glob of glob(7) into one of path.Match.
func glob(pattern string) (string, *setting.Fault) {
	const fix = "write the name of a log, or a pattern of such names as *.log"
	switch {
	case pattern == "":
		return "", setting.Wrong(fix, "it names no log")
	case strings.HasPrefix(pattern, "."):
		return "", setting.Wrong(fix, "%s is a hidden file, and those are the sidecar's own", setting.Shown(pattern))
	case strings.Contains(pattern, "/"):
		return "", setting.Wrong(fix, "%s names a folder, and only logs in the log folder itself are rotated", setting.Shown(pattern))
	case strings.Contains(pattern, "[:"), strings.Contains(pattern, "[="), strings.Contains(pattern, "[."):
		return "", setting.Wrong("write the characters themselves, as [a-z]", "%s has a class of characters by name", setting.Shown(pattern))
	}
	var out strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch rest := pattern[i:]; {
		case strings.HasPrefix(rest, "[!"):
			out.WriteString("[^")
			i++
		case rest[0] == '\\' && len(rest) > 1:
			out.WriteString(rest[:2])
			i++
		default:
			out.WriteByte(rest[0])
		}
	}
	if _, err := path.Match(out.String(), "x"); err != nil {
		return "", setting.Wrong("close each [, and put something between [ and ]", "%s is no pattern", setting.Shown(pattern))
	}
	return out.String(), nil
}
