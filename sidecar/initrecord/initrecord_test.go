package initrecord

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestLinesForPeople(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`{"event":"phase","phase":"install","state":"started","detail":"hello"}`: "install started: hello",
		`{"event":"phase","phase":"install","state":"done"}`:                     "install done",
		`{"event":"test","test":"t.py::a","state":"failed","detail":"why"}`:      "t.py::a failed\nwhy",
		`{"event":"output","phase":"tests","detail":"E   assert 1"}`:             "E   assert 1",
		`{"event":"problem","problem":"it broke","fix":"mend it","code":40}`:     "it broke: mend it",
		`{"event":"problem","problem":"it broke"}`:                               "it broke",
		`{"event":"end","detail":"nothing to do"}`:                               "nothing to do",
	} {
		e, ok := Parse(line)
		if !ok || e.String() != want {
			t.Errorf("%s reads %q, %v; want %q", line, e.String(), ok, want)
		}
	}
	for _, line := range []string{"", "x", "{", `{"event":"listening"}`, `["event"]`, `{"event":1}`} {
		if e, ok := Parse(line); ok {
			t.Errorf("%q is read as %+v", line, e)
		}
	}
	if PhaseInstall.Words() != "Installing" || Phase("other").Words() != "other" {
		t.Error("phases have other words")
	}
	for tests, want := range map[Tests]string{{Passed: 3}: "3 passed", {1, 2, 3}: "1 passed, 2 failed, 3 skipped"} {
		if tests.String() != want {
			t.Errorf("%+v reads %q", tests, tests)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"event":"test","phase":"tests","test":"a","state":"passed","current":1,"total":2}`)
	f.Add(`{"event":"phase","phase":"\u0000"}`)
	f.Fuzz(func(t *testing.T, line string) {
		e, ok := Parse(line)
		if !ok {
			return
		}
		_ = e.String()
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := Parse(string(text)); !ok {
			t.Fatalf("%q is not read again", text)
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	f.Add(`{"fingerprint":"x","result":"failed","code":40}`)
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := ParseRecord([]byte(text)); err != nil && (r.Result != "" || !strings.Contains(err.Error(), "record")) {
			t.Fatalf("%q: %+v, %v", text, r, err)
		}
	})
}
