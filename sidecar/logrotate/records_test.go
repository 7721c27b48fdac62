package logrotate

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Whatever is in the file of the records: what failed is tried again soon, and they
// can be written down again.
func FuzzRecords(f *testing.F) {
	for _, text := range []string{
		"", "{", "null", `{"a.log":null}`, `{"a.log":{"baseline":"2026-11-27T06:00:00Z","rotated":"9999-12-31T23:59:59Z"}}`,
		`{"a.log":{"failed":{"a.log":{"error":"no","times":3,"retry":"2027-11-27T06:00:00Z"}}}}`,
		`{"a.log":{"failed":{"a.log":{"error":"no","times":-1,"retry":"0001-01-01T00:00:00Z"},"b":{"times":9223372036854775807}}}}`,
	} {
		f.Add([]byte(text))
	}
	now := time.Date(2026, 11, 27, 6, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text []byte) {
		state := t.TempDir()
		if err := os.WriteFile(filepath.Join(state, recordsFile), text, 0o600); err != nil {
			t.Fatal(err)
		}
		records, err := readRecords(state, now)
		if err != nil && len(records) > 0 {
			t.Errorf("%v, and there are %d all the same", err, len(records))
		}
		for _, r := range records {
			if again := r.retry(); again.After(now.Add(lastRetry)) {
				t.Errorf("tried again only at %s", again)
			}
			for base := range r.Failed {
				r.fail(base, errors.New("still not"), now)
			}
			if again := r.retry(); len(r.Failed) > 0 && (!again.After(now) || again.After(now.Add(lastRetry))) {
				t.Errorf("after it failed again it is tried at %s", again)
			}
		}
		if err := writeRecords(state, records); err != nil {
			t.Error(err)
		}
	})
}
