package policy

import (
	"math"
	"strings"
	"time"
	_ "time/tzdata" // the orchestrator's image need not have any

	"github.com/inmanta/inmanta-docker/problem"
)

// prefix of the names of all settings.
const prefix = "INMANTA_LOGROTATE_"

// values are settings that are being read.
type values struct {
	lookup   func(string) string
	problems problem.List
}

// setting reads one setting with its default; one that is wrong is told, and gives
// the zero value.
func setting[T any](v *values, name, usual string, parse func(string) (T, *fault)) T {
	text := strings.TrimSpace(v.lookup(prefix + name))
	if text == "" {
		text = usual
	}
	var value T
	if text == "" {
		return value
	}
	value, f := parse(text)
	if f != nil {
		v.problems = append(v.problems, problem.Problem{ID: "logrotate-setting", Where: prefix + name, What: f.what, Fix: f.fix})
		var none T
		return none
	}
	return value
}

// Location is the time zone of the setting INMANTA_LOGROTATE_TIMEZONE, the one
// setting that counts beside a configuration of logrotate, too. UTC by default.
func Location(lookup func(string) string) (*time.Location, problem.List) {
	v := &values{lookup: lookup}
	zone := setting(v, "TIMEZONE", "UTC", parseZone)
	if zone == nil {
		zone = time.UTC
	}
	return zone, v.problems
}

// FromSettings is the one policy that the settings INMANTA_LOGROTATE_… describe.
// lookup gives the value of a variable, empty where it is not set. With any problem
// there are no policies.
func FromSettings(lookup func(string) string) (Policies, problem.List) {
	v := &values{lookup: lookup}
	zone, wrongZone := Location(lookup)
	one := Policy{
		Patterns:     setting(v, "PATTERNS", "*.log *.out *.err", parsePatterns),
		Schedule:     setting(v, "SCHEDULE", "daily", func(text string) (Schedule, *fault) { return parseSchedule(words(text)) }),
		Size:         setting(v, "SIZE", "", parseSize),
		Keep:         setting(v, "KEEP", "10", parseKeep),
		MaxAge:       setting(v, "MAX_AGE", "", parseDays),
		Compression:  setting(v, "COMPRESSION", "gzip", parseCompression),
		CopyTruncate: setting(v, "COPYTRUNCATE", "no", parseYesNo),
		Location:     zone,
	}
	all := Policies{List: []Policy{one}, MaxTotal: setting(v, "MAX_TOTAL", "", parseSize)}
	v.problems = append(v.problems, wrongZone...)
	if len(v.problems) == 0 && one.Schedule.Every == BySize && one.Size == 0 {
		v.problems = append(v.problems, problem.Problem{
			ID: "logrotate-setting", Where: prefix + "SIZE",
			What: "it is not set, and " + prefix + "SCHEDULE=size rotates by nothing else", Fix: "write the size to rotate at, as 10M",
		})
	}
	if len(v.problems) > 0 {
		return Policies{}, v.problems
	}
	return all, nil
}

func parseZone(text string) (*time.Location, *fault) {
	zone, err := time.LoadLocation(text)
	if err != nil || text == "Local" {
		return nil, wrong("write the name of a time zone as the IANA has them, as Europe/Brussels, or UTC", "there is no time zone %s", shown(text))
	}
	return zone, nil
}

func parsePatterns(text string) ([]string, *fault) {
	var all []string
	for _, one := range strings.Fields(text) {
		pattern, f := glob(one)
		if f != nil {
			return nil, f
		}
		all = append(all, pattern)
	}
	return all, nil
}

func parseCompression(text string) (Compression, *fault) {
	format, level, has := strings.Cut(text, ":")
	if !has {
		return compression(Format(format), 0)
	}
	value, is := number(level)
	if !is || value == 0 || value > math.MaxInt32 {
		return Compression{}, wrong("write a number of 1 or more behind the colon, as gzip:6, or leave both out", "%s is not a level", shown(level))
	}
	return compression(Format(format), int(value))
}

func parseYesNo(text string) (bool, *fault) {
	switch strings.ToLower(text) {
	case "yes", "true":
		return true, nil
	case "no", "false":
		return false, nil
	}
	return false, wrong("write yes or no", "%s is neither yes nor no", shown(text))
}
