package moments

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var day = time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)

// at is a moment of the day, in hours.
func at(hours float64) time.Time { return day.Add(time.Duration(hours * float64(time.Hour))) }

// stretch is one with base backups that took an hour each, ending at those hours.
func stretch(name string, until float64, ends ...float64) Stretch {
	s := Stretch{Name: name, System: "1", Until: at(until)}
	for i, end := range ends {
		s.Bases = append(s.Bases, Backup{Name: BaseName(at(end - 1)), Begun: at(end - 1), Ended: at(end), Segment: fmt.Sprintf("0000000100000000000000%02X", 16*(i+1))})
	}
	return s
}

func TestChoose(t *testing.T) {
	t.Parallel()
	first, second := stretch("lab-20261127T010000Z", 10, 2, 6), stretch("lab-20261127T110000Z", 20, 12)
	all := []Stretch{first, second}
	for name, c := range map[string]struct {
		all    []Stretch
		moment time.Time
		from   string
		base   float64
		says   string
	}{
		"between two":             {all: all, moment: at(4), from: first.Name, base: 2},
		"as the first ends":       {all: all, moment: at(2), from: first.Name, base: 2},
		"as the second ends":      {all: all, moment: at(6), from: first.Name, base: 6},
		"the last of it":          {all: all, moment: at(10), from: first.Name, base: 6},
		"in the second":           {all: all, moment: at(13), from: second.Name, base: 12},
		"latest":                  {all: all, moment: Latest, from: second.Name, base: 12},
		"before":                  {all: all, moment: at(1.5), says: "does not have 2026-11-27T01:30:00Z: it has what was from 2026-11-27T12:00:00Z to 2026-11-27T20:00:00Z, and from 2026-11-27T02:00:00Z to 2026-11-27T10:00:00Z"},
		"in the gap":              {all: all, moment: at(11), says: "does not have 2026-11-27T11:00:00Z"},
		"later":                   {all: all, moment: at(20.001), says: "does not have 2026-11-27T20:00:03.6Z"},
		"nothing":                 {moment: Latest, says: "no complete base backup"},
		"no base backup":          {all: []Stretch{stretch("lab-1", 3)}, moment: at(2), says: "no complete base backup"},
		"newer without":           {all: append(slices.Clone(all), stretch("lab-20261127T230000Z", 24)), moment: Latest, from: second.Name, base: 12},
		"log behind base":         {all: []Stretch{stretch("lab-20261127T010000Z", 1, 2)}, moment: Latest, says: "no complete base backup"},
		"log behind second base":  {all: []Stretch{stretch("lab-20261127T010000Z", 5, 2, 6)}, moment: Latest, from: "lab-20261127T010000Z", base: 2},
		"both: the newer stretch": {all: []Stretch{first, stretch("lab-20261127T110000Z", 20, 3)}, moment: at(4), from: "lab-20261127T110000Z", base: 3},
	} {
		s, base, err := Choose(c.all, c.moment)
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v, want %q", name, err, c.says)
			}
			continue
		}
		if err != nil || s.Name != c.from || !base.Ended.Equal(at(c.base)) {
			t.Errorf("%s: from %s of %s, %v", name, base.Name, s.Name, err)
		}
	}
}

func TestExpired(t *testing.T) {
	t.Parallel()
	first, second := stretch("lab-20261127T010000Z", 10, 2, 6), stretch("lab-20261127T110000Z", 20, 12)
	empty := stretch("lab-20261127T220000Z", 22)
	for name, c := range map[string]struct {
		keep    int
		all     []Stretch
		current string
		bases   string
		whole   []string
	}{
		"all":            {keep: -1, all: []Stretch{first, second}, current: second.Name, bases: "map[]"},
		"enough":         {keep: 3, all: []Stretch{first, second}, current: second.Name, bases: "map[]"},
		"one of two":     {keep: 2, all: []Stretch{first, second}, current: second.Name, bases: "map[lab-20261127T010000Z:[base-20261127T010000Z]]"},
		"a whole":        {keep: 1, all: []Stretch{first, second}, current: second.Name, bases: "map[]", whole: []string{first.Name}},
		"not the last":   {keep: 0, all: []Stretch{second}, current: second.Name, bases: "map[]"},
		"not of nothing": {keep: 1, all: []Stretch{second, empty}, current: empty.Name, bases: "map[]"},
		"empty ones":     {keep: 1, all: []Stretch{stretch("lab-20261126T010000Z", 0), second}, current: second.Name, bases: "map[]", whole: []string{"lab-20261126T010000Z"}},
	} {
		bases, whole := Policy{Keep: c.keep}.Expired(c.all, c.current)
		if fmt.Sprint(bases) != c.bases || !slices.Equal(whole, c.whole) {
			t.Errorf("%s: %v and %v, want %s and %v", name, bases, whole, c.bases, c.whole)
		}
	}
}

func TestUnneeded(t *testing.T) {
	t.Parallel()
	files := []string{"00000001000000000000000E.gz", "00000001000000000000000F.gz", "000000010000000000000010.gz", "000000010000000100000000.gz", "00000001000000000000000F.gz.kept", "00000002.history"}
	if got := stretch("lab", 10, 2, 6).Unneeded(files); !slices.Equal(got, []string{files[0], files[1], files[4]}) {
		t.Errorf("unneeded are %v", got)
	}
	if got := stretch("lab", 10).Unneeded(files); got != nil {
		t.Errorf("without a base backup, unneeded are %v", got)
	}
	strange := stretch("lab", 10, 2, 6)
	strange.Bases[0].Segment = "?"
	if got := strange.Unneeded(files); got != nil {
		t.Errorf("with one that nobody knows, unneeded are %v", got)
	}
}

