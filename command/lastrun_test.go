package command

import (
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/readiness"
	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
)

func TestLastRun(t *testing.T) {
	began := time.Date(2026, 11, 27, 7, 0, 0, 0, time.UTC)
	base := initrecord.Record{Branch: "master", Commit: "65424df4ad0123", Started: began}
	for _, c := range []struct {
		result  initrecord.Result
		problem string
		state   string
		want    string
	}{
		{initrecord.ResultDone, "", "exited", "master 65424df4ad, initialised, 3 passed, in 15.4 s, 2 hours ago"},
		{initrecord.ResultFailed, "1 of 3 tests failed: a", "exited", "master 65424df4ad, failed: 1 of 3 tests failed: a, in 15.4 s, 2 hours ago"},
		{initrecord.ResultRunning, "", "running", "master 65424df4ad, at work, in 15.4 s, 2 hours ago"},
		{initrecord.ResultRunning, "", "exited", "master 65424df4ad, stopped: it was killed before it was done, in 15.4 s, 2 hours ago"},
	} {
		r := base
		r.Result, r.Problem, r.Seconds, r.Tests = c.result, c.problem, 15.4, initrecord.Tests{Passed: 3}
		if got := settled(r, c.state).line(began.Add(2 * time.Hour)); got != c.want {
			t.Errorf("%s while %s reads %q, want %q", c.result, c.state, got, c.want)
		}
	}
	if got := (lastRun{base}).line(began); strings.Contains(got, "in ") {
		t.Errorf("a run without a duration reads %q", got)
	}
}

// A one-shot service that failed makes a deployment unhealthy, in its own words.
func TestHealthOfADeploymentWithAFailedRun(t *testing.T) {
	found := status{
		Containers: []readiness.Container{{ID: "s", Name: "lab-orchestrator", Service: "server", State: "running"}, {ID: "i", Name: "lab-init-sidecar", Service: "init", State: "exited", ExitCode: 40}},
		Init:       &lastRun{initrecord.Record{Result: initrecord.ResultFailed, Problem: "1 of 1 tests failed: a"}},
	}
	verdict, reasons := judge(found, []string{"server", "init"})
	if verdict != unhealthy || len(reasons) != 1 || reasons[0] != "lab-init-sidecar is exited, exit code 40: 1 of 1 tests failed: a" {
		t.Errorf("%s: %q", verdict, reasons)
	}
}
