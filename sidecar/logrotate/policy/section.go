package policy

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/inmanta/inmanta-docker/sidecar/schedule"
	"github.com/inmanta/inmanta-docker/sidecar/setting"
)

// section is what directives have said: those outside all sections, of which each
// section begins with a copy, and then its own.
type section struct {
	line int // of its first path
	// said is where a group of directives was, within this section.
	said map[string]where
	// at is the line of the directive that is being set.
	at int

	patterns         []string
	schedule         schedule.Schedule
	scheduled        bool
	threshold        int64 // of size
	maxSize, minSize int64
	keep             int
	keeps            bool
	maxAge           int
	ifEmpty          bool
	ignoreDuplicates bool
	create           fs.FileMode
	copyTruncate     bool

	compress bool
	format   Format
	// What has to fit the format, which a later line may change; line 0 where
	// nothing was said.
	level       int
	levelLine   int
	expands     Format
	expandsLine int
	suffix      Format
	suffixLine  int
}

// where is a directive and its line.
type where struct {
	name string
	line int
}

// within is a section that begins with what was said outside of it.
func (s *section) within(line int) *section {
	inner := *s
	inner.line, inner.said = line, map[string]where{}
	return &inner
}

func (s *section) setRotate(text string) (f *setting.Fault) {
	s.keep, f = setting.Keep("rotations")(text)
	s.keeps = true
	return f
}

func (s *section) setMaxAge(text string) (f *setting.Fault) {
	s.maxAge, f = setting.Days(text)
	return f
}

func (s *section) setMinSize(text string) (f *setting.Fault) {
	s.minSize, f = setting.Size(text)
	return f
}

func (s *section) setMaxSize(text string) (f *setting.Fault) {
	s.maxSize, f = setting.Size(text)
	return f
}

func (s *section) setSize(text string) (f *setting.Fault) {
	s.schedule, s.scheduled = schedule.Schedule{Every: schedule.BySize}, true
	if s.threshold, f = setting.Size(text); f == nil && s.threshold == 0 {
		return setting.Wrong("write the size to rotate at, as 10M", "a log of 0 bytes would be due all the time")
	}
	return f
}

// scheduleIs and those like it are for directives that differ in what they set.
func scheduleIs(every schedule.Every) func(*section, string) *setting.Fault {
	return func(s *section, argument string) (f *setting.Fault) {
		s.schedule, f = schedule.Parse(every.String(), argument)
		s.scheduled = true
		return f
	}
}

func ifEmptyIs(is bool) func(*section, string) *setting.Fault {
	return func(s *section, _ string) *setting.Fault { s.ifEmpty = is; return nil }
}

func compressIs(is bool) func(*section, string) *setting.Fault {
	return func(s *section, _ string) *setting.Fault { s.compress = is; return nil }
}

func copyTruncateIs(is bool) func(*section, string) *setting.Fault {
	return func(s *section, _ string) *setting.Fault { s.copyTruncate = is; return nil }
}

func (s *section) setIgnoreDuplicates(string) *setting.Fault {
	s.ignoreDuplicates = true
	return nil
}

// account is whom everything belongs to.
const account = "inmanta"

// owners checks the user and group that are named behind su and create.
func owners(names []string) *setting.Fault {
	for _, name := range names {
		if strings.Trim(name, `"'`) != account {
			return setting.Wrong("write inmanta inmanta", "the sidecar is the user inmanta and cannot become %s", setting.Shown(name))
		}
	}
	return nil
}

func (s *section) setSu(text string) *setting.Fault {
	names := strings.Fields(text)
	if len(names) > 2 {
		return setting.Wrong("write su inmanta inmanta", "it takes a user and a group, and there is more%s", setting.Remark(text))
	}
	return owners(names)
}

// setCreate reads [mode] [owner group], as logrotate does: one word is a mode, two
// are an owner and a group.
func (s *section) setCreate(text string) *setting.Fault {
	fields := strings.Fields(text)
	s.create = 0
	if len(fields) > 3 {
		return setting.Wrong("write create, or create 0640 inmanta inmanta", "it takes a mode, a user and a group, and there is more%s", setting.Remark(text))
	}
	if len(fields) == 1 || len(fields) == 3 {
		mode, err := strconv.ParseUint(strings.Trim(fields[0], `"'`), 8, 32)
		switch {
		case err != nil || mode > 0o777:
			return setting.Wrong("write a mode of three or four octal digits, as 0640", "%s is not a mode%s", setting.Shown(fields[0]), setting.Remark(text))
		case mode&0o200 == 0:
			return setting.Wrong("write a mode that lets the owner write, as 0640", "with mode %04o, its writer cannot open its own log again", mode)
		}
		s.create, fields = fs.FileMode(mode), fields[1:]
	}
	return owners(fields)
}

func (s *section) setNoCreate(string) *setting.Fault {
	s.create = 0
	return nil
}

