package modelinit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
)

// failure is why a run failed, in words a person can act on.
type failure struct {
	code initrecord.Code
	// what and fix are one sentence each.
	what, fix string
	// failing are tests, by node id.
	failing []string
}

// Error implements error.
func (f failure) Error() string { return f.what }

const spaceFix = "free some space (docker system df shows what the engine holds), then: inmanta-docker up"

func diskFull() failure {
	return failure{code: initrecord.CodeDiskFull, what: "the disk is full", fix: spaceFix}
}

// noSpace is how programs say that a disk is full.
const noSpace = "No space left on device"

// explained turns any error into a failure.
func explained(ctx context.Context, err error) failure {
	var f failure
	switch {
	case ctx.Err() != nil:
		return failure{code: initrecord.CodeStopped, what: "it was told to stop before it was done", fix: "run it again: inmanta-docker up"}
	case errors.As(err, &f):
		return f
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return diskFull()
	}
	return failure{
		code: initrecord.CodeUnexpected, what: fmt.Sprintf("something unexpected: %v", err),
		fix: "try again: inmanta-docker up; if it stays, report it with the sidecar's log",
	}
}

// says is the first of the lines that has one of the words.
func says(lines []string, words ...string) (line string, ok bool) {
	for _, l := range lines {
		if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(l, w) }) {
			return strings.TrimSpace(l), true
		}
	}
	return "", false
}

// last is the last line that is not empty.
func last(lines []string) string {
	for _, l := range slices.Backward(lines) {
		if l = strings.TrimSpace(l); l != "" {
			return l
		}
	}
	return "it said nothing"
}
