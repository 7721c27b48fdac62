// Package pair is the two databases of docker-compose.db-replica.yml as an
// operator sees them: what each says of itself, what that means for the
// deployment, and which of them an operator's order is for. Nothing here asks or
// changes anything; package command does, and prints what is decided here.
package pair

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// The roles, and those states that mean something here; the agent has more.
const (
	Primary = "primary"
	Standby = "standby"

	Serving   = "serving"
	Following = "following"
	Copying   = "copying"
	Refusing  = "refusing"
)

// Said is what the agent in a database's container says of it.
type Said struct {
	// Role is primary or standby; empty for a volume that is empty.
	Role string `json:"role,omitempty"`
	// State is a word for what it is doing: serving, following, copying, ….
	State string `json:"state,omitempty"`
	// Why says more, and Fix what to do about it.
	Why string `json:"why,omitempty"`
	Fix string `json:"fix,omitempty"`
	// Running is that its server takes connections.
	Running bool `json:"running"`
	// Version is the server's major version.
	Version string `json:"version,omitempty"`
	// System, Timeline and Position are its cluster's: a primary's end of the log,
	// a standby's end of what it has on its disk.
	System   string `json:"system,omitempty"`
	Timeline uint32 `json:"timeline,omitempty"`
	Position string `json:"position,omitempty"`
	// SizeBytes is what a copy of it takes.
	SizeBytes int64 `json:"size_bytes,omitempty"`
	// Checksums is that damaged pages are found out.
	Checksums bool `json:"checksums"`
	// Collations are versions of the libraries that sort for it, where they are
	// not those that its indexes were made with.
	Collations []string `json:"collations,omitempty"`
	// Strict is a primary's that never acknowledges alone, Durable that at this
	// moment every commit is stored by both, Degraded that commits do not wait
	// for a standby that is away.
	Strict   bool `json:"strict"`
	Durable  bool `json:"durable"`
	Degraded bool `json:"degraded"`
	// InStep is a standby's: it has all that its primary acknowledged.
	InStep bool `json:"in_step"`
	// Replication is a primary's view of its standby; absent while none is connected.
	Replication *Replication `json:"replication,omitempty"`
	// Slot is what a primary keeps for its standby.
	Slot *Slot `json:"slot,omitempty"`
	// Waiting is how many commits wait for the standby.
	Waiting int `json:"waiting"`
	// LastFailure is the last thing that went wrong.
	LastFailure Failure `json:"last_failure,omitzero"`
}

// Replication is how far a standby is, as its primary sees it.
type Replication struct {
	// State is startup, catchup or streaming; Sync is sync, async or potential.
	State string `json:"state"`
	Sync  string `json:"sync"`
	// Flushed is what the standby has on its disk.
	Flushed string `json:"flushed"`
	// LagBytes is what it has not on its disk yet, LagSeconds how old that is.
	LagBytes   int64   `json:"lag_bytes"`
	LagSeconds float64 `json:"lag_seconds"`
}

// Slot is what a primary keeps of its log for the standby.
type Slot struct {
	// State is reserved, extended, unreserved or lost.
	State     string `json:"state"`
	KeptBytes int64  `json:"kept_bytes"`
}

// Failure is something that went wrong.
type Failure struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
}

// Node is one of the two.
type Node struct {
	// Name is its service's.
	Name string `json:"node"`
	// Container is its container's name; empty where there is none.
	Container string `json:"container,omitempty"`
	// ContainerState is the engine's word, "running" or "exited"; Absent or Elsewhere.
	ContainerState string `json:"container_state"`
	// Answers is that its agent does; Error is why not. What follows is empty then.
	Answers bool   `json:"answers"`
	Error   string `json:"error,omitempty"`
	Said
}

// States of a container that the engine has no word for: Absent is that there is
// none, Elsewhere that it belongs to the deployment on another machine.
const (
	Absent    = "absent"
	Elsewhere = "elsewhere"
)

// Read reads what an agent prints: what it says of its node and, unless it has
// not heard of it, of the other.
func Read(answer string) (said Said, other *Said, err error) {
	var both struct {
		Said
		Other *Said `json:"other"`
	}
	if err := json.Unmarshal([]byte(answer), &both); err != nil {
		return Said{}, nil, fmt.Errorf("reading what it says of itself: %w", err)
	}
	return both.Said, both.Other, nil
}

// StartElsewhere is what to do about a node on another machine that is out of sight.
func StartElsewhere(name string) string {
	return "start " + name + " on its machine, or mend the network between the two"
}

// Up is that its container runs and its agent answers.
func (n Node) Up() bool { return n.Answers }

// Leads is that it is a primary whose server runs.
func (n Node) Leads() bool { return n.Answers && n.Role == Primary && n.Running }

// Doing is what it is doing, in words.
func (n Node) Doing() string {
	switch {
	case !n.Answers && n.ContainerState == Absent:
		return "down: it has no container"
	case !n.Answers && n.ContainerState == Elsewhere:
		return "out of sight: it is on another machine"
	case !n.Answers && n.ContainerState != "running":
		return "down: its container is " + n.ContainerState
	case !n.Answers:
		return "silent: " + n.Error
	case n.State == Copying:
		if percent, _ := n.Copied(); percent > 0 {
			return fmt.Sprintf("copying (%d %%)", percent)
		}
	case n.State == Refusing && n.Why != "":
		return "refusing: " + n.Why
	}
	return n.State
}

// Copied is how far a copy is, in percent, and why it is made; 0 where it is not
// said.
func (n Node) Copied() (percent int, why string) {
	why, rest, ok := strings.Cut(n.Why, "; ")
	if !ok || n.State != Copying {
		return 0, n.Why
	}
	if _, err := fmt.Sscanf(rest, "%d", &percent); err != nil || percent < 0 || percent > 100 {
		return 0, n.Why
	}
	return percent, why
}
