package command

import (
	"testing"
	"time"
)

// Moments as people write them, by the clock of Brussels.
func TestParseMoment(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("Europe/Brussels")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"latest":                          "latest",
		" latest ":                        "latest",
		"2026-11-27 14:00:00":             "2026-11-27T13:00:00Z",
		"2026-07-01 14:00:00.25":          "2026-07-01T12:00:00.25Z",
		"2026-11-27 14:00":                "2026-11-27T13:00:00Z",
		"2026-11-27T14:00:00":             "2026-11-27T13:00:00Z",
		"2026-11-27T14:00:00Z":            "2026-11-27T14:00:00Z",
		"2026-11-27T14:00:00.5-05:00":     "2026-11-27T19:00:00.5Z",
		"":                                "",
		"now":                             "",
		"14:00":                           "",
		"2026-11-27":                      "",
		"2026-02-30 14:00:00":             "",
		"0001-01-01T00:00:00Z":            "",
		"2026-11-27 14:00:00; drop table": "",
	} {
		got, err := parseMoment(text, zone)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v, want %q", text, got, err, want)
		}
	}
}

func FuzzParseMoment(f *testing.F) {
	for _, seed := range []string{"latest", "2026-11-27 14:00:00", "2026-11-27T14:00:00.5-05:00", "9999-12-31T23:59:59-12:00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		written, err := parseMoment(text, time.UTC)
		if err != nil || written == latest {
			return
		}
		// What the sidecar is told is a moment to it, and the same one.
		again, err := parseMoment(written, time.UTC)
		if err != nil || again != written {
			t.Errorf("%q is %q, and that is %q, %v", text, written, again, err)
		}
	})
}
