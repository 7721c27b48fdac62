// Package problem is what goes wrong in words a person can act on: what
// happened, where, and what to do next.
package problem

import (
	"errors"
	"fmt"
	"strings"
)

// Problem is one thing that is wrong. As an error it reads
// "WHERE: WHAT", and the fix is shown below it by package ui.
type Problem struct {
	// ID is a stable name for scripts: "port-taken".
	ID string `json:"id"`
	// Where is the file and line, setting, container or volume at fault; may be empty.
	Where string `json:"where,omitempty"`
	// What is one sentence of cause.
	What string `json:"what"`
	// Fix is one sentence of what to do next.
	Fix string `json:"fix"`
	// Err is the error behind it, if any, for errors.Is and errors.As.
	Err error `json:"-"`
}

// Error implements error.
func (p Problem) Error() string {
	if p.Where == "" {
		return p.What
	}
	return p.Where + ": " + p.What
}

// Unwrap gives the error behind it.
func (p Problem) Unwrap() error { return p.Err }

// List is all that is wrong at once.
type List []Problem

// Error implements error, one problem a line.
func (l List) Error() string {
	lines := make([]string, len(l))
	for i, p := range l {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// OrNil is the list as an error: nil when it is empty.
func (l List) OrNil() error {
	if len(l) == 0 {
		return nil
	}
	return l
}

// In lists the problems inside err: a Problem, a List, either wrapped, or several
// that were joined. An error that holds none is one problem without a fix.
func In(err error) List {
	if err == nil {
		return nil
	}
	if parts := joined(err); parts != nil {
		var all List
		for _, one := range parts {
			all = append(all, In(one)...)
		}
		return all
	}
	var list List
	if errors.As(err, &list) {
		return list
	}
	var one Problem
	if errors.As(err, &one) {
		return List{one}
	}
	return List{{ID: "error", What: fmt.Sprint(err), Err: err}}
}

// joined are the errors that errors.Join put together, a line each; nil for
// anything else, such as one sentence that wraps two errors.
func joined(err error) []error {
	several, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	parts := several.Unwrap()
	lines := make([]string, len(parts))
	for i, one := range parts {
		lines[i] = one.Error()
	}
	if err.Error() != strings.Join(lines, "\n") {
		return nil
	}
	return parts
}
