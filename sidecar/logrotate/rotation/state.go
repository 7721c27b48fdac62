package rotation

import (
	"encoding/json"
	"fmt"

	"golang.org/x/sys/unix"
)

// writeState replaces a file of the state folder: whole, or not at all, and
// durably once it returns.
func (f *Folder) writeState(base string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	temporary := base + ".tmp"
	if err := unlink(f.state, temporary); err != nil {
		return fmt.Errorf("noting %s: %w", base, err)
	}
	file, err := create(f.state, temporary)
	if err != nil {
		return fmt.Errorf("noting %s: %w", base, err)
	}
	_, err = file.Write(text)
	if err == nil {
		err = f.sys.sync(file)
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = unix.Renameat(int(f.state.Fd()), temporary, int(f.state.Fd()), base)
	}
	if err == nil {
		err = f.sys.sync(f.state)
	}
	if err != nil {
		_ = unlink(f.state, temporary)
		return fmt.Errorf("noting %s: %w", base, err)
	}
	return nil
}

// removeState removes a file of the state folder, durably.
func (f *Folder) removeState(base string) error {
	if err := unlink(f.state, base); err != nil {
		return fmt.Errorf("removing the note %s: %w", base, err)
	}
	if err := f.sys.sync(f.state); err != nil {
		return fmt.Errorf("removing the note %s: %w", base, err)
	}
	return nil
}

// intentFile says what is going on between an archive that is complete and a
// source that is not removed yet.
const intentFile = "intent.json"

// intent is noted before the first of its archives gets its name.
type intent struct {
	// Piece: the beginning of a segment that its writer keeps; else whole
	// segments, which are removed.
	Piece bool   `json:"piece"`
	Moves []move `json:"moves"`
}

// move is one archive and what it was made of.
type move struct {
	Segment   string `json:"segment"`
	Archive   string `json:"archive"`
	Temporary string `json:"temporary"`
	Inode     Inode  `json:"inode"`
	// Size is the segment's when it was archived whole. Of a piece, First is
	// where the segment's data began, and End where the piece ends. In bytes.
	Size  int64 `json:"size"`
	First int64 `json:"first"`
	End   int64 `json:"end"`
}
