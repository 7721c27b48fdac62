package modelinit

import (
	"slices"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
)

func TestReportsAddUp(t *testing.T) {
	t.Parallel()
	var o outcome
	var states []string
	for _, r := range []reported{
		{Event: "collected", Total: 5},
		{Event: "started", Test: "a"}, {Event: "passed", Test: "a", When: "call"},
		{Event: "started", Test: "b"}, {Event: "failed", Test: "b", When: "call", Detail: "why"}, {Event: "failed", Test: "b", When: "teardown"},
		{Event: "started", Test: "c"}, {Event: "skipped", Test: "c", When: "setup"},
		{Event: "started", Test: "d"}, {Event: "failed", Test: "d", When: "setup"},
		{Event: "started", Test: "e"}, {Event: "passed", Test: "e", When: "call"}, {Event: "failed", Test: "e", When: "teardown"},
		{Event: "what a test wrote"},
	} {
		var e initrecord.Event
		if o, e = o.take(r); e.Event == initrecord.EventTest && e.State != initrecord.StateStarted {
			states = append(states, e.Test+" "+string(e.State))
		}
	}
	if want := (initrecord.Tests{Passed: 1, Failed: 3, Skipped: 1}); o.Tests != want || o.ended != 5 || o.total != 5 || !slices.Equal(o.failing, []string{"b", "d", "e"}) {
		t.Errorf("the outcome is %+v", o)
	}
	if got := strings.Join(states, ", "); got != "a passed, b failed, b failed, c skipped, d failed, e passed, e failed" {
		t.Errorf("told is %s", got)
	}
}

func TestWhyPytestFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		exit  int
		o     outcome
		lines []string
		code  initrecord.Code
		says  string
	}{
		{1, outcome{total: 9, failing: []string{"a", "b"}}, nil, initrecord.CodeTestsFailed, "2 of 9 tests failed: a, b"},
		{1, outcome{total: 9, failing: []string{"1", "2", "3", "4", "5", "6", "7"}}, nil, initrecord.CodeTestsFailed, "1, 2, 3, 4, 5, and 2 more"},
		{1, outcome{broken: []string{"t.py"}, failing: []string{"a"}, total: 1}, nil, initrecord.CodeTestsFailed, "1 of 1"},
		{1, outcome{broken: []string{"t.py"}}, nil, initrecord.CodeCollection, "t.py"},
		{2, outcome{broken: []string{"t.py"}}, nil, initrecord.CodeCollection, "cannot read the tests in t.py"},
		{2, outcome{}, []string{"!!! KeyboardInterrupt !!!"}, initrecord.CodePytest, "exit code 2"},
		{3, outcome{}, []string{"INTERNALERROR> x"}, initrecord.CodePytest, "INTERNALERROR"},
		{4, outcome{}, []string{"ERROR: file or directory not found: nope", ""}, initrecord.CodeUsage, "not found: nope"},
		{4, outcome{}, []string{"ERROR: usage: __main__.py [options]", "__main__.py: error: unrecognized arguments: --nope"}, initrecord.CodeUsage, "unrecognized arguments: --nope"},
		{5, outcome{}, nil, initrecord.CodeNoTests, `no test with the arguments "-k x"`},
		{0, outcome{Tests: initrecord.Tests{Skipped: 3}, total: 3}, nil, initrecord.CodeNoTests, "3 skipped"},
		{0, outcome{total: 3}, nil, initrecord.CodeNoTests, `with the arguments "-k x" pytest runs no test`},
		{-1, outcome{}, nil, initrecord.CodePytest, "killed"},
		{1, outcome{failing: []string{"a"}}, []string{"OSError: [Errno 28] No space left on device"}, initrecord.CodeDiskFull, "full"},
	} {
		f := pytestFailure(c.exit, c.o, c.lines, []string{"-k", "x"})
		if f == nil || f.code != c.code || !strings.Contains(f.what, c.says) || f.fix == "" {
			t.Errorf("exit code %d with %+v and %q is told as %+v; want %d and %q", c.exit, c.o, c.lines, f, c.code, c.says)
		}
	}
	if f := pytestFailure(0, outcome{Tests: initrecord.Tests{Passed: 1, Skipped: 1}}, nil, nil); f != nil {
		t.Errorf("success is told as %+v", f)
	}
}
