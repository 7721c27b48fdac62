// Package volume is a volume of the orchestrator's as one stream, and what was
// in such a stream in the place of what is in a volume.
//
// What it promises: a stream holds what was in the volume, with owners, modes,
// times and links, whatever goes on in it meanwhile, or says what does not hold;
// nothing of a stream ends up outside of one folder of the volume, and nothing
// else is touched before all of it is there and synced; and the exchange of both
// can be cut short at any moment and be completed, or undone, from there.
//
// Nothing here follows a symbolic link: every name is one element, taken from
// the descriptor of the folder that it is in.
package volume

import (
	"encoding/json"
	"fmt"
	"io"
)

// restoreName is the folder, at the top of a volume, that a restore works in.
// It is never packed.
const restoreName = ".inmanta-restore"

// Summary is what a stream holds.
type Summary struct {
	// Files are all things below the volume's folder: files, folders, links and pipes.
	Files int64 `json:"files"`
	// Bytes are the sizes of all files; of one with several names, once.
	Bytes int64 `json:"bytes"`
	// UID and GID are the owner of the volume's folder.
	UID uint32 `json:"uid"`
	GID uint32 `json:"gid"`
	// Skipped are sockets and devices, which are not packed.
	Skipped int64 `json:"skipped"`
	// Changed are files that were written to, replaced or removed while they were
	// packed: what the stream has of them is their length, and some of what was in
	// them. There are at most 100 names, and MoreChanged beyond those.
	Changed     []string `json:"changed"`
	MoreChanged int64    `json:"more_changed,omitempty"`
}

// What is named at most: all of it is one line.
const (
	mostNamed  = 100
	longestSum = 16 << 10 // bytes of all names
)

// change notes that a file has changed.
func (s *Summary) change(name string) {
	length := len(name)
	for _, n := range s.Changed {
		length += len(n)
	}
	if len(s.Changed) == mostNamed || length > longestSum {
		s.MoreChanged++
		return
	}
	s.Changed = append(s.Changed, name)
}

// Write writes it as one line of JSON.
func (s Summary) Write(to io.Writer) error {
	if s.Changed == nil {
		s.Changed = []string{} // an empty list, not null
	}
	return writeLine(to, s)
}

func writeLine(to io.Writer, value any) error {
	line, err := json.Marshal(value)
	if err == nil {
		_, err = fmt.Fprintf(to, "%s\n", line)
	}
	return err
}
