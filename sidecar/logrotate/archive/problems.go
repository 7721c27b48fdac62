package archive

import "fmt"

// Unreadable is a file of a log of which not all could be read.
type Unreadable struct {
	Base string
	// Delivered is how many bytes came out of it before, decompressed.
	Delivered int64
	Err       error
}

// Error implements error.
func (u *Unreadable) Error() string {
	if u.Delivered == 0 {
		return fmt.Sprintf("%s: nothing of it can be read: %v", u.Base, u.Err)
	}
	return fmt.Sprintf("%s: after %d bytes, nothing more of it can be read: %v", u.Base, u.Delivered, u.Err)
}

// Unwrap gives the error behind it.
func (u *Unreadable) Unwrap() error { return u.Err }

// Gone is what was removed while a stream was on its way to it, or in it.
type Gone struct {
	Log string
	// Base is the archive that was removed before it could be read; empty when
	// what is gone was being read: an archive, or what the log's writer truncated.
	Base string
	// Perhaps: all that was read is removed meanwhile, and so may be archives that
	// were made after it. Base is empty.
	Perhaps bool
}

// Error implements error.
func (g *Gone) Error() string {
	switch {
	case g.Base != "":
		return g.Base + ": removed before it could be read, as the oldest archive: its lines are missing here"
	case g.Perhaps:
		return g.Log + ": all before this was removed meanwhile, and with it what came next, perhaps: lines may be missing here"
	default:
		return g.Log + ": what comes next was removed while it was read, or truncated by its writer: lines are missing here"
	}
}

// Incomplete is what a stream ends with when some file could not be read;
// each was reported.
type Incomplete struct {
	Log   string
	Files int
}

// Error implements error.
func (e *Incomplete) Error() string {
	return fmt.Sprintf("%s: not all could be read of %d of its files", e.Log, e.Files)
}
