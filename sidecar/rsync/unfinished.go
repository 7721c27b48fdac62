package rsync

import (
	"errors"
	"sync"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/rsync/tree"
)

// errStopped is for who still works when the transfer is over.
var errStopped = errors.New("the transfer was stopped")

// unfinished is the file that is being written, if any: whatever ends the
// transfer, and from whichever goroutine, it is not left half done in a file's
// place. The exception is option --partial, which asks for that.
type unfinished struct {
	mu        sync.Mutex
	tree      *tree.Tree
	temporary string
	final     string
	begun     bool // some of its contents arrived
	over      bool
}

// start says that temporary is to become final.
func (u *unfinished) start(temporary, final string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.temporary, u.final, u.begun = temporary, final, false
	if u.over {
		return errStopped
	}
	return nil
}

// arriving says that contents arrive.
func (u *unfinished) arriving() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.begun = true
}

// finish puts the file in its place with put, or removes it, unless everything
// was stopped.
func (u *unfinished) finish(put func() error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return errStopped
	}
	u.temporary = ""
	return put()
}

// stop ends all writing. keep leaves what has arrived in the file's place,
// with a time that no real file has.
func (u *unfinished) stop(keep bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over = true; u.temporary == "" || u.tree == nil {
		return
	}
	if keep && u.begun {
		_ = u.tree.SetTime(u.temporary, time.Unix(0, 0))
		if u.tree.Rename(u.temporary, u.final) == nil {
			return
		}
	}
	_ = u.tree.Unlink(u.temporary)
}
