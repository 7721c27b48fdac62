package policy

import (
	"math"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/sidecar/schedule"
	"github.com/inmanta/inmanta-docker/sidecar/setting"
)

// prefix of the names of all settings.
const prefix = "INMANTA_LOGROTATE_"

// reader reads the settings.
func reader(lookup func(string) string) *setting.Reader {
	return &setting.Reader{Prefix: prefix, ID: "logrotate-setting", Lookup: lookup}
}

// Location is the time zone of the setting INMANTA_LOGROTATE_TIMEZONE, the one
// setting that counts beside a configuration of logrotate, too. UTC by default.
func Location(lookup func(string) string) (*time.Location, problem.List) {
	v := reader(lookup)
	zone := setting.Read(v, "TIMEZONE", "UTC", setting.Zone)
	if zone == nil {
		zone = time.UTC
	}
	return zone, v.Problems
}

// FromSettings is the one policy that the settings INMANTA_LOGROTATE_… describe.
// lookup gives the value of a variable, empty where it is not set. With any problem
// there are no policies.
func FromSettings(lookup func(string) string) (Policies, problem.List) {
	v := reader(lookup)
	zone, wrongZone := Location(lookup)
	one := Policy{
		Patterns:     setting.Read(v, "PATTERNS", "*.log *.out *.err", parsePatterns),
		Schedule:     setting.Read(v, "SCHEDULE", "daily", func(text string) (schedule.Schedule, *setting.Fault) { return schedule.Parse(schedule.Words(text)) }),
		Size:         setting.Read(v, "SIZE", "", setting.Size),
		Keep:         setting.Read(v, "KEEP", "10", setting.Keep("rotations")),
		MaxAge:       setting.Read(v, "MAX_AGE", "", setting.Days),
		Compression:  setting.Read(v, "COMPRESSION", "gzip", parseCompression),
		CopyTruncate: setting.Read(v, "COPYTRUNCATE", "no", parseYesNo),
		Location:     zone,
	}
	all := Policies{List: []Policy{one}, MaxTotal: setting.Read(v, "MAX_TOTAL", "", setting.Size)}
	v.Problems = append(v.Problems, wrongZone...)
	if len(v.Problems) == 0 && one.Schedule.Every == schedule.BySize && one.Size == 0 {
		v.Tell("SIZE", setting.Wrong("write the size to rotate at, as 10M", "it is not set, and %sSCHEDULE=size rotates by nothing else", prefix))
	}
	if len(v.Problems) > 0 {
		return Policies{}, v.Problems
	}
	return all, nil
}

func parsePatterns(text string) ([]string, *setting.Fault) {
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

func parseCompression(text string) (Compression, *setting.Fault) {
	format, level, has := strings.Cut(text, ":")
	if !has {
		return compression(Format(format), 0)
	}
	value, is := setting.Number(level)
	if !is || value == 0 || value > math.MaxInt32 {
		return Compression{}, setting.Wrong("write a number of 1 or more behind the colon, as gzip:6, or leave both out", "%s is not a level", setting.Shown(level))
	}
	return compression(Format(format), int(value))
}

func parseYesNo(text string) (bool, *setting.Fault) {
	switch strings.ToLower(text) {
	case "yes", "true":
		return true, nil
	case "no", "false":
		return false, nil
	}
	return false, setting.Wrong("write yes or no", "%s is neither yes nor no", setting.Shown(text))
}
