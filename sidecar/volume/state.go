package volume

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// What is in the folder of a restore.
const (
	stateName  = "state"      // how far it is
	newName    = "new"        // what was unpacked
	beforeName = "before"     // what was in the volume
	makingName = "before.new" // the folder before it has that name
)

// Phase is how far a restore is in a volume.
type Phase string

// The phases. From Unpacked on to Swapped, and back, they follow each other;
// which way is only known to whoever asked for it, and either way goes on from
// each of them.
const (
	// None: there is no restore.
	None Phase = "none"
	// Unpacking: something is being unpacked, or that was cut short.
	Unpacking Phase = "unpacking"
	// Unpacked: all of it is there and synced; the volume is as it was.
	Unpacked Phase = "unpacked"
	// MovingOld: what was in the volume is partly in its place, partly put aside.
	MovingOld Phase = "moving-old"
	// MovingNew: it is put aside, and what was unpacked is partly in its place.
	MovingNew Phase = "moving-new"
	// Swapped: what was unpacked is in the volume, and what was there put aside.
	Swapped Phase = "swapped"
	// Discarding: the folder of the restore is being removed.
	Discarding Phase = "discarding"
)

// half says that a volume is neither what it was nor what it will be.
func (p Phase) half() bool { return p == MovingOld || p == MovingNew }

// state is what is written down.
type state struct {
	Phase Phase `json:"phase"`
}

// restore is the folder of a restore, for one process at a time.
type restore struct {
	where string // the volume, for messages
	top   *folder
	own   *folder // nil where there is none
	phase Phase
}

// openRestore opens the folder of a restore, and makes it if asked.
func openRestore(where string, make bool) (*restore, error) {
	top, _, err := openTop(where)
	if err != nil {
		return nil, err
	}
	r := &restore{where: where, top: top, phase: None}
	if err := r.open(make); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *restore) close() {
	if r.own != nil {
		// At once, also where a process that is being started has a copy.
		_ = unix.Flock(r.own.fd, unix.LOCK_UN)
		r.own.release()
	}
	r.top.release()
}

// at is where the folder of the restore is, for messages.
func (r *restore) at() string { return filepath.Join(r.where, restoreName) }

func (r *restore) open(make bool) error {
	fail := func(err error) error { return fmt.Errorf("opening %s: %w", r.at(), err) }
	own, stat, err := r.top.below(restoreName)
	if make && errors.Is(err, unix.ENOENT) {
		if err = unix.Mkdirat(r.top.fd, restoreName, 0o700); err != nil {
			return fail(err)
		}
		if own, stat, err = r.top.below(restoreName); err == nil {
			err = own.withoutDefault()
		}
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fail(err)
	}
	r.own = own
	// The volume belongs to somebody who might have put something there.
	if int(stat.Uid) != os.Geteuid() || stat.Mode&0o022 != 0 {
		return fmt.Errorf("%s was not made by a restore, or may be changed by others: move it away", r.at())
	}
	if err := unix.Flock(own.fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("another process restores the volume at %s", r.where)
	}
	if r.phase, err = own.readPhase(); err != nil {
		return fail(err)
	}
	return nil
}

// withoutDefault takes away what a folder has from the one that it is in, and
// would be on all that is unpacked into it.
func (f *folder) withoutDefault() error {
	err := unix.Fremovexattr(f.fd, "system.posix_acl_default")
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}

// readPhase reads what set wrote. A folder without it is empty: nothing was done
// in it yet, or all of it was removed.
func (f *folder) readPhase() (Phase, error) {
	fd, err := open(f.fd, stateName, unix.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ENOENT) {
		return None, nil
	}
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	text := make([]byte, 4<<10)
	n, err := readAt(fd, text, 0)
	if err != nil {
		return "", err
	}
	return parsePhase(text[:n])
}

// parsePhase reads the text of a state.
func parsePhase(text []byte) (Phase, error) {
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return "", fmt.Errorf("what it says of the restore is damaged: %w", err)
	}
	switch s.Phase {
	case Unpacking, Unpacked, MovingOld, MovingNew, Swapped, Discarding:
		return s.Phase, nil
	}
	return "", fmt.Errorf("it says that the restore is %q: another version wrote that", s.Phase)
}

