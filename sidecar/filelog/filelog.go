// Package filelog is what file servers say that they did to a user's files, and
// how the ssh server, whose sessions run them, hears of it.
package filelog

// Event is one thing that was done to a user's files. Paths are absolute;
// symbolic links in them are as the client named them. A file name is any bytes
// but NUL and slash: not always UTF-8, not always printable.
type Event struct {
	Operation Operation `json:"operation"`
	Path      string    `json:"path"`
	// To is the new path of what was renamed.
	To string `json:"to,omitempty"`
	// Read and Written are what went to the client and came from it, in bytes;
	// of rsync it is the size of the file, of which both may have had most.
	Read    uint64 `json:"read,omitempty"`
	Written uint64 `json:"written,omitempty"`
	// Cut says that the file was not transferred whole, or not closed.
	Cut bool `json:"cut,omitempty"`
}

// Operation is what an Event is about.
type Operation string

const (
	// Transfer is a file that was read, written or both.
	Transfer Operation = "transfer"
	// Remove is a file, a link or an empty directory that is gone.
	Remove Operation = "remove"
	// Rename is a path that has another name now; what had that name before,
	// if anything, is gone.
	Rename Operation = "rename"
)
