// Package setting reads what a sidecar is told in variables: numbers, sizes,
// days and time zones, as people write them, with what is wrong and what to
// write instead.
package setting

import (
	"strings"

	"github.com/inmanta/inmanta-docker/problem"
)

// Reader reads the settings of one sidecar, and collects what is wrong with them.
type Reader struct {
	// Prefix is what all their names begin with.
	Prefix string
	// ID is that of the problems.
	ID string
	// Lookup gives the value of a variable, empty where it is not set.
	Lookup   func(string) string
	Problems problem.List
}

// Read reads one setting, whose name follows the prefix, with its default; one
// that is wrong is told, and gives the zero value, as does one that is empty and
// has no default.
func Read[T any](r *Reader, name, usual string, parse func(string) (T, *Fault)) T {
	var none T
	text := strings.TrimSpace(r.Lookup(r.Prefix + name))
	if text == "" {
		text = usual
	}
	if text == "" {
		return none
	}
	value, f := parse(text)
	if f != nil {
		r.Tell(name, f)
		return none
	}
	return value
}

// Tell says what is wrong with a setting, whose name follows the prefix.
func (r *Reader) Tell(name string, f *Fault) {
	r.Problems = append(r.Problems, problem.Problem{ID: r.ID, Where: r.Prefix + name, What: f.What, Fix: f.Fix})
}
