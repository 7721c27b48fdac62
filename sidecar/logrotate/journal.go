package logrotate

import (
	"encoding/json"
	"io"
	"strings"
	"sync"
	"time"
)

// Event is one line of the sidecar's log. Fields that do not apply are left out.
type Event struct {
	Time time.Time `json:"time"`
	// Event is what happened: see the constants.
	Event string `json:"event"`
	Log   string `json:"log,omitempty"`
	// Segment is what the log was set aside as.
	Segment string `json:"segment,omitempty"`
	// Archives were made, or removed.
	Archives []string `json:"archives,omitempty"`
	// Bytes is how much of the log that was.
	Bytes int64 `json:"bytes,omitempty"`
	// Seconds is how long it took, for all that were rotated together.
	Seconds float64 `json:"seconds,omitempty"`
	// Why says what is waited for, or why something was done.
	Why     string `json:"why,omitempty"`
	Problem string `json:"problem,omitempty"`
	Fix     string `json:"fix,omitempty"`
}

// What an Event can be.
const (
	EventStarted  = "started"
	EventNote     = "note" // about a directive that changes nothing
	EventRotated  = "rotated"
	EventWaiting  = "waiting"
	EventRemoved  = "removed"
	EventProblem  = "problem"
	EventStopping = "stopping"
)

// journal writes events, one a line.
type journal struct {
	mu  sync.Mutex
	out io.Writer
	now func() time.Time
}

// write writes an event. That it cannot be written is no reason not to rotate.
func (j *journal) write(e Event) {
	e.Time = j.now().UTC()
	var line strings.Builder
	encoder := json.NewEncoder(&line)
	// That escaping is for HTML pages; log lines are read by people too.
	encoder.SetEscapeHTML(false)
	if encoder.Encode(e) != nil {
		return // an Event holds nothing that JSON cannot
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_, _ = io.WriteString(j.out, line.String())
}
