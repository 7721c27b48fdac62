package logrotate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// record is what is remembered of a log from one pass to the next.
type record struct {
	// Baseline is what its schedule counts from: see policy.Baseline.
	Baseline time.Time `json:"baseline"`
	// Rotated is when it was last rotated; zero where it never was.
	Rotated time.Time `json:"rotated,omitzero"`
	// Error is why the last rotation failed; empty when it did not.
	Error string `json:"error,omitempty"`
	// Failures is how often in a row, Retry when it is tried again.
	Failures int       `json:"failures,omitempty"`
	Retry    time.Time `json:"retry,omitzero"`
	// Reopens: its writer was seen to make the file anew.
	Reopens bool `json:"reopens,omitempty"`
	// Saved counts how often it was set aside because its writer ended, in the
	// hour that began at SavedSince.
	Saved      int       `json:"saved,omitempty"`
	SavedSince time.Time `json:"saved_since,omitzero"`
}

// The first retry comes soon, further ones ever later.
const (
	firstRetry = 30 * time.Second
	lastRetry  = 30 * time.Minute
)

func (r *record) failed(err error, now time.Time) {
	r.Error = err.Error()
	r.Retry = now.Add(min(lastRetry, firstRetry<<min(r.Failures, 10)))
	r.Failures++
}

func (r *record) succeeded() { r.Error, r.Failures, r.Retry = "", 0, time.Time{} }

// maySave bounds how many archives a writer that ends again and again makes.
func (r *record) maySave(now time.Time) bool {
	if now.Sub(r.SavedSince).Abs() >= time.Hour {
		r.Saved, r.SavedSince = 0, now
	}
	r.Saved++
	return r.Saved <= savesAnHour
}

const savesAnHour = 60

// recordsFile holds the records, by log, in the state folder.
const recordsFile = "logs.json"

// readRecords reads the records. Those that cannot be read are begun anew from
// what is in the folder of the logs.
func readRecords(state string) (map[string]*record, error) {
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
