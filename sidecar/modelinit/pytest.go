package modelinit

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
)

// reportVariable tells the plugin which descriptor to report on.
const reportVariable = "INMANTA_INIT_REPORT"

// reported is one line of the plugin's.
type reported struct {
	Event   string  `json:"event"`
	Test    string  `json:"test"`
	When    string  `json:"when"`
	Detail  string  `json:"detail"`
	Seconds float64 `json:"seconds"`
	Total   int     `json:"total"`
}

// outcome is what the tests came to.
type outcome struct {
	initrecord.Tests
	// total is how many were collected, and ended how many have ended.
	total, ended int
	// failing are tests that failed and broken are files that could not be
	// collected, in their order and without doubles.
	failing, broken []string
}

// take is the outcome after a report, and what to say of it.
func (o outcome) take(r reported) (outcome, initrecord.Event) {
	e := initrecord.Event{Event: initrecord.EventTest, Phase: initrecord.PhaseTests, Test: r.Test, Seconds: r.Seconds}
	switch r.Event {
	case "collected":
		o.total = r.Total
		e = initrecord.Event{Event: initrecord.EventPhase, Phase: initrecord.PhaseTests, State: initrecord.StateWorking, Detail: fmt.Sprintf("%d collected", r.Total)}
	case "broken":
		o.broken = append(slices.Clone(o.broken), r.Test)
		e.State, e.Detail = initrecord.StateFailed, r.Detail
	case "started":
		e.State = initrecord.StateStarted
	case "failed":
		// A test may fail, and fail again when it is torn down.
		if !slices.Contains(o.failing, r.Test) {
			if o.failing = append(slices.Clone(o.failing), r.Test); r.When == "teardown" && o.Passed > 0 {
				o.Passed-- // it had passed by then
			} else {
				o.ended++
			}
			o.Failed++
		}
		e.State, e.Detail = initrecord.StateFailed, r.Detail
	case "skipped":
		o.Skipped, o.ended = o.Skipped+1, o.ended+1
		e.State = initrecord.StateSkipped
	case "passed":
		o.Passed, o.ended = o.Passed+1, o.ended+1
		e.State = initrecord.StatePassed
	default:
		return o, initrecord.Event{}
	}
	e.Current, e.Total = o.ended, o.total
	return o, e
}

// test runs pytest.
func (j *job) test(ctx context.Context) (outcome, error) {
	reports, theirs, err := os.Pipe()
	if err != nil {
		return outcome{}, fmt.Errorf("making a pipe for pytest's reports: %w", err)
	}
	defer reports.Close()
	ended := make(chan outcome, 1)
	go func() {
		var o outcome
		lines := bufio.NewScanner(reports)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var r reported
			if json.Unmarshal(lines.Bytes(), &r) != nil {
				continue // a test may write there, too
			}
			var e initrecord.Event
			if o, e = o.take(r); e.Event != "" {
				j.log.say(e)
			}
		}
		ended <- o
	}()
	p := program{
		path: j.python(), args: append([]string{"python", "-m", "pytest", "-p", pluginName}, j.config.Arguments...), dir: j.module(),
		// The first descriptor after the standard ones.
		environment: append(j.inVirtual(), reportVariable+"=3"), line: j.log.output, report: theirs,
	}
	lines, err := j.run(ctx, p)
	theirs.Close()
	// Whoever left pytest's group may hold on to it.
	late := time.AfterFunc(farewell, func() { reports.Close() })
	o := <-ended
	late.Stop()
	code, ran := exitCode(err)
	if !ran {
		return o, err
	}
	if f := pytestFailure(code, o, lines, j.config.Arguments); f != nil {
		return o, *f
	}
	return o, nil
}

// pytest's exit codes: see its documentation.
const (
	pytestFailed      = 1
	pytestInterrupted = 2
	pytestUsage       = 4
	pytestNothing     = 5
)

// pytestFailure is what pytest's exit code means; nil when all went well, which
// it did not where no test has run: nothing is initialised then.
func pytestFailure(code int, o outcome, lines, arguments []string) *failure {
	if code == 0 && o.Passed > 0 {
		return nil
	}
	f := &failure{code: initrecord.CodePytest, failing: o.failing}
	_, full := says(lines, noSpace)
	switch {
	case full:
		*f = diskFull()
		f.failing = o.failing
	case len(o.broken) > 0 && (code == pytestInterrupted || len(o.failing) == 0):
		f.code, f.failing = initrecord.CodeCollection, o.broken
		f.what = fmt.Sprintf("pytest cannot read the tests in %s", strings.Join(firstFew(o.broken), ", "))
		f.fix = "see why (inmanta-docker logs init): mostly an import that fails, of a package that is in none of the module's requirements"
	case code == pytestFailed:
		f.code = initrecord.CodeTestsFailed
		f.what = fmt.Sprintf("%d of %d tests failed: %s", len(o.failing), o.total, strings.Join(firstFew(o.failing), ", "))
		f.fix = "see why: inmanta-docker logs init; then mend the module, push it, and: inmanta-docker up"
	case code == 0 && o.Skipped > 0:
		f.code, f.what = initrecord.CodeNoTests, fmt.Sprintf("no test has run, so nothing is initialised: %d skipped", o.Skipped)
		f.fix = "see why pytest skips them: add -rs to INMANTA_PYTEST_ARGUMENTS, then inmanta-docker up and inmanta-docker logs init"
	case code == 0:
		f.code, f.what = initrecord.CodeNoTests, fmt.Sprintf("with the arguments %q pytest runs no test, so nothing is initialised", strings.Join(arguments, " "))
		f.fix = "leave out of INMANTA_PYTEST_ARGUMENTS what has it do something else, such as --collect-only"
	case code == pytestNothing:
		f.code, f.what = initrecord.CodeNoTests, fmt.Sprintf("pytest finds no test with the arguments %q", strings.Join(arguments, " "))
		f.fix = "set INMANTA_PYTEST_ARGUMENTS to a file or folder of the repository that has some"
	case code == pytestUsage:
		f.code, f.what = initrecord.CodeUsage, fmt.Sprintf("pytest does not take the arguments %q: %s", strings.Join(arguments, " "), usage(lines))
		f.fix = "set INMANTA_PYTEST_ARGUMENTS to what pytest takes, with paths as they are in the repository"
	case code < 0:
		f.what, f.fix = "pytest was killed", "if nobody did, the machine ran out of memory (dmesg says so): give it more"
	default:
		f.what, f.fix = fmt.Sprintf("pytest itself failed, with exit code %d: %s", code, last(lines)), "see what it says: inmanta-docker logs init"
	}
	return f
}

// usage is the line in which pytest says what it does not take.
func usage(lines []string) string {
	for _, mark := range []string{"error: ", "ERROR: "} {
		for _, l := range lines {
			if _, why, ok := strings.Cut(l, mark); ok {
				return why
			}
		}
	}
	return last(lines)
}

// firstFew are the first names, and how many more there are.
func firstFew(names []string) []string {
	const few = 5
	if len(names) <= few {
		return names
	}
	return append(slices.Clone(names[:few]), fmt.Sprintf("and %d more", len(names)-few))
}
