// Package progress is how long work says what it is doing: a stream of plain
// events, with no idea of how they are shown. Package ui shows them.
package progress

// Status is how one item stands.
type Status string

// The states an item goes through: any number of Working, then one of the others.
const (
	Working Status = "working"
	Done    Status = "done"
	Warning Status = "warning"
	Failed  Status = "failed"
)

// Event is one step in the life of one item of work.
type Event struct {
	// ID names the item for as long as it is worked on: "container inmanta-db".
	ID string `json:"id"`
	// Text is the step, in a word or two: "Starting", "Healthy".
	Text string `json:"text"`
	// Detail is what a reader may want beside it; one line, may be empty.
	Detail string `json:"detail,omitempty"`
	// Status is how the item stands after this step.
	Status Status `json:"status"`
	// Current and Total count whatever the item is made of (bytes, steps);
	// Total is 0 where nobody knows.
	Current int64 `json:"current,omitempty"`
	Total   int64 `json:"total,omitempty"`
}

// Report takes events. It is safe for concurrent use and never blocks for long.
type Report func(Event)

// Discard is the Report that tells nobody.
func Discard(Event) {}
