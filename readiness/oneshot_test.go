package readiness

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/progress"
)

func TestStepsOfAOneShot(t *testing.T) {
	for line, want := range map[string]step{
		`{"event":"phase","phase":"install","state":"working","detail":"Collecting pytest"}`:                                 {word: "Installing", detail: "Collecting pytest"},
		`{"event":"test","phase":"tests","test":"t.py::a","state":"started","current":1,"total":3}`:                          {word: "Testing", detail: "t.py::a", current: 1, total: 3},
		`{"event":"test","phase":"tests","test":"t.py::a","state":"failed","detail":"long\nand wide","current":2,"total":3}`: {word: "Testing", detail: "t.py::a failed", current: 2, total: 3},
		`{"event":"output","phase":"install","detail":"Collecting pytest"}`:                                                  {},
		`{"event":"problem","phase":"install","problem":"x","fix":"y"}`:                                                      {},
		`{"event":"listening","listen":"[::]:22"}`:                                                                           {},
		`2026-11-27 INFO something`: {},
	} {
		if got, ok := stepIn(line); got != want || ok != (want != step{}) {
			t.Errorf("%s is read as %+v, %v", line, got, ok)
		}
	}
}

// What a one-shot container is at is shown as it goes on, and how it ended.
func TestOneShotIsShown(t *testing.T) {
	c := Container{ID: "i", Name: "lab-init-sidecar", Service: "init", State: "running", Started: time.Unix(1, 0), oneShot: true}
	s := next(state{stack: Stack{Services: []string{"init"}}}, listed{c})
	var shown []string
	w := &watch{report: func(e progress.Event) {
		shown = append(shown, strings.Join([]string{e.Text, e.Detail, string(e.Status)}, "/"))
	}}
	show := func(o observation) {
		s = next(s, o)
		w.show(s, judge(s))
	}
	w.show(s, judge(s))
	show(stepped{"i", c.Started, step{word: "Installing", detail: "a"}})
	show(stepped{"i", c.Started, step{word: "Installing", detail: "a"}})
	show(stepped{"i", c.Started, step{word: "Installing", detail: "b"}})
	show(stepped{"i", time.Unix(0, 0), step{word: "Testing", detail: "of a run before"}})
	c.State, c.Finished = "exited", time.Unix(2, 0)
	show(changed(c))
	want := []string{"Waiting/is at work/working", "Installing/a/working", "Installing/b/working", "Exited//done"}
	if !slices.Equal(shown, want) {
		t.Errorf("shown is %q, want %q", shown, want)
	}
	if v := judge(s); !v.done {
		t.Errorf("one that has ended with 0: %+v", v)
	}
	c.ExitCode = 40
	s = next(s, changed(c))
	if v := judge(s); v.culprit == nil || v.culprit.ID != "i" {
		t.Errorf("one that has ended with 40: %+v", v)
	}
}

func TestReportOfAOneShot(t *testing.T) {
	log := []string{
		`{"event":"test","phase":"tests","test":"t.py::a","state":"failed","detail":"def a():\n>   assert 0"}`,
		`{"event":"output","phase":"tests","detail":"E   assert 0"}`,
		`{"event":"problem","problem":"1 of 1 tests failed: t.py::a","fix":"mend it","code":40}`,
		`something else`,
	}
	if got := forPeople(log); !slices.Equal(got, []string{"t.py::a failed", "E   assert 0", "1 of 1 tests failed: t.py::a: mend it", "something else"}) {
		t.Errorf("people read %q", got)
	}
	cause := Diagnose(Evidence{Container: Container{State: "exited", ExitCode: 40, oneShot: true}, Log: log})
	if cause.What != "1 of 1 tests failed: t.py::a" || cause.Fix != "mend it" {
		t.Errorf("the cause is %+v", cause)
	}
	st := standing{Container: Container{Name: "lab-init-sidecar", oneShot: true}}
	if got := summary(st, cause); got != "lab-init-sidecar failed: 1 of 1 tests failed: t.py::a" {
		t.Errorf("in one sentence: %s", got)
	}
}