var (
	compressors = map[string]Format{"gzip": Gzip, "pigz": Gzip, "zstd": Zstd}
	expanders   = map[string]Format{"gunzip": Gzip, "gzip": Gzip, "zcat": Gzip, "unpigz": Gzip, "unzstd": Zstd, "zstd": Zstd, "zstdcat": Zstd}
	suffixes    = map[string]Format{".gz": Gzip, ".zst": Zstd}
)

func (s *section) setCommand(text string) *setting.Fault {
	format, is := compressors[path.Base(text)]
	if !is {
		return setting.Wrong("write gzip or zstd", "%s is not built in, and no program is run in the sidecar%s", setting.Shown(text), setting.Remark(text))
	}
	s.format = format
	return nil
}

func (s *section) setUncompressCommand(text string) *setting.Fault {
	format, is := expanders[path.Base(text)]
	if !is {
		return setting.Wrong("write gunzip or unzstd, or take it out", "%s is not built in, and no program is run in the sidecar%s", setting.Shown(text), setting.Remark(text))
	}
	s.expands, s.expandsLine = format, s.at
	return nil
}

func (s *section) setExtension(text string) *setting.Fault {
	format, is := suffixes[text]
	if !is {
		return setting.Wrong("write .gz for gzip and .zst for zstd, or take it out", "archives end with what their format is known by, and not with %s%s", setting.Shown(text), setting.Remark(text))
	}
	s.suffix, s.suffixLine = format, s.at
	return nil
}

func (s *section) setOptions(text string) *setting.Fault {
	level, is := setting.Number(strings.TrimPrefix(text, "-"))
	if !is || level == 0 || level > 1000 || !strings.HasPrefix(text, "-") {
		return setting.Wrong("write the level alone, as -6", "only the level can be chosen, and %s is not one%s", setting.Shown(text), setting.Remark(text))
	}
	s.level, s.levelLine = int(level), s.at
	return nil
}

// finish makes a policy of a section, and says what does not fit together: tell
// gets a line.
func (s *section) finish(tell func(line int, f *setting.Fault)) Policy {
	if !s.scheduled {
		tell(s.line, setting.Wrong("write daily, or another schedule, or size 10M", "it does not say when to rotate"))
	}
	if !s.keeps {
		tell(s.line, setting.Wrong("write rotate 10, or rotate 0 if nothing is to be kept", "it does not say how many rotations to keep, and logrotate would then remove what it rotates at once"))
	}
	size := s.maxSize
	if s.schedule.Every == schedule.BySize && (size == 0 || s.threshold < size) {
		size = s.threshold
	}
	if s.schedule.Every == schedule.BySize && s.minSize > 0 {
		if by, own := s.said["minsize"]; own {
			tell(by.line, setting.Wrong("take out one of them", "minsize goes with a schedule, and size is not one"))
		}
	}
	return Policy{
		Patterns: s.patterns, Schedule: s.schedule, Size: size, MinSize: s.minSize, Keep: s.keep, MaxAge: s.maxAge,
		Compression: s.compression(tell), IfEmpty: s.ifEmpty, Create: s.create, CopyTruncate: s.copyTruncate,
	}
}

// compression is checked in the end, because what has to fit together may stand
// in any order.
func (s *section) compression(tell func(line int, f *setting.Fault)) Compression {
	if !s.compress {
		return Compression{Format: None}
	}
	format := s.format
	if format == "" {
		format = Gzip
	}
	for _, other := range []struct {
		format Format
		line   int
	}{{s.expands, s.expandsLine}, {s.suffix, s.suffixLine}} {
		if other.line != 0 && other.format != format {
			tell(other.line, setting.Wrong(fmt.Sprintf("write compresscmd %s, or take this out", other.format), "it is for %s, and archives are compressed with %s", other.format, format))
		}
	}
	made, f := compression(format, s.level)
	if f != nil {
		tell(s.levelLine, f)
	}
	return made
}

// conflict is what is wrong with a directive when another of its group stands in
// the same section: only the later would count, and the earlier be ignored.
func (s *section) conflict(one directive, line int) *setting.Fault {
	if one.group == "" {
		return nil
	}
	before, is := s.said[one.group]
	s.said[one.group] = where{one.Name, line}
	switch {
	case !is:
		return nil
	case one.group == "schedule" && before.name != one.Name && (before.name == "size" || one.Name == "size"):
		return setting.Wrong("write maxsize instead of size for whichever comes first, minsize for both at once, or keep one of them", "line %d says %s, and of that and %s only the later would count", before.line, before.name, one.Name)
	case before.name == one.Name:
		return setting.Wrong("keep one of them", "line %d says %s too, and only the later would count", before.line, one.Name)
	}
	return setting.Wrong("keep one of them", "line %d says %s, and only the later would count", before.line, before.name)
}
