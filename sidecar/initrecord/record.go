package initrecord

import (
	"encoding/json"
	"fmt"
	"time"
)

// Where things are in the init sidecar's container.
const (
	// Folder is the volume that keeps what a run leaves.
	Folder = "/var/lib/inmanta-init"
	// File is the record in it.
	File = "last-run.json"
	// Again is the file in it that asks for a run although nothing changed.
	Again = "again"
)

// Result is how a run ended.
type Result string

// The results. A run that was killed stays ResultRunning.
const (
	ResultRunning Result = "running"
	ResultDone    Result = "initialised"
	ResultFailed  Result = "failed"
	ResultStopped Result = "stopped"
)

// Record is what is known of the last run.
type Record struct {
	// Fingerprint tells whether a run would do the same again: it is made of the
	// repository, the commit, the arguments and the image's packages.
	Fingerprint string `json:"fingerprint"`
	URL         string `json:"url"`
	Branch      string `json:"branch"`
	Commit      string `json:"commit,omitempty"`
	// Arguments are pytest's.
	Arguments []string `json:"arguments"`
	// Orchestrator is the version in the image.
	Orchestrator string    `json:"orchestrator,omitempty"`
	Started      time.Time `json:"started"`
	// Seconds is how long it took; 0 while it runs.
	Seconds float64 `json:"seconds,omitempty"`
	Result  Result  `json:"result" jsonschema:"enum=running,enum=initialised,enum=failed,enum=stopped"`
	// Code is the exit code.
	Code Code `json:"code"`
	// Problem and Fix are one sentence each; empty unless it failed.
	Problem string `json:"problem,omitempty"`
	Fix     string `json:"fix,omitempty"`
	// Tests counts tests by how they ended.
	Tests Tests `json:"tests"`
	// Failing are the node ids of tests that failed, at most MostFailing of them.
	Failing []string `json:"failing,omitempty"`
	// Environments are those on the orchestrator that runs have made, by id.
	Environments []string `json:"environments,omitempty"`
}

// Tests counts tests.
type Tests struct {
	Passed  int `json:"passed"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
}

// String says how many passed, in words.
func (t Tests) String() string {
	said := fmt.Sprintf("%d passed", t.Passed)
	if t.Failed > 0 {
		said += fmt.Sprintf(", %d failed", t.Failed)
	}
	if t.Skipped > 0 {
		said += fmt.Sprintf(", %d skipped", t.Skipped)
	}
	return said
}

// MostFailing is how many failing tests a record names.
const MostFailing = 50

// ParseRecord reads a record's text.
func ParseRecord(text []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(text, &r); err != nil {
		return Record{}, fmt.Errorf("reading the record of the last run: %w", err)
	}
	return r, nil
}
