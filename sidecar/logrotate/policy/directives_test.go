package policy

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/sidecar/schedule"
)

// known are the words that logrotate compares with, up to what follows 3.22, and
// endscript.
const known = `
	compress nocompress delaycompress nodelaycompress shred noshred allowhardlink noallowhardlink sharedscripts
	nosharedscripts copytruncate nocopytruncate renamecopy norenamecopy copy nocopy ifempty notifempty dateext nodateext
	dateyesterday nodateyesterday datehourago nodatehourago dateformat noolddir mailfirst maillast su create createolddir
	nocreateolddir nocreate size minsize maxsize shredcycles hourly minutes daily monthly weekly yearly rotate start
	minage maxage errors mail nomail missingok nomissingok ignoreduplicates prerotate firstaction postrotate lastaction
	preremove tabooext taboopat include olddir extension addextension compresscmd uncompresscmd compressoptions
	compressext endscript`

func TestTheTableHasAllThatLogrotateKnows(t *testing.T) {
	want := strings.Fields(known)
	var got []string
	for _, one := range Directives() {
		got = append(got, one.Name)
		if one.Meaning == "" || strings.HasSuffix(one.Meaning, ".") || (one.Effect == Refused) != (one.Fix != "") {
			t.Errorf("%+v", one)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the table has\n%v, logrotate knows\n%v", got, want)
	}
}

// plain is what a section that says only the necessary makes.
var plain = Policy{
	Patterns: []string{"*.log"}, Schedule: schedule.Schedule{Every: schedule.Daily}, Keep: 3,
	Compression: Compression{Format: None}, Location: time.UTC,
}

func with(change func(*Policy)) Policy {
	p := plain
	change(&p)
	return p
}

// uses shows each directive at work: the lines of a section beside daily and
// rotate 3, which are left out where bare is set, and what becomes of them; the
// first line has the directive.
var uses = []struct {
	directive string
	lines     string
	bare      bool
	want      Policy // for those that are not refused
	// refused is part of what is said of a value that is not taken.
	refused string
}{
	{directive: "rotate", lines: "rotate 7\ndaily", bare: true, want: with(func(p *Policy) { p.Keep = 7 })},
	{directive: "rotate", lines: "rotate = 0\ndaily", bare: true, want: with(func(p *Policy) { p.Keep = 0 })},
	{directive: "rotate", lines: "rotate -1\ndaily", bare: true, want: with(func(p *Policy) { p.Keep = -1 })},
	{directive: "rotate", lines: "rotate 010\ndaily", bare: true, refused: `"010" is not a number`},
	{directive: "rotate", lines: "rotate -2\ndaily", bare: true, refused: `"-2" is not a number`},
	{directive: "rotate", lines: "rotate 7 # days\ndaily", bare: true, refused: "a line of its own"},
	{directive: "rotate", lines: "rotate\ndaily", bare: true, refused: "its value is missing"},
	{directive: "rotate", lines: "rotate 4", refused: "says rotate too"},
	{directive: "hourly", lines: "hourly\nrotate 3", bare: true, want: with(func(p *Policy) { p.Schedule.Every = schedule.Hourly })},
	{directive: "hourly", lines: "hourly = 2\nrotate 3", bare: true, refused: "takes nothing"},
	{directive: "daily", lines: "daily\nrotate 3", bare: true, want: plain},
	{directive: "daily", lines: "daily", refused: "says daily too"},
	{directive: "weekly", lines: "weekly\nrotate 3", bare: true, want: with(func(p *Policy) { p.Schedule.Every = schedule.Weekly })},
	{directive: "weekly", lines: "weekly 6\nrotate 3", bare: true, want: with(func(p *Policy) { p.Schedule = schedule.Schedule{Every: schedule.Weekly, Weekday: time.Saturday} })},
	{directive: "weekly", lines: "weekly 7\nrotate 3", bare: true, refused: "any day"},
	{directive: "weekly", lines: "weekly 8\nrotate 3", bare: true, refused: `"8" is not a day of the week`},
	{directive: "weekly", lines: "weekly monday\nrotate 3", bare: true, refused: `"monday" is not a day`},
	{directive: "weekly", lines: "weekly", refused: "says daily"},
	{directive: "monthly", lines: "monthly\nrotate 3", bare: true, want: with(func(p *Policy) { p.Schedule.Every = schedule.Monthly })},
	{directive: "monthly", lines: "monthly 31\nrotate 3", bare: true, want: with(func(p *Policy) { p.Schedule = schedule.Schedule{Every: schedule.Monthly, Day: 31} })},
	{directive: "monthly", lines: "monthly 32\nrotate 3", bare: true, refused: "not a day of the month"},
	{directive: "yearly", lines: "yearly\nrotate 3", bare: true, want: with(func(p *Policy) { p.Schedule.Every = schedule.Yearly })},
	{directive: "size", lines: "size = 10M\nrotate 3", bare: true, want: with(func(p *Policy) { p.Schedule.Every, p.Size = schedule.BySize, 10<<20 })},
	{directive: "size", lines: "size=100k\nrotate 3\nmaxsize 5k", bare: true, want: with(func(p *Policy) { p.Schedule.Every, p.Size = schedule.BySize, 5<<10 })},
	{directive: "size", lines: "size 0\nrotate 3", bare: true, refused: "due all the time"},
	{directive: "size", lines: "size 10m\nrotate 3", bare: true, refused: `"10m" is not a size`},
	{directive: "size", lines: "size 10M", refused: "only the later would count"},
	{directive: "ignoreduplicates", lines: "ignoreduplicates", want: plain},
	{directive: "ifempty", lines: "ifempty", want: with(func(p *Policy) { p.IfEmpty = true })},
	{directive: "notifempty", lines: "notifempty", want: plain},
	{directive: "maxage", lines: "maxage 30", want: with(func(p *Policy) { p.MaxAge = 30 })},
	{directive: "maxage", lines: "maxage 40000", refused: "not a number of days"},
	{directive: "minsize", lines: "minsize 1k", want: with(func(p *Policy) { p.MinSize = 1 << 10 })},
	{directive: "minsize", lines: "minsize 1k\nsize 1M\nrotate 3", bare: true, refused: "goes with a schedule"},
	{directive: "maxsize", lines: "maxsize 1G", want: with(func(p *Policy) { p.Size = 1 << 30 })},
	{directive: "maxsize", lines: "maxsize 99999999999G", refused: "is not a size"},
	{directive: "create", lines: "create", want: plain},
	{directive: "create", lines: "create 0644", want: with(func(p *Policy) { p.Create = 0o644 })},
	{directive: "create", lines: "create 0640 inmanta inmanta", want: with(func(p *Policy) { p.Create = 0o640 })},
	{directive: "create", lines: "create 'inmanta' \"inmanta\"", want: plain},
	{directive: "create", lines: "create 0640 root adm", refused: `cannot become "root"`},
	{directive: "create", lines: "create 0888", refused: "not a mode"},
	{directive: "create", lines: "create 0444", refused: "cannot open its own log"},
	{directive: "create", lines: "create 0640 inmanta inmanta too", refused: "more"},
	{directive: "nocreate", lines: "nocreate", want: plain},
	{directive: "copytruncate", lines: "copytruncate", want: with(func(p *Policy) { p.CopyTruncate = true })},
	{directive: "nocopytruncate", lines: "nocopytruncate", want: plain},
	{directive: "renamecopy", lines: "renamecopy", want: plain},
	{directive: "compress", lines: "compress", want: with(func(p *Policy) { p.Compression = Compression{Gzip, 6} })},
	{directive: "nocompress", lines: "nocompress", want: plain},
	{directive: "nocompress", lines: "nocompress\ncompress", refused: "says nocompress"},
	{directive: "compresscmd", lines: "compresscmd /usr/bin/zstd\ncompress", want: with(func(p *Policy) { p.Compression = Compression{Zstd, 3} })},
	{directive: "compresscmd", lines: "compresscmd pigz\ncompress", want: with(func(p *Policy) { p.Compression = Compression{Gzip, 6} })},
	{directive: "compresscmd", lines: "compresscmd xz\ncompress", refused: "not built in"},
	{directive: "uncompresscmd", lines: "uncompresscmd /bin/gunzip\ncompress", want: with(func(p *Policy) { p.Compression = Compression{Gzip, 6} })},
	{directive: "uncompresscmd", lines: "uncompresscmd unzstd\ncompress", refused: "for zstd"},
	{directive: "uncompresscmd", lines: "uncompresscmd unxz\ncompress", refused: "not built in"},
	{directive: "compressext", lines: "compressext .zst\ncompress\ncompresscmd zstd", want: with(func(p *Policy) { p.Compression = Compression{Zstd, 3} })},
	{directive: "compressext", lines: "compressext .zst\ncompress", refused: "for zstd"},
	{directive: "compressext", lines: "compressext .z", refused: "end with"},
	{directive: "compressoptions", lines: "compressoptions -9\ncompress", want: with(func(p *Policy) { p.Compression = Compression{Gzip, 9} })},
	{directive: "compressoptions", lines: "compressoptions -19\ncompress\ncompresscmd zstd", want: with(func(p *Policy) { p.Compression = Compression{Zstd, 19} })},
	{directive: "compressoptions", lines: "compressoptions -19\ncompress", refused: "gzip has no level 19"},
	{directive: "compressoptions", lines: "compressoptions -6 --rsyncable", refused: "only the level"},
	{directive: "compressoptions", lines: "compressoptions 6", refused: "only the level"},
	{directive: "compressoptions", lines: "compressoptions -0", refused: "only the level"},

	{directive: "noolddir", lines: "noolddir", want: plain},
	{directive: "su", lines: "su inmanta inmanta", want: plain},
	{directive: "su", lines: "su root adm", refused: `cannot become "root"`},
	{directive: "su", lines: "su inmanta inmanta inmanta", refused: "there is more"},
	{directive: "missingok", lines: "missingok", want: plain},
	{directive: "createolddir", lines: "createolddir 0755 inmanta inmanta", want: plain},
	{directive: "nocreateolddir", lines: "nocreateolddir", want: plain},
	{directive: "nocopy", lines: "nocopy", want: plain},
	{directive: "norenamecopy", lines: "norenamecopy", want: plain},
	{directive: "noshred", lines: "noshred", want: plain},
	{directive: "shredcycles", lines: "shredcycles 3", want: plain},
	{directive: "noallowhardlink", lines: "noallowhardlink", want: plain},
	{directive: "delaycompress", lines: "delaycompress", want: plain},
	{directive: "nodelaycompress", lines: "nodelaycompress", want: plain},
	{directive: "dateext", lines: "dateext", want: plain},
	{directive: "nodateyesterday", lines: "nodateyesterday", want: plain},
	{directive: "nodatehourago", lines: "nodatehourago", want: plain},
	{directive: "nomail", lines: "nomail", want: plain},
	{directive: "mailfirst", lines: "mailfirst", want: plain},
	{directive: "maillast", lines: "maillast", want: plain},
	{directive: "sharedscripts", lines: "sharedscripts", want: plain},
	{directive: "nosharedscripts", lines: "nosharedscripts", want: plain},
	{directive: "errors", lines: "errors root", want: plain},

	{directive: "olddir", lines: "olddir old"},
	{directive: "minutes", lines: "minutes 5"},
	{directive: "nomissingok", lines: "nomissingok"},
	{directive: "minage", lines: "minage 2"},
	{directive: "copy", lines: "copy"},
	{directive: "shred", lines: "shred"},
	{directive: "allowhardlink", lines: "allowhardlink"},
	{directive: "extension", lines: "extension .log"},
	{directive: "addextension", lines: "addextension .log"},
	{directive: "start", lines: "start 0"},
	{directive: "nodateext", lines: "nodateext"},
	{directive: "dateformat", lines: "dateformat -%Y%m%d"},
	{directive: "dateyesterday", lines: "dateyesterday"},
	{directive: "datehourago", lines: "datehourago"},
	{directive: "mail", lines: "mail root@localhost"},
	{directive: "include", lines: "include /etc/logrotate.d"},
	{directive: "firstaction", lines: "firstaction\n}\nfalse\nendscript"},
	{directive: "lastaction", lines: "lastaction\nfalse\nendscript"},
	{directive: "prerotate", lines: "prerotate\nfalse\n  endscript"},
	{directive: "postrotate", lines: "postrotate\n# endscript\nkill -HUP 1 # wrong\nendscript\r"},
	{directive: "preremove", lines: "preremove\nendscripts\nendscript"},
	{directive: "endscript", lines: "endscript"},
}

func TestEveryDirective(t *testing.T) {
	shown := map[string]bool{"tabooext": true, "taboopat": true} // not in sections: TestOutsideOfSections
	for _, c := range uses {
		one, is := findDirective(c.directive)
		if !is {
			t.Fatalf("%s is in no table", c.directive)
		}
		shown[c.directive] = true
		before := "/logs/*.log {\ndaily\nrotate 3\n"
		line := "conf:4"
		if c.bare {
			before, line = "/logs/*.log {\n", "conf:2"
		}
		got, problems := ParseFile("conf", before+c.lines+"\n}\n", "/logs", time.UTC)
		refused := one.Effect == Refused || c.refused != ""
		if !refused {
			if len(problems) > 0 || !reflect.DeepEqual(got.List, []Policy{c.want}) {
				t.Errorf("%q:\n got %+v, %+v\nwant %+v", c.lines, got.List, problems, c.want)
			}
			noted := slices.ContainsFunc(got.Notes, func(n Note) bool { return n.Where == line && n.What == c.directive+": "+one.Meaning })
			if noted != (one.Effect == Accepted || c.directive == "copytruncate") {
				t.Errorf("%q: notes %+v", c.lines, got.Notes)
			}
			continue
		}
		if c.refused == "" {
			c.refused = one.Meaning
		}
		if len(got.List) > 0 {
			t.Errorf("%q gives policies beside %+v", c.lines, problems)
		}
		// What a refused directive leaves out may be missed besides.
		at := slices.IndexFunc(problems, func(p problem.Problem) bool { return strings.Contains(p.What, c.refused) })
		if at < 0 {
			t.Errorf("%q: nothing says %q: %+v", c.lines, c.refused, problems)
			continue
		}
		p := problems[at]
		if p.Fix == "" || p.Where != line && !strings.HasPrefix(c.lines, "nocompress\n") || one.Effect == Refused && (len(problems) != 1 || !strings.HasPrefix(p.What, c.directive+": ") || p.Fix != one.Fix) {
			t.Errorf("%q: %+v", c.lines, problems)
		}
	}
	for _, one := range Directives() {
		if !shown[one.Name] {
			t.Errorf("nothing shows what %s does", one.Name)
		}
	}
}
