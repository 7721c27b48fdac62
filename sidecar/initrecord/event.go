// Package initrecord is what the init sidecar says and leaves: its log's lines,
// the record of its last run, and its exit codes. Whoever shows a run to people
// reads them with this package, too.
package initrecord

import (
	"encoding/json"
	"strings"
	"time"
)

// Event is one line of the init sidecar's log. Fields that do not apply are left out.
type Event struct {
	Time time.Time `json:"time"`
	// Event is what the line is about: see the constants.
	Event string `json:"event"`
	// Phase is what was being done.
	Phase Phase `json:"phase,omitempty"`
	// State is how the phase, or the test, stands.
	State State `json:"state,omitempty"`
	// Detail is one line beside it; for EventOutput what a program printed, and
	// for a failed test why it failed, which may have several lines.
	Detail string `json:"detail,omitempty"`
	// Test is a test's node id, as pytest prints it.
	Test string `json:"test,omitempty"`
	// Current and Total count tests; Total is 0 before they are collected.
	Current int `json:"current,omitempty"`
	Total   int `json:"total,omitempty"`
	// Seconds is how long the phase, the test or the whole run took.
	Seconds float64 `json:"seconds,omitempty"`
	// Problem and Fix are one sentence each, and Code is the exit code that they mean.
	Problem string `json:"problem,omitempty"`
	Fix     string `json:"fix,omitempty"`
	Code    Code   `json:"code,omitempty"`
}

// What a line is about.
const (
	// EventPhase is a phase that begins, goes on or ends.
	EventPhase = "phase"
	// EventTest is a test that begins or ends.
	EventTest = "test"
	// EventOutput is a line that git, pip or pytest printed.
	EventOutput = "output"
	// EventProblem is why the run failed.
	EventProblem = "problem"
	// EventEnd is the end of a run that did not fail.
	EventEnd = "end"
)

// Phase is one part of a run, in this order.
type Phase string

// The phases of a run.
const (
	PhaseRepository   Phase = "repository"   // which commit the branch is at
	PhaseClone        Phase = "clone"        // the module's files
	PhaseEnvironment  Phase = "environment"  // a virtual environment on the orchestrator's Python
	PhaseInstall      Phase = "install"      // the module and what it needs
	PhaseOrchestrator Phase = "orchestrator" // until the orchestrator serves
	PhaseTests        Phase = "tests"        // pytest
)

// State is how a phase or a test stands.
type State string

// The states of a phase; tests also pass, fail or are skipped.
const (
	StateStarted State = "started"
	StateWorking State = "working"
	StateDone    State = "done"
	StateFailed  State = "failed"
	StatePassed  State = "passed"
	StateSkipped State = "skipped"
)

// Parse reads one line of a log; ok is false for a line that is none of the
// init sidecar's.
func Parse(line string) (e Event, ok bool) {
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &e) != nil {
		return Event{}, false
	}
	switch e.Event {
	case EventPhase, EventTest, EventOutput, EventProblem, EventEnd:
		return e, true
	}
	return Event{}, false
}

// words are what a person is told that is done in a phase.
var words = map[Phase]string{
	PhaseRepository:   "Asking the repository",
	PhaseClone:        "Cloning",
	PhaseEnvironment:  "Making an environment",
	PhaseInstall:      "Installing",
	PhaseOrchestrator: "Waiting for the orchestrator",
	PhaseTests:        "Testing",
}

// Words say what is being done in the phase: "Installing".
func (p Phase) Words() string {
	if said, ok := words[p]; ok {
		return said
	}
	return string(p)
}

// String is the line for people: what a program printed stands as it was.
func (e Event) String() string {
	switch e.Event {
	case EventOutput:
		return e.Detail
	case EventProblem:
		if e.Fix == "" {
			return e.Problem
		}
		return e.Problem + ": " + e.Fix
	case EventTest:
		said := e.Test + " " + string(e.State)
		if e.Detail != "" {
			said += "\n" + e.Detail
		}
		return said
	}
	said := strings.TrimSpace(string(e.Phase) + " " + string(e.State))
	if said != "" && e.Detail != "" {
		said += ": "
	}
	return said + e.Detail
}
