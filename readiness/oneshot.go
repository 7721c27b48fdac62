package readiness

import (
	"slices"
	"strings"

	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
)

// stepIn is what a line of a one-shot container's log says that it is at; ok is
// false when it says nothing of that.
func stepIn(line string) (s step, ok bool) {
	e, ok := initrecord.Parse(line)
	if !ok || e.Event != initrecord.EventPhase && e.Event != initrecord.EventTest {
		return step{}, false
	}
	s = step{word: e.Phase.Words(), detail: e.Detail, current: e.Current, total: e.Total}
	if e.Event == initrecord.EventTest {
		s.detail = e.Test // why it failed has many lines
		if e.State == initrecord.StateFailed {
			s.detail += " failed"
		}
	}
	return s, s.word != ""
}

// forPeople is a log without what a program puts around its lines: of the init
// sidecar's events, what they say. What a failed test says of itself stands in
// pytest's own lines, too, which are shown; said twice it would push those out.
func forPeople(lines []string) []string {
	var shown []string
	for _, line := range lines {
		e, ok := initrecord.Parse(line)
		switch {
		case !ok:
			shown = append(shown, line)
		case e.Event == initrecord.EventTest:
			e.Detail = ""
			shown = append(shown, e.String())
		default:
			shown = append(shown, strings.Split(e.String(), "\n")...)
		}
	}
	return slices.Clip(shown)
}
