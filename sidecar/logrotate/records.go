package logrotate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// record is what is remembered of a log from one pass to the next.
type record struct {
	// Baseline is what its schedule counts from: see policy.Baseline.
	Baseline time.Time `json:"baseline"`
	// Rotated is when it was last rotated; zero where it never was.
	Rotated time.Time `json:"rotated,omitzero"`
	// Failed is what could not be done the last time, by the file that it was
	// to be done with.
	Failed map[string]failure `json:"failed,omitempty"`
	// Reopens: its writer was seen to make the file anew.
	Reopens bool `json:"reopens,omitempty"`
}

// failure is why something failed, how often in a row, and when it is tried again.
type failure struct {
	Error string    `json:"error"`
	Times int       `json:"times"`
	Retry time.Time `json:"retry"`
}

// The first retry comes soon, further ones ever later.
const (
	firstRetry = 30 * time.Second
	lastRetry  = 30 * time.Minute
)

// credible is a failure that was written down, perhaps by a clock that was a year
// ahead: what failed is tried again no later than if it had failed just now.
func (f failure) credible(now time.Time) failure {
	f.Times = max(f.Times, 1)
	if latest := now.Add(lastRetry); f.Retry.After(latest) {
		f.Retry = latest
	}
	return f
}

// fail notes a failure, and says whether it is a new one.
func (r *record) fail(base string, err error, now time.Time) (isNew bool) {
	before := r.Failed[base]
	if r.Failed == nil {
		r.Failed = map[string]failure{}
	}
	r.Failed[base] = failure{
		Error: err.Error(), Times: before.Times + 1,
		Retry: now.Add(min(lastRetry, firstRetry<<min(before.Times, 10))),
	}
	return before.Error != err.Error()
}

// errors are what failed, in order of the files.
func (r *record) errors() []string {
	var all []string
	for _, base := range slices.Sorted(maps.Keys(r.Failed)) {
		all = append(all, r.Failed[base].Error)
	}
	return all
}

// retry is when the first of what failed is tried again; zero where nothing did.
func (r *record) retry() time.Time {
	var first time.Time
	for _, f := range r.Failed {
		if first.IsZero() || f.Retry.Before(first) {
			first = f.Retry
		}
	}
	return first
}

// recordsFile holds the records, by log, in the state folder.
const recordsFile = "logs.json"

// readRecords reads the records. Those that cannot be read are begun anew from
// what is in the folder of the logs.
func readRecords(state string, now time.Time) (map[string]*record, error) {
	records := map[string]*record{}
	text, err := os.ReadFile(filepath.Join(state, recordsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return records, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &records)
	}
	if err != nil {
		return map[string]*record{}, fmt.Errorf("reading when logs were rotated: %w", err)
	}
	for name, r := range records {
		if r == nil {
			delete(records, name)
			continue
		}
		for base, f := range r.Failed {
			r.Failed[base] = f.credible(now)
		}
	}
	return records, nil
}

// writeRecords replaces the records. They are not worth to wait for the disk:
// what they say can be found out again.
func writeRecords(state string, records map[string]*record) error {
	text, err := json.Marshal(records)
	if err != nil {
		return err
	}
	temporary := filepath.Join(state, recordsFile+".tmp")
	if err := os.WriteFile(temporary, text, 0o600); err != nil {
		return fmt.Errorf("noting when logs were rotated: %w", err)
	}
	if err := os.Rename(temporary, filepath.Join(state, recordsFile)); err != nil {
		return fmt.Errorf("noting when logs were rotated: %w", err)
	}
	return nil
}
