package logrotate

import (
	"context"
	"errors"

	"github.com/inmanta/inmanta-docker/sidecar/control"
)

// address is where the daemon listens, in the abstract namespace of unix(7): no
// file, gone with the daemon, and reached from within its container only.
const address = "@inmanta-sidecar-logrotate"

// request is what the daemon is asked for.
type request struct {
	// Verb is "state", "health", which is the state without its logs, or "now".
	Verb string `json:"verb"`
	// Logs are those to rotate now; all where there is none.
	Logs []string `json:"logs,omitempty"`
}

// answer is what it says.
type answer struct {
	State *State `json:"state,omitempty"`
	// Count is how many logs a state without them has.
	Count int        `json:"count,omitempty"`
	Now   []Rotation `json:"now,omitempty"`
	Error string     `json:"error,omitempty"`
}

// Rotation is what became of one log that was to be rotated now.
type Rotation struct {
	Log string `json:"log"`
	// Archives are those that were made.
	Archives []string `json:"archives,omitempty"`
	// Waiting says why there is more to come.
	Waiting string `json:"waiting,omitempty"`
	Error   string `json:"error,omitempty"`
	// Nothing: there was nothing to rotate.
	Nothing bool `json:"nothing,omitempty"`
}

// ask asks the daemon that runs in this container.
func ask(ctx context.Context, address string, what request) (answer, error) {
	said, err := control.Ask[request, answer](ctx, address, "the log rotation", what)
	if err == nil && said.Error != "" {
		err = errors.New(said.Error)
	}
	return said, err
}
