// Package moments is what an archive of the database is made of, which moments it
// can bring back, when a base backup is due, and what is kept. It decides, and
// touches nothing.
//
// An archive has stretches: each a folder with the write-ahead log of one database
// without a gap, and base backups that were made meanwhile. Where the log has a
// gap, or the database is another one, a new stretch begins.
package moments

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// stamp is the time in names, in UTC: they are in the order of time.
const stamp = "20060102T150405Z"

// What is in the folder of a stretch.
const (
	// WAL is the folder of the log's segments.
	WAL = "wal"
	// About is the file that says what the stretch is.
	About = "about.json"

	base = "base-"
	note = ".json"
)

// What the names of files with segments end with, behind the segment's own.
const (
	// Compressed is one that is whole, Growing one that is being written, and Kept one
	// that was being written when its writer ended, and is written anew.
	Compressed = ".gz"
	Growing    = ".gz.partial"
	Kept       = ".gz.kept"
)

// StretchName is what a deployment's stretch is called that begins at a time, which
// counts to the second.
func StretchName(deployment string, began time.Time) string {
	return deployment + "-" + began.UTC().Format(stamp)
}

// IsStretch says whether a folder of that name is a stretch of the deployment.
func IsStretch(deployment, file string) bool {
	text, is := strings.CutPrefix(file, deployment+"-")
	began, err := time.Parse(stamp, text)
	return is && err == nil && StretchName(deployment, began) == file
}

// BaseName is what a base backup is called that was begun at a time.
func BaseName(begun time.Time) string { return base + begun.UTC().Format(stamp) }

// Note is the name of the file that says what a base backup is. It is there once
// the backup is complete.
func Note(name string) string { return name + note }

// Partial is what a file is called that is not complete.
func Partial(name string) string { return "." + name + ".partial" }

// Kind is what a file in the folder of a stretch is.
type Kind int

// The kinds there are. Others is whatever is none of these.
const (
	Others Kind = iota
	// Base is a base backup, Noted what is known of one.
	Base
	Noted
	// Unfinished is either of them, cut short.
	Unfinished
)

// Parse says what a file of that name is and, but for Others, of which base backup.
func Parse(file string) (kind Kind, name string) {
	kind, name = Base, file
	if rest, is := strings.CutSuffix(name, ".partial"); is {
		if name, is = strings.CutPrefix(rest, "."); !is {
			return Others, ""
		}
		kind = Unfinished
	}
	if rest, is := strings.CutSuffix(name, note); is {
		name = rest
		if kind == Base {
			kind = Noted
		}
	}
	text, is := strings.CutPrefix(name, base)
	begun, err := time.Parse(stamp, text)
	if !is || err != nil || BaseName(begun) != name {
		return Others, ""
	}
	return kind, name
}

// Segment is one file of the write-ahead log, as PostgreSQL names it:
// "000000010000000000000003".
type Segment struct {
	Timeline uint32
	// Number counts segments of a size from the beginning of the log; High and Low
	// are how PostgreSQL writes it.
	High, Low uint32
}

var segmentForm = regexp.MustCompile(`^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(\.gz)?(\.partial|\.kept)?$`)

// ParseSegment reads the name of a file with a segment, compressed or not; whole
// is that it is not one that was still being written.
func ParseSegment(file string) (s Segment, whole, ok bool) {
	m := segmentForm.FindStringSubmatch(file)
	if m == nil {
		return Segment{}, false, false
	}
	var n [3]uint32
	for i := range n {
		value, err := strconv.ParseUint(m[i+1], 16, 32)
		if err != nil {
			return Segment{}, false, false
		}
		n[i] = uint32(value)
	}
	return Segment{n[0], n[1], n[2]}, m[5] == "", true
}

// String is its name.
func (s Segment) String() string { return fmt.Sprintf("%08X%08X%08X", s.Timeline, s.High, s.Low) }

// number counts segments of so many bytes, of which there are whole ones in 4 GiB.
func (s Segment) number(size uint64) uint64 { return uint64(s.High)*(1<<32/size) + uint64(s.Low) }

// Follows says whether the segment is no later than the one after last: that there
// is none between them. Segments have so many bytes.
func (s Segment) Follows(last Segment, size int64) bool {
	if size < 1<<20 || size > 1<<30 || size&(size-1) != 0 { // PostgreSQL has no others
		return false
	}
	return s.number(uint64(size)) <= last.number(uint64(size))+1
}

// Before says whether it is earlier than another one, on whatever timeline.
func (s Segment) Before(other Segment) bool {
	return s.High < other.High || s.High == other.High && s.Low < other.Low
}

var startForm = regexp.MustCompile(`(?m)^START WAL LOCATION: [0-9A-F]+/[0-9A-F]+ \(file ([0-9A-F]{24})\)$`)

// FirstNeeded is the segment that a base backup's backup_label says it begins with.
func FirstNeeded(label string) (Segment, bool) {
	m := startForm.FindStringSubmatch(label)
	if m == nil {
		return Segment{}, false
	}
	s, _, ok := ParseSegment(m[1])
	return s, ok
}
