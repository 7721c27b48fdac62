package logrotate

import (
	"bytes"
	"encoding/json"
	"io"
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
	// held are lines to be written together.
	held      bytes.Buffer
	gathering bool
}

// What lines are held for at most, so that whoever reads the log is not kept
// waiting, and how many bytes of them.
const (
	longestHeld = time.Second
	mostHeld    = 32 << 10
)

// write writes an event. That it cannot be written is no reason not to rotate.
func (j *journal) write(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e.Time = j.now().UTC()
	first := j.held.Len() == 0
	encoder := json.NewEncoder(&j.held)
	// That escaping is for HTML pages; log lines are read by people too.
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(e) // an Event holds nothing that JSON cannot
	switch {
	case !j.gathering, j.held.Len() > mostHeld:
		j.flush()
	case first:
		time.AfterFunc(longestHeld, func() {
			j.mu.Lock()
			defer j.mu.Unlock()
			j.flush()
		})
	}
}

// gather writes together what do writes: of thousands of logs, each line by
// itself would wake the engine that reads it.
func (j *journal) gather(do func()) {
	j.set(true)
	defer j.set(false)
	do()
}

func (j *journal) set(gathering bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.gathering = gathering
	j.flush()
}

// flush writes what is held. It is called with the lock.
func (j *journal) flush() {
	if j.held.Len() > 0 {
		_, _ = j.out.Write(j.held.Bytes())
		j.held.Reset()
	}
}
