package policy

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/schedule"
)

const upstream = `/var/log/inmanta/*.log /var/log/inmanta/*.out /var/log/inmanta/*.err {
	daily
	compress
	rotate 10
	missingok
	create 0644 inmanta inmanta
}
`

func TestTheConfigurationOfTheOrchestrator(t *testing.T) {
	got, problems := ParseFile("logrotate.conf", upstream, "/var/log/inmanta", time.UTC)
	want := []Policy{{
		Patterns: []string{"*.log", "*.out", "*.err"}, Schedule: schedule.Schedule{Every: schedule.Daily}, Keep: 10,
		Compression: Compression{Gzip, 6}, Create: 0o644, Location: time.UTC,
	}}
	if len(problems) > 0 || !reflect.DeepEqual(got.List, want) {
		t.Errorf("%+v, %+v", got.List, problems)
	}
}

// sections are files, and the policies or else the problems, as "LINE what".
var sections = map[string]struct {
	text string
	want []Policy
	// problems are the beginnings of all that is wrong, each behind its line.
	problems []string
}{
	"outside and inside": {
		text: "# for all\nweekly\nrotate 3\ncompress\ntabooext + .x\ntaboopat *y\n\n/logs/a {\n}\n/logs/b {\n daily\n nocompress\n}\nrotate 9\n/logs/c {}\n",
		want: []Policy{
			with(func(p *Policy) {
				p.Patterns, p.Schedule.Every, p.Compression = []string{"a"}, schedule.Weekly, Compression{Gzip, 6}
			}),
			with(func(p *Policy) { p.Patterns = []string{"b"} }),
			with(func(p *Policy) {
				p.Patterns, p.Schedule.Every, p.Compression, p.Keep = []string{"c"}, schedule.Weekly, Compression{Gzip, 6}, 9
			}),
		},
	},
	"a size outside does not stay with a schedule inside": {
		text: "size 1M\nrotate 3\n/logs/*.log {\ndaily\n}\n",
		want: []Policy{plain},
	},
	"minsize outside is for those with a schedule": {
		text: "minsize 1k\nrotate 3\n/logs/*.log {\nsize 1M\n}\n",
		want: []Policy{with(func(p *Policy) { p.Schedule.Every, p.Size, p.MinSize = schedule.BySize, 1<<20, 1<<10 })},
	},
	"one line":         {text: "rotate 3\n/logs/*.log { daily notifempty # both\n}", want: []Policy{plain}},
	"one line, closed": {text: "/logs/*.log { daily rotate 3 }", want: []Policy{plain}},
	"stuck together":   {text: "rotate 3\n/logs/*.log{daily}", want: []Policy{plain}},
	"two values":       {text: "/logs/*.log { rotate 3 daily }", problems: []string{`1 rotate: "3 daily" is not a number`, "1 it does not say when"}},
	"weekly, closed":   {text: "rotate 3\n/logs/*.log { weekly }", want: []Policy{with(func(p *Policy) { p.Schedule.Every = schedule.Weekly })}},
	"windows":          {text: "/logs/*.log {\r\n\tdaily\r\n\trotate 3\r\n}\r\n", want: []Policy{plain}},
	"paths over lines": {
		text: "/logs/*.log\n# not these {\n \"/logs//with space\" '/logs/[!a]*.out' /logs/x\\*\\\\ /logs/../logs/y\n{\ndaily\nrotate 3\n}\n",
		want: []Policy{with(func(p *Policy) {
			p.Patterns = []string{"*.log", "with space", "[^a]*.out", `x\*\\`, "y"}
		})},
	},
	"the same in two, on purpose": {
		text: "daily\nrotate 3\n/logs/*.log {\n}\n/logs/*.log {\nignoreduplicates\nhourly\n}\n",
		want: []Policy{plain, with(func(p *Policy) { p.Schedule.Every = schedule.Hourly })},
	},
	"the same in two": {
		text:     "daily\nrotate 3\n/logs/*.log {\n}\n/logs/*.log {\n}\n",
		problems: []string{`5 the section that begins in line 3 has the pattern "*.log" too`},
	},
	"elsewhere": {
		text: "daily\nrotate 3\n/var/log/syslog /logs/sub/*.log\n/log*/x ~/x '*.log' /logs/.hidden /logs/ /logs/[ /logs/[[:alpha:]] {\n}\n",
		problems: []string{
			`3 "/var/log/syslog" is not in /logs`, `3 "/logs/sub/*.log" is not in`, `3 "/log*/x" is not in`, `3 "~/x" is not an absolute`,
			`3 "*.log" is not an absolute`, `3 ".hidden" is a hidden file`, `3 it names no log`, `3 "[" is no pattern`, `3 "[[:alpha:]]" has a class`,
		},
	},
	"everything at once": {
		text: "dayly\nDaily\nrotate ten\ncompress2 x\n%\n/logs/a {\n  daily=1\n} daily\n}\n",
		problems: []string{
			`1 "dayly" is no directive of logrotate`, `2 "Daily" is no directive`, `3 rotate: "ten" is not`, `4 "compress2" is no directive`,
			`5 "%" begins neither`, `7 daily: it takes nothing`, `8 behind the } there is "daily"`, `6 it does not say when to rotate`, `9 a } without a section`,
		},
	},
	"nothing said":       {text: "/logs/a {}", problems: []string{"1 it does not say when", "1 it does not say how many"}},
	"empty":              {text: "", problems: []string{"1 it names no log"}},
	"only comments":      {text: "# daily\n#\n", problems: []string{"3 it names no log"}},
	"no end":             {text: "/logs/a {\ndaily\nrotate 3\n", problems: []string{"1 the section that begins here does not end"}},
	"no end, and more":   {text: "daily\nrotate 3\n/logs/a {\n/logs/b {\n}\n", problems: []string{"3 the section that begins here does not end before"}},
	"no brace":           {text: "/logs/a\ndaily\n}\n", problems: []string{"1 the paths of the section have no {"}},
	"no brace at all":    {text: "\n/logs/a", problems: []string{"2 the paths of the section have no {"}},
	"an open quote":      {text: "daily\nrotate 3\n'/logs/a {\n}", problems: []string{"3 a quotation mark (') is open"}},
	"a last backslash":   {text: "daily\nrotate 3\n/logs/a \\{\n}", problems: []string{`3 the paths end with a \`}},
	"no endscript":       {text: "daily\nrotate 3\n/logs/a {\npostrotate\n}\n", problems: []string{"4 postrotate: no line with endscript follows", "3 the section that begins here does not end"}},
	"said after all":     {text: "daily\nrotate 3\n/logs/a {\n}\ncompress\nmissingok\n", problems: []string{"5 compress: no section follows"}},
	"a script outside":   {text: "postrotate\nx\nendscript\ndaily\nrotate 3\n/logs/a {\n}\n", problems: []string{"1 postrotate: no script is run"}},
	"taboo inside":       {text: "daily\nrotate 3\n/logs/a {\ntabooext .x\n}\n", problems: []string{"4 tabooext: it cannot stand in a section"}},
	"a level for two":    {text: "compress\ncompressoptions -12\ndaily\nrotate 3\n/logs/a {\n}\n/logs/b {\n}\n/logs/c {\ncompresscmd zstd\n}", problems: []string{"2 gzip has no level 12"}},
	"said twice outside": {text: "daily\nweekly\nrotate 3\n/logs/a {\n}", problems: []string{"2 weekly: line 1 says daily"}},
	"not text":           {text: "\x00\xff\n", problems: []string{`1 "\x00\xff" begins neither`}},
	"too much":           {text: strings.Repeat("x\n", LargestFile), problems: []string{"1 it has"}},
	"many mistakes":      {text: strings.Repeat("x\n", 1000), problems: append(slicesOf(mostProblems-1, `%d "x" is no directive`), "51 there are 50 problems or more")},
}

func slicesOf(count int, format string) []string {
	var all []string
	for i := range count {
		all = append(all, fmt.Sprintf(format, i+1))
	}
	return all
}

func TestSections(t *testing.T) {
	for name, c := range sections {
		got, problems := ParseFile("conf", c.text, "/logs/", time.UTC)
		if !reflect.DeepEqual(got.List, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got.List, c.want)
		}
		if len(problems) != len(c.problems) {
			t.Errorf("%s: %d problems, want %d:\n%v", name, len(problems), len(c.problems), problems)
			continue
		}
		for i, p := range problems {
			line, what, _ := strings.Cut(c.problems[i], " ")
			if p.Where != "conf:"+line || !strings.HasPrefix(p.What, what) || p.Fix == "" {
				t.Errorf("%s: %+v, want %s", name, p, c.problems[i])
			}
		}
	}
}

func TestFirstMatchWins(t *testing.T) {
	all := Policies{List: []Policy{{Patterns: []string{"server.log", "a*.log"}, Keep: 1}, {Patterns: []string{"*.log", "*"}, Keep: 2}, {Patterns: []string{"x.log"}, Keep: 3}}}
	for name, want := range map[string]int{"server.log": 1, "agent.log": 1, "x.log": 2, "README": 2, ".x.log": 0, ".tmp": 0} {
		got, is := all.For(name)
		if got.Keep != want || is != (want != 0) {
			t.Errorf("%s: %d, %v, want %d", name, got.Keep, is, want)
		}
	}
	if _, is := (Policies{}).For("x"); is {
		t.Error("no policies have one")
	}
}

func TestSchedulesAreWrittenAsTheyAreRead(t *testing.T) {
	for _, text := range []string{"hourly", "daily", "weekly", "weekly 1", "monthly", "monthly 31", "yearly", "size"} {
		if got, f := schedule.Parse(schedule.Words(text)); f != nil || got.String() != text {
			t.Errorf("%s: %s, %v", text, got, f)
		}
	}
}
