// Package dumps is what a dump of the database is called, when one is due, and
// which are kept. It decides, and touches nothing.
package dumps

import (
	"regexp"
	"strings"
	"time"
)

// stamp is the time in a dump's name, in UTC: names are in the order of time.
const stamp = "20060102T150405Z"

// What names end with.
const (
	extension = ".dump"
	checksum  = ".sha256"
	partial   = ".partial"
)

// Name is what the dump of a deployment is called that was begun at a time, which
// counts to the second: "inmanta-20261127T000000Z.dump".
func Name(deployment string, begun time.Time) string {
	return deployment + "-" + begun.UTC().Format(stamp) + extension
}

// Checksum is the name of the file beside a dump that says its SHA-256.
func Checksum(name string) string { return name + checksum }

// Partial is what a file is called that is not complete: nobody takes it for what
// it is to become.
func Partial(name string) string { return "." + name + partial }

// Kind is what a file in the folder of the dumps is.
type Kind int

// The kinds there are. Others is whatever is not this deployment's.
const (
	Others Kind = iota
	// Complete is a dump under its own name, Sum the checksum of one.
	Complete
	Sum
	// Unfinished is either of them, cut short.
	Unfinished
)

// Parse says what a file of that name is to a deployment and, but for Others, of
// which dump and when that was begun.
func Parse(deployment, file string) (kind Kind, name string, begun time.Time) {
	kind, name = Complete, file
	if rest, is := strings.CutSuffix(name, partial); is {
		if name, is = strings.CutPrefix(rest, "."); !is {
			return Others, "", time.Time{}
		}
		kind = Unfinished
	}
	if rest, is := strings.CutSuffix(name, checksum); is {
		name = rest
		if kind == Complete {
			kind = Sum
		}
	}
	text, is := strings.CutPrefix(name, deployment+"-")
	text, ends := strings.CutSuffix(text, extension)
	begun, err := time.Parse(stamp, text)
	// Only what Name would write: time.Parse takes fractions of a second, too.
	if !is || !ends || err != nil || Name(deployment, begun) != name {
		return Others, "", time.Time{}
	}
	return kind, name, begun
}

// SumLine is the content of the checksum file of a dump, as `sha256sum -c` reads it.
func SumLine(name, sha256 string) string { return sha256 + "  " + name + "\n" }

var sumForm = regexp.MustCompile(`^([0-9a-f]{64})[ ][ *]([^\n]+)\n?$`)

// ParseSum reads the content of the checksum file of a dump.
func ParseSum(name, content string) (sha256 string, ok bool) {
	m := sumForm.FindStringSubmatch(content)
	if m == nil || m[2] != name {
		return "", false
	}
	return m[1], true
}