func TestDue(t *testing.T) {
	t.Parallel()
	policy, wrong := FromSettings(func(string) string { return "" })
	if len(wrong) > 0 || policy.Keep != 2 || policy.Schedule.String() != "weekly" {
		t.Fatalf("usual is %+v, %v", policy, wrong)
	}
	for name, c := range map[string]struct {
		s    Stretch
		want time.Time
	}{
		"none":                {stretch("lab", 1), at(9)},
		"one, of a Friday":    {stretch("lab", 1, 2), day.AddDate(0, 0, 2)},
		"of a clock far away": {stretch("lab", 1, 24*365), at(9)},
	} {
		if got := policy.Due(c.s, at(9)); !got.Equal(c.want) {
			t.Errorf("%s: due at %s, want %s", name, got, c.want)
		}
	}
}

func TestSegments(t *testing.T) {
	t.Parallel()
	const size = 16 << 20
	segment := func(text string) Segment {
		s, _, ok := ParseSegment(text)
		if !ok {
			t.Fatalf("%q is no segment", text)
		}
		return s
	}
	for _, c := range []struct {
		last, next string
		size       int64
		follows    bool
	}{
		{"000000010000000000000003", "000000010000000000000004", size, true},
		{"000000010000000000000003", "000000010000000000000003", size, true},
		{"000000010000000000000003", "000000010000000000000005", size, false},
		{"0000000100000000000000FF", "000000010000000100000000", size, true},
		{"0000000100000000000000FF", "000000010000000100000001", size, false},
		{"00000001000000000000003F", "000000010000000100000000", 64 << 20, true},
		{"000000010000000000000003", "000000010000000000000004", 0, false},
		{"000000010000000000000003", "000000010000000000000004", 3 << 20, false},
	} {
		if got := segment(c.next).Follows(segment(c.last), c.size); got != c.follows {
			t.Errorf("that %s follows %s: %t", c.next, c.last, got)
		}
	}
	if s, whole, ok := ParseSegment("000000020000000A000000FE.gz.kept"); !ok || whole || s != (Segment{2, 10, 254}) {
		t.Errorf("read is %v, whole: %t, %t", s, whole, ok)
	}
	for _, not := range []string{"", "00000001.history", "00000001000000000000000g", "000000010000000000000003.lz4", "000000010000000000000003.gz.partial.gz", "000000010000000000000003\n"} {
		if _, _, ok := ParseSegment(not); ok {
			t.Errorf("%q is taken for a segment", not)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]struct {
		kind Kind
		name string
	}{
		"base-20261127T140102Z":               {Base, "base-20261127T140102Z"},
		"base-20261127T140102Z.json":          {Noted, "base-20261127T140102Z"},
		".base-20261127T140102Z.partial":      {Unfinished, "base-20261127T140102Z"},
		".base-20261127T140102Z.json.partial": {Unfinished, "base-20261127T140102Z"},
		"base-20261127T140102Z.partial":       {},
		"base-20261127T140102.5Z":             {},
		"base-":                               {},
		"wal":                                 {},
		"about.json":                          {},
	} {
		if kind, name := Parse(file); kind != want.kind || name != want.name {
			t.Errorf("%s is %d of %q", file, kind, name)
		}
	}
	for file, is := range map[string]bool{
		"lab-20261127T140102Z": true, "lab-2-20261127T140102Z": false, "lab-": false, "lab-20261127T140102.1Z": false, "20261127T140102Z": false,
	} {
		if IsStretch("lab", file) != is {
			t.Errorf("that %s is a stretch of lab: %t", file, !is)
		}
	}
}

func FuzzNames(f *testing.F) {
	for _, seed := range []string{"base-20261127T140102Z", ".base-20261127T140102Z.json.partial", "000000010000000000000003.gz.partial", "00000001000000FF000000FF"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, file string) {
		if kind, name := Parse(file); kind != Others && !slices.Contains([]string{name, Note(name), Partial(name), Partial(Note(name))}, file) {
			t.Errorf("%q is taken for one of %q", file, name)
		}
		if s, whole, ok := ParseSegment(file); ok {
			rest, is := strings.CutPrefix(file, s.String())
			if !is || whole != (rest == "" || rest == Compressed) {
				t.Errorf("%q is taken for %s, whole: %t", file, s, whole)
			}
		}
	})
}

func FuzzFirstNeeded(f *testing.F) {
	f.Add("START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nCHECKPOINT LOCATION: 0/2000080\n")
	f.Add("LABEL: x\nSTART WAL LOCATION: 1/FF000028 (file 0000000100000001000000FF)\n")
	f.Fuzz(func(t *testing.T, label string) {
		if s, ok := FirstNeeded(label); ok && !strings.Contains(label, "(file "+s.String()+")\n") && !strings.HasSuffix(label, "(file "+s.String()+")") {
			t.Errorf("of %q it is %s", label, s)
		}
	})
}
