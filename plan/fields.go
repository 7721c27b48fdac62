package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/moby/api/types/container"
)

// fields are what a service or a container is made of, in one form that both
// can be brought into: by the key in the compose file below the service
// ("healthcheck.interval"), its values. Lists whose order means nothing are
// sorted; everything else is one value. What the image gives is left out.
type fields map[string][]string

// set sets a single value; an empty one is as good as none.
func (f fields) set(key, value string) {
	if value != "" {
		f[key] = []string{value}
	}
}

// list sets values whose order means nothing.
func (f fields) list(key string, values []string) {
	values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
	if len(values) > 0 {
		slices.Sort(values)
		f[key] = slices.Compact(values)
	}
}

// each sets one key below key for every entry.
func (f fields) each(key string, entries map[string]string) {
	for name, value := range entries {
		f[key+"."+name] = []string{value}
	}
}

func (f fields) flag(key string, on bool) {
	if on {
		f[key] = []string{"true"}
	}
}

func (f fields) number(key string, n int64) {
	if n != 0 {
		f[key] = []string{strconv.FormatInt(n, 10)}
	}
}

func (f fields) size(key string, bytes int64) {
	if bytes != 0 {
		f[key] = []string{size(bytes)}
	}
}

// difference is one field that is not the same.
type difference struct {
	key      string
	from, to string
}

// engineDefaults are fields that the engine fills in when nobody asked: only
// the value of somebody who asks can be told from its own.
var engineDefaults = []string{"cgroup", "ipc", "logging.driver", "runtime"}

// compare lists where the desired fields are not the observed ones, by key.
func compare(observed, desired fields) []difference {
	keys := slices.Collect(maps.Keys(observed))
	keys = slices.AppendSeq(keys, maps.Keys(desired))
	slices.Sort(keys)
	var found []difference
	for _, key := range slices.Compact(keys) {
		if slices.Contains(engineDefaults, key) && desired[key] == nil {
			continue
		}
		from, to := without(observed[key], desired[key]), without(desired[key], observed[key])
		if len(from)+len(to) > 0 {
			found = append(found, difference{key, written(from), written(to)})
		}
	}
	return found
}

func without(values, others []string) []string {
	var left []string
	for _, v := range values {
		if !slices.Contains(others, v) {
			left = append(left, v)
		}
	}
	return left
}

// written are the values as one text; none is the empty one.
func written(values []string) string {
	values = slices.Clone(values)
	for i, v := range values {
		if v == "" {
			values[i] = `""`
		}
	}
	return strings.Join(values, ", ")
}

// words are arguments as one text.
func words(arguments []string) string {
	if len(arguments) == 0 {
		return "[]"
	}
	quoted := make([]string, len(arguments))
	for i, a := range arguments {
		quoted[i] = a
		if a == "" || strings.ContainsAny(a, " \t\n\"'\\") {
			quoted[i] = strconv.Quote(a)
		}
	}
	return strings.Join(quoted, " ")
}

// size is a number of bytes as the compose files write it: "256m".
func size(bytes int64) string {
	for _, unit := range []struct {
		letter string
		bytes  int64
	}{{"g", 1 << 30}, {"m", 1 << 20}, {"k", 1 << 10}} {
		if bytes%unit.bytes == 0 {
			return strconv.FormatInt(bytes/unit.bytes, 10) + unit.letter
		}
	}
	return strconv.FormatInt(bytes, 10)
}

// shmDefault is what the engine gives a container that does not ask.
const shmDefault = 64 << 20

func duration(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return types.Duration(d).String()
}

// capabilities are names without the prefix that the engine adds.
func capabilities(names []string) []string {
	plain := make([]string, len(names))
	for i, name := range names {
		plain[i] = strings.TrimPrefix(strings.ToUpper(name), "CAP_")
	}
	return plain
}

// publishedPort is a port as the compose files write it.
func publishedPort(ip, published, target, protocol string) string {
	text := target
	if published != "" {
		text = published + ":" + text
	}
	if ip != "" {
		text = ip + ":" + text
	}
	if protocol != "" && protocol != "tcp" {
		text += "/" + protocol
	}
	return text
}

// mounted is a volume, bind or other mount as the compose files write it.
func mounted(kind, source, target string, readOnly bool) string {
	text := target
	if source != "" {
		text = source + ":" + target
	}
	if kind != types.VolumeTypeBind && kind != types.VolumeTypeVolume {
		text = kind + ":" + text
	}
	if readOnly {
		text += ":ro"
	}
	return text
}

func restartPolicy(name string, attempts int) string {
	if name == "" {
		return "no"
	}
	if attempts > 0 {
		return fmt.Sprintf("%s:%d", name, attempts)
	}
	return name
}

// pairs reads NAME=value entries; those without a value are not set.
func pairs(entries []string) map[string]string {
	values := map[string]string{}
	for _, entry := range entries {
		if name, value, ok := strings.Cut(entry, "="); ok {
			values[name] = value
		}
	}
	return values
}

// beyond are the entries that differ from those of the image.
func beyond(image, entries map[string]string) map[string]string {
	own := map[string]string{}
	for name, value := range entries {
		if given, ok := image[name]; !ok || given != value {
			own[name] = value
		}
	}
	return own
}

// healthcheck sets the fields of a check that differ from the image's.
func (f fields) healthcheck(check, image *container.HealthConfig) {
	if image == nil {
		image = &container.HealthConfig{}
	}
	if check == nil {
		check = image
	}
	if len(check.Test) > 0 && !slices.Equal(check.Test, image.Test) {
		f.set("healthcheck.test", words(check.Test))
	}
	for _, d := range []struct {
		key           string
		value, theirs time.Duration
	}{
		{"interval", check.Interval, image.Interval},
		{"timeout", check.Timeout, image.Timeout},
		{"start_period", check.StartPeriod, image.StartPeriod},
		{"start_interval", check.StartInterval, image.StartInterval},
	} {
		if d.value != d.theirs {
			f.set("healthcheck."+d.key, duration(d.value))
		}
	}
	if check.Retries != image.Retries {
		f.number("healthcheck.retries", int64(check.Retries))
	}
}