// set writes down the phase: after a loss of power it is this one or the one
// before, and then all that was done before it is there too.
func (r *restore) set(p Phase) error {
	text, err := json.Marshal(state{p})
	if err == nil {
		err = r.own.writeDurably(stateName, text)
	}
	if err != nil {
		return fmt.Errorf("writing down in %s that the restore is %s: %w", r.at(), p, err)
	}
	r.phase = p
	return nil
}

// writeDurably puts a file into the place of another, or of none.
func (f *folder) writeDurably(name string, text []byte) error {
	partial := name + ".new"
	fd, err := open(f.fd, partial, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	if err = writeAll(fd, text); err == nil {
		err = unix.Fsync(fd)
	}
	if err = errors.Join(err, unix.Close(fd)); err != nil {
		return err
	}
	if err := unix.Renameat(f.fd, partial, f.fd, name); err != nil {
		return err
	}
	return unix.Fsync(f.fd)
}

// PrintState writes how far a restore is in the volume, as JSON.
func PrintState(where string, out io.Writer) error {
	r, err := openRestore(where, false)
	if err != nil {
		return err
	}
	defer r.close()
	return writeLine(out, state{r.phase})
}

// Unpack makes anew, beside what is in the volume, what is in a stream of Pack's.
// Whatever it leaves when it fails, or is killed, is cleared away by the next
// one, or by Discard.
func Unpack(where string, owners Owners, stream io.Reader) (Summary, error) {
	r, err := openRestore(where, true)
	if err != nil {
		return Summary{}, err
	}
	defer r.close()
	if r.phase.half() || r.phase == Swapped {
		return Summary{}, fmt.Errorf("a restore of the volume at %s is %s: complete it, or undo it, and discard it first", where, r.phase)
	}
	if err := r.clear(Unpacking); err != nil {
		return Summary{}, err
	}
	if err := unix.Mkdirat(r.own.fd, newName, 0o700); err != nil {
		return Summary{}, fmt.Errorf("making %s/%s: %w", r.at(), newName, err)
	}
	into, _, err := r.own.below(newName)
	if err != nil {
		return Summary{}, fmt.Errorf("opening %s/%s: %w", r.at(), newName, err)
	}
	defer into.release()
	summary, err := unpackInto(into, owners, stream)
	if err != nil {
		return Summary{}, err
	}
	if err := unix.Syncfs(into.fd); err != nil {
		return Summary{}, fmt.Errorf("syncing what was unpacked: %w", err)
	}
	return summary, r.set(Unpacked)
}

// Discard removes all that a restore has in the volume: what was unpacked or,
// where that has taken its place, what was there before.
func Discard(where string) error {
	r, err := openRestore(where, false)
	if err != nil {
		return err
	}
	defer r.close()
	if r.own == nil {
		return nil
	}
	if r.phase.half() {
		return fmt.Errorf("a restore of the volume at %s is %s: complete it or undo it first", where, r.phase)
	}
	if err := r.clear(Discarding); err != nil {
		return err
	}
	err = unix.Unlinkat(r.own.fd, stateName, 0)
	if err == nil {
		err = unix.Unlinkat(r.top.fd, restoreName, unix.AT_REMOVEDIR)
	}
	if err == nil {
		err = unix.Fsync(r.top.fd)
	}
	if err != nil {
		return fmt.Errorf("removing %s: %w", r.at(), err)
	}
	return nil
}

// clear empties the folder of the restore, but for the phase, which it sets
// first: what is half removed is nothing to go back to.
func (r *restore) clear(p Phase) error {
	if err := r.set(p); err != nil {
		return err
	}
	names, err := r.own.names()
	for _, e := range names {
		if err == nil && e.name != stateName {
			err = r.own.removeAll(e.name)
		}
	}
	if err != nil {
		return fmt.Errorf("clearing %s: %w", r.at(), err)
	}
	return nil
}

// removeAll removes a name and, where it is a folder, all below it.
func (f *folder) removeAll(name string) error {
	reached("removing")
	err := unix.Unlinkat(f.fd, name, 0)
	if !errors.Is(err, unix.EISDIR) {
		return err
	}
	below, _, err := f.below(name)
	if err != nil {
		return err
	}
	defer below.release()
	names, err := below.names()
	if err != nil {
		return err
	}
	for _, e := range names {
		if err := below.removeAll(e.name); err != nil {
			return err
		}
	}
	return unix.Unlinkat(f.fd, name, unix.AT_REMOVEDIR)
}
