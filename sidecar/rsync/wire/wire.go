// Package wire is how two rsyncs speak: frames on a byte stream, and the
// numbers and strings inside them.
//
// Once versions are agreed on, both directions carry frames: a 32-bit header
// (a tag in the high byte, a length in the other three), then that many bytes.
// Frames tagged [Data] joined together are one stream of numbers and file
// contents; every other frame is a message beside it. How numbers are written
// depends on the protocol: 29 uses fixed widths where 30 and later use short
// forms (rsync 3.0.0, io.c).
package wire

import "fmt"

// Tag says what a frame is.
type Tag byte

// Tags of frames, as on the wire less the base that all of them have added.
const (
	Data      Tag = 0   // part of the stream
	ErrorXfer Tag = 1   // text: something could not be transferred
	Info      Tag = 2   // text for the user
	Error     Tag = 3   // text: why everything ends
	Warning   Tag = 4   // text: to be known, not an error
	IOError   Tag = 22  // int32: the sender could not read everything (bits)
	NoOp      Tag = 42  // nothing, to be heard of; protocol 30
	ErrorExit Tag = 86  // int32 or nothing: the other side ends with this code
	Success   Tag = 100 // int32: the file of this index has arrived
	Deleted   Tag = 101 // name of what was deleted; a directory's ends in NUL
	NoSend    Tag = 102 // int32: the file of this index will not come
)

// tagBase is added to a tag on the wire: a frame's first byte is never one
// that a shell's greeting would begin with.
const tagBase = 7

const (
	// maxFrame is the longest frame we write, in bytes; the header allows 16 MiB.
	maxFrame = 64 << 10
	// maxMessage is the longest message we accept, in bytes: a path and a
	// sentence. rsync's own limit is a path and 1 KiB.
	maxMessage = 8 << 10
)

// MaxPath is the longest path, in bytes, that can be on the wire; rsync's own
// limit (Linux's MAXPATHLEN, its NUL included).
const MaxPath = 4095

// Indexes that are not those of files.
const (
	IndexDone        = -1 // a phase is over
	IndexDeleteStats = -3 // how much was deleted follows
)

// ProtocolError is something on the wire that no honest peer sends, or that is
// beyond what is accepted here.
type ProtocolError struct{ what string }

// Error implements error.
func (e ProtocolError) Error() string { return e.what }

// Broken is a ProtocolError with this text.
func Broken(format string, values ...any) error {
	return ProtocolError{fmt.Sprintf(format, values...)}
}
