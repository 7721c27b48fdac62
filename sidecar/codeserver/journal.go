package codeserver

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"
)

// event is one line of the log. Fields that do not apply are left out.
type event struct {
	Time time.Time `json:"time"`
	// Event is what happened: see the constants.
	Event string `json:"event"`
	// Remote is the address it came from.
	Remote string `json:"remote,omitempty"`
	// Text is what code-server said, or what the event is about.
	Text string `json:"text,omitempty"`
	// Reason is why something was refused or ended.
	Reason string `json:"reason,omitempty"`
	// Seconds is how long it took.
	Seconds float64 `json:"seconds,omitempty"`
	// More counts the lines like this one that were left out before it.
	More int `json:"more,omitempty"`
	// Problem and Fix are about the configuration, for people.
	Problem string `json:"problem,omitempty"`
	Fix     string `json:"fix,omitempty"`
}

// What an event can be.
const (
	eventVerified  = "verified"   // the release in the volume is whole
	eventListening = "listening"  // connections are taken
	eventReady     = "ready"      // code-server answers
	eventExtension = "extension"  // one was installed
	eventLogin     = "login"      // somebody got in
	eventRefused   = "refused"    // somebody did not
	eventLogout    = "logout"     // somebody is out again
	eventEditor    = "codeserver" // a line of code-server's own
	eventProblem   = "problem"
	eventStopping  = "stopping"
	eventStopped   = "stopped"
)

// journal writes events, one a line. It is safe for use by many at once.
type journal struct {
	mu  sync.Mutex
	out io.Writer
	// quiet is until when no more refusals are written, of which more were left out.
	quiet time.Time
	more  int
}

// write writes an event. That it cannot be written is no reason to end what is
// going on: the engine reads what is written here.
func (j *journal) write(e event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.put(e)
}

// refused writes that somebody was not served, at most once a second: how often
// that happens is theirs to say.
func (j *journal) refused(remote, reason string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	if now.Before(j.quiet) {
		j.more++
		return
	}
	j.put(event{Event: eventRefused, Remote: remote, Reason: reason, More: j.more})
	j.quiet, j.more = now.Add(time.Second), 0
}

func (j *journal) put(e event) {
	e.Time = time.Now().UTC()
	for _, text := range []*string{&e.Remote, &e.Text, &e.Reason} {
		*text = plain(*text)
	}
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	// That escaping is for HTML pages; log lines are read by people too.
	encoder.SetEscapeHTML(false)
	if encoder.Encode(e) == nil { // it holds nothing that JSON cannot
		_, _ = j.out.Write(line.Bytes())
	}
}

// longestText is how much of a text that somebody else chose a line holds, in bytes.
const longestText = 1024

// plain is a text without what a terminal would obey rather than show.
func plain(text string) string {
	if len(text) > longestText {
		text = text[:longestText] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == '\t' {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}
