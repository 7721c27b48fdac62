package ssh

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"
)

// hostileTexts are what a client may have to say.
var hostileTexts = map[string]string{
	"empty":             "",
	"a new line":        "a\nb\r\nc",
	"a line of its own": "x\"}\n{\"event\":\"authenticated\",\"user\":\"root\"}\n",
	"quotes":            `"'\"\\`,
	"escapes":           "\x1b[2J\x1b]0;title\x07\x1b[31m",
	"control":           "\x00\x01\x08\x7f",
	"C1":                "\u0080\u0085\u009b31m",
	"bidi":              "user\u202egnp.exe\u2066\u2069\u200e\u200f\u061c",
	"separators":        "a\u2028b\u2029c",
	"invisible":         "a\u00adb\u200bc\ufeffd\U000e0041e",
	"private":           "\ue000\U000f0000\U0010fffd",
	"not UTF-8":         "\xff\xfe\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80",
	"half a rune":       "\xe2\x82",
	"HTML":              "<script>&amp;</script>",
	"people":            "Zoë Ünïcödé 日本語 👩‍👧 ελληνικά",
	"1 MB":              strings.Repeat("user ", 200_000),
	"1 MB of nothing":   strings.Repeat("\x00", 1<<20),
	"cut in a rune":     "x" + strings.Repeat("é", longestText),
	"cut in a long one": "xx" + strings.Repeat("😀", longestText),
	"just what fits":    strings.Repeat("x", longestText),
	"one more":          strings.Repeat("x", longestText+1),
}

// texts are the fields of an event that clients have a part in.
func texts(e *Event) map[string]*string {
	return map[string]*string{
		"user": &e.User, "client": &e.Client, "key": &e.Key, "key_comment": &e.KeyComment, "key_source": &e.KeySource,
		"certificate": &e.Certificate, "method": &e.Method, "kind": &e.Kind, "command": &e.Command, "forced": &e.Forced,
		"to": &e.To, "listen": &e.Listen, "action": &e.Action, "path": &e.Path, "target": &e.Target, "signal": &e.Signal,
		"remote": &e.Remote, "reason": &e.Reason, "problem": &e.Problem, "fix": &e.Fix,
	}
}

// shown is a text as a reader of the log gets it: what is not a character is
// shown as such, byte for byte.
func shown(text string) string {
	return string([]rune(text))
}

// whole are those that only the server and its configuration write.
var whole = []string{"key", "key_source", "signal", "remote", "problem", "fix"}

func TestEveryTextIsOneLine(t *testing.T) {
	t.Parallel()
	for name, text := range hostileTexts {
		for field := range texts(&Event{}) {
			if len(text) > 1<<16 && slices.Contains(whole, field) {
				continue
			}
			var log bytes.Buffer
			e := Event{Event: EventRefused}
			*texts(&e)[field] = text
			NewAudit(&log).write(e)
			got := oneLine(t, log.Bytes())
			want := shown(text)
			if !slices.Contains(whole, field) && len(text) > longestText {
				cut, was := strings.CutSuffix(*texts(&got)[field], "…")
				if !was || !strings.HasPrefix(want, cut) || len(cut) > longestText || len(cut) <= longestText-utf8.UTFMax {
					t.Errorf("%s in %s is cut to %d bytes: %.80q", name, field, len(cut), cut)
				}
				continue
			}
			if decoded := *texts(&got)[field]; decoded != want {
				t.Errorf("%s in %s is %.80q, want %.80q", name, field, decoded, want)
			}
		}
	}
}

// oneLine expects one line, that shows what it says and does nothing.
func oneLine(t *testing.T, line []byte) Event {
	t.Helper()
	text, ended := bytes.CutSuffix(line, []byte("\n"))
	if !ended {
		t.Fatalf("%.80q does not end", line)
	}
	if !utf8.Valid(text) {
		t.Fatalf("%.200q is not UTF-8", line)
	}
	for _, r := range string(text) {
		if !unicode.IsPrint(r) {
			t.Fatalf("%.200q has %q", line, r)
		}
	}
	var e Event
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&e); err != nil {
		t.Fatalf("%.200q: %v", line, err)
	}
	if decoder.More() {
		t.Fatalf("%.200q is more than one object", line)
	}
	return e
}

// A text field that is added is one of those above, and cut.
func TestEveryTextOfAnEventIsKnown(t *testing.T) {
	t.Parallel()
	var fields int
	kind := reflect.TypeFor[Event]()
	for i := range kind.NumField() {
		if field := kind.Field(i); field.Type.Kind() == reflect.String && field.Name != "Event" {
			fields++
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if texts(&Event{})[name] == nil {
				t.Errorf("the tests do not know of %s", name)
			}
		}
	}
	if fields != len(texts(&Event{})) {
		t.Errorf("an event has %d texts, the tests know of %d", fields, len(texts(&Event{})))
	}
}

// Each connection has a line for its beginning and one for its end, whether it
// logs in or not; the server's own has none.
func TestEveryConnectionIsLogged(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	client := s.dial(t, key)
	silent := s.reach(t, "127.0.0.2")
	came := s.log.await(t, "who says nothing", func(e Event) bool { return e.Event == EventConnected && strings.HasPrefix(e.Remote, "127.0.0.2:") })
	_ = silent.Close()
	s.log.await(t, "its end", func(e Event) bool { return e.Event == EventRefused && e.Connection == came.Connection })
	unharmed(t, client)
	_ = client.Close()
	gone := s.log.await(t, "the end of who logged in", kind(EventDisconnected))
	if n := s.log.count(func(e Event) bool { return e.Event == EventConnected && e.Connection == gone.Connection }); n != 1 {
		t.Errorf("%d lines say that it came, want 1", n)
	}
	if n := s.log.count(kind(EventConnected)); n != 2 {
		t.Errorf("%d connections are logged, want 2", n)
	}
}

func TestManyWriteWholeLines(t *testing.T) {
	t.Parallel()
	log := &journal{}
	audit := NewAudit(log)
	var writing sync.WaitGroup
	for n := range 50 {
		writing.Go(func() {
			for range 50 {
				audit.write(Event{Event: EventFile, Path: strings.Repeat("x", n)})
			}
		})
	}
	writing.Wait()
	if wrong := log.wrong(); wrong != "" {
		t.Errorf("%q", wrong)
	}
	if n := log.count(kind(EventFile)); n != 2500 {
		t.Errorf("%d lines, want 2500", n)
	}
}

// A log that takes nothing is no reason to end what is going on.
func TestLogThatFails(t *testing.T) {
	t.Parallel()
	NewAudit(failingLog{}).write(Event{Event: EventProblem})
}

type failingLog struct{}

func (failingLog) Write([]byte) (int, error) { return 0, errors.New("full") }

func FuzzPrintable(f *testing.F) {
	for _, text := range hostileTexts {
		if len(text) < 1<<12 {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		var log bytes.Buffer
		NewAudit(&log).write(Event{Event: EventRefused, User: text, Problem: text})
		got := oneLine(t, log.Bytes())
		if got.Problem != shown(text) {
			t.Errorf("%q is %q", text, got.Problem)
		}
		if len(text) <= longestText && got.User != shown(text) {
			t.Errorf("%q is %q", text, got.User)
		}
	})
}
