package postgres

import "time"

// Status is what a node says of itself, to its peer and to whoever asks.
type Status struct {
	Node string `json:"node"`
	Peer string `json:"peer"`
	// Role is what it is to be; empty for a volume that is empty.
	Role Role `json:"role,omitempty"`
	// State is a word for what it is doing, State* below.
	State string `json:"state"`
	// Why says more, and Fix what to do about it; both may be empty.
	Why string `json:"why,omitempty"`
	Fix string `json:"fix,omitempty"`

	// Empty is that its volume holds no cluster, not even one being made.
	Empty bool `json:"empty"`
	// Running is that its server takes connections.
	Running bool `json:"running"`
	// Version is the server's, as PG_VERSION has it.
	Version string `json:"version"`
	// System, Timeline, and Position are its cluster's: a primary's end of the
	// log, a standby's end of what it has on its disk.
	System   string   `json:"system,omitempty"`
	Timeline uint32   `json:"timeline,omitempty"`
	Position Position `json:"position"`
	// History is where the timelines before its own ended.
	History []Branch `json:"history,omitempty"`
	// SizeBytes is what a copy of it takes.
	SizeBytes int64 `json:"size_bytes"`
	// Checksums is that damaged pages are found out.
	Checksums bool `json:"checksums"`
	// Collations are versions of the libraries that sort for it, where they are
	// not those that its indexes were made with.
	Collations []string `json:"collations,omitempty"`

	// Strict, PeerInStep and InStep are Record's.
	Strict     bool `json:"strict"`
	PeerInStep bool `json:"peer_in_step"`
	InStep     bool `json:"in_step"`
	// Durable is that at this moment every commit is stored by both.
	Durable bool `json:"durable"`
	// Degraded is that commits do not wait for a standby that is away.
	Degraded bool `json:"degraded"`

	// Replication is a primary's view of its standby; nil while none is connected.
	Replication *Replication `json:"replication,omitempty"`
	// Slot is what is kept for the standby; nil where there is none.
	Slot *Slot `json:"slot,omitempty"`
	// Waiting is how many commits wait for the standby.
	Waiting int `json:"waiting"`
	// LastFailure is the last thing that went wrong; zero for nothing.
	LastFailure Failure `json:"last_failure,omitzero"`
}

// What a node is doing.
const (
	StateStarting     = "starting"
	StateInitialising = "initialising"
	StateCopying      = "copying"
	StateRecovering   = "recovering"
	StateClosed       = "closed"      // a primary that lets nobody in yet
	StateServing      = "serving"     // a primary
	StateFollowing    = "following"   // a standby that receives the log
	StateCatchingUp   = "catching up" // a standby that does not, or lags
	StateWaiting      = "waiting"     // for its peer
	StateRefusing     = "refusing"    // for somebody to look at it
	StatePromoting    = "promoting"
	StateStopped      = "stopped"
)

// Replication is how far a standby is, as its primary sees it.
type Replication struct {
	// State is startup, catchup or streaming; Sync is sync, async or potential.
	State string `json:"state"`
	Sync  string `json:"sync"`
	// Flushed is what the standby has on its disk, Replayed what it shows.
	Flushed  Position `json:"flushed"`
	Replayed Position `json:"replayed"`
	// LagBytes is what it has not on its disk yet, LagSeconds how old that is.
	LagBytes   int64   `json:"lag_bytes"`
	LagSeconds float64 `json:"lag_seconds"`
}

// Slot is what a primary keeps of its log for the standby.
type Slot struct {
	// State is reserved, extended, unreserved or lost.
	State  string `json:"state"`
	Active bool   `json:"active"`
	// KeptBytes is how much that is.
	KeptBytes int64 `json:"kept_bytes"`
}

// Failure is something that went wrong.
type Failure struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
}
