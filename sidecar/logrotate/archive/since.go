package archive

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"github.com/inmanta/inmanta-docker/problem"
)

// ParseSince reads how far to look back: 90s, 30m, 12h, 3d or 2w before now; a
// day, 2026-11-20; or a moment of it, 2026-11-20 06:00[:00], in the zone of now
// unless it says its own as RFC 3339 does. What is in the future is refused.
func ParseSince(text string, now time.Time) (time.Time, error) {
	at, is := ago(text, now)
	for _, layout := range []string{
		time.RFC3339, time.DateOnly, time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04",
	} {
		if is {
			break
		}
		parsed, err := time.ParseInLocation(layout, text, now.Location())
		at, is = parsed, err == nil
	}
	what := ""
	switch {
	case !is:
		what = fmt.Sprintf("%q is no time", text)
	case at.After(now):
		what = fmt.Sprintf("%q is in the future: it is %s", text, now.Format(time.RFC3339))
	default:
		return at, nil
	}
	return time.Time{}, problem.Problem{
		ID: "since-time", Where: "--since", What: what,
		Fix: "give how long ago (90s, 30m, 12h, 3d, 2w), a day (2026-11-20), or a time (2026-11-20T06:00:00Z)",
	}
}

// ago reads a number and a unit.
func ago(text string, now time.Time) (time.Time, bool) {
	if text == "" {
		return time.Time{}, false
	}
	units := map[byte]time.Duration{
		's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour,
	}
	unit, is := units[text[len(text)-1]]
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 63)
	if !is || err != nil || n > uint64(1<<63-1)/uint64(unit) {
		return time.Time{}, false
	}
	return now.Add(-time.Duration(n) * unit), true
}

// timestamp reads the time that a line begins with: as the orchestrator writes
// it, 2026-11-27 06:24:12,123, or as ISO 8601 does, with a T, a dot, Z or an
// offset. Without one of those it is a time of the zone.
func timestamp(line []byte, zone *time.Location) (time.Time, bool) {
	const seconds = len("2006-01-02 15:04:05")
	if len(line) < seconds || line[10] != ' ' && line[10] != 'T' {
		return time.Time{}, false
	}
	text := string(line[:seconds])
	rest := line[seconds:]
	if len(rest) > 1 && (rest[0] == ',' || rest[0] == '.') {
		digits := 0
		for digits < 9 && 1+digits < len(rest) && '0' <= rest[1+digits] && rest[1+digits] <= '9' {
			digits++
		}
		if digits > 0 {
			text += "." + string(rest[1:1+digits])
		}
		rest = rest[1+digits:]
	}
	layout := "2006-01-02" + text[10:11] + "15:04:05"
	for _, offset := range []string{"Z07:00", "Z0700"} {
		if length := len(offset); len(rest) > 0 && rest[0] == 'Z' {
			text, layout = text+"Z", layout+offset
			break
		} else if len(rest) >= length && (rest[0] == '+' || rest[0] == '-') {
			if at, err := time.Parse(layout+offset, text+string(rest[:length])); err == nil {
				return at, true
			}
		}
	}
	at, err := time.ParseInLocation(layout, text, zone)
	return at, err == nil
}

// longestTimestamp is the longest that timestamp reads, in bytes.
const longestTimestamp = len("2006-01-02T15:04:05.999999999+00:00")

// filter leaves out the lines before the first one that is not older than a
// time. A line without a time belongs to the one before; a log that does not
// begin with any time is let through.
type filter struct {
	since time.Time
	zone  *time.Location

	open  bool   // the first line that is wanted has come
	dated bool   // one with a time has come, and was too old
	line  []byte // the beginning of a line; nil within one of which it is known
	skip  bool   // within a line that is left out, or held
	held  []byte // lines without a time before the first that has one
}

// mostHeld is how much is held until a line with a time comes, in bytes.
const mostHeld = 64 << 10

func newFilter(since time.Time, zone *time.Location) *filter {
	if zone == nil {
		zone = time.UTC
	}
	return &filter{since: since, zone: zone}
}

// pass is what is let through, now that this has come.
func (f *filter) pass(next []byte) []byte {
	for !f.open && len(next) > 0 {
		n := bytes.IndexByte(next, '\n') + 1
		if f.skip {
			if n == 0 {
				n = len(next)
			} else {
				f.skip = false
			}
			f.hold(next[:n])
			next = next[n:]
			continue
		}
		if n == 0 {
			n = len(next)
		}
		n = min(n, longestTimestamp-len(f.line))
		f.line = append(f.line, next[:n]...)
		next = next[n:]
		if len(f.line) == longestTimestamp || f.line[len(f.line)-1] == '\n' {
			f.judge()
		}
	}
	if !f.open {
		return nil
	}
	if f.held != nil {
		next = append(f.held, next...)
		f.held = nil
	}
	return next
}

// judge decides about a line by its beginning.
func (f *filter) judge() {
	at, has := timestamp(f.line, f.zone)
	f.skip = f.line[len(f.line)-1] != '\n'
	switch {
	case has && at.Before(f.since):
		f.dated, f.held = true, nil
	case has:
		f.open = true
		f.held = append(f.held, f.line...)
	default:
		f.hold(f.line)
	}
	f.line = f.line[:0]
}

// hold keeps what may have to be let through.
func (f *filter) hold(part []byte) {
	if f.dated {
		return
	}
	f.held = append(f.held, part...)
	f.open = len(f.held) > mostHeld
}

// cut says that bytes are missing here: what follows begins a line, or is in one
// of which nothing is known.
func (f *filter) cut() {
	if len(f.line) > 0 {
		f.judge()
	}
	f.skip = false
}

// end is what is let through at the end.
func (f *filter) end() []byte {
	if len(f.line) > 0 {
		f.judge()
	}
	held := f.held
	f.held = nil
	return held
}
