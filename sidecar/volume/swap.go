package volume

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// reached is called at each step that may be the last: tests end there.
var reached = func(step string) {}

// Swap puts what was unpacked into the place of what is in the volume, which is
// put aside. Called again after it was cut short it goes on, also when it was
// SwapBack that was cut short; done twice it is done once.
//
// Nobody may use the volume meanwhile: there is no moment at which it is
// exchanged, but one file after the other at its top.
func Swap(where string) error {
	return exchange(where, Swapped, []Phase{Unpacked, MovingOld, MovingNew, Swapped}, map[Phase]func(*restore) error{
		Unpacked:  (*restore).prepare,
		MovingOld: (*restore).oldAside,
		MovingNew: (*restore).newUp,
	})
}

// SwapBack undoes Swap, however far that came, and also where it has not begun.
// What has come into the volume since goes where the unpacked files do.
func SwapBack(where string) error {
	return exchange(where, Unpacked, []Phase{Swapped, MovingNew, MovingOld, Unpacked, Unpacking, None}, map[Phase]func(*restore) error{
		MovingNew: (*restore).newAside,
		MovingOld: (*restore).oldUp,
	})
}

// exchange goes from the phase that a volume is in through those that follow it
// in order, until it is in the wanted one or beyond it.
func exchange(where string, wanted Phase, order []Phase, work map[Phase]func(*restore) error) error {
	r, err := openRestore(where, false)
	if err != nil {
		return err
	}
	defer r.close()
	at := slices.Index(order, r.phase)
	if at < 0 {
		return fmt.Errorf("the restore of the volume at %s is %s: there is nothing whole to exchange", where, r.phase)
	}
	for ; at < slices.Index(order, wanted); at++ {
		if do := work[order[at]]; do != nil {
			if err := do(r); err != nil {
				return fmt.Errorf("exchanging what is in the volume at %s: %w", where, err)
			}
		}
		reached("before " + string(order[at+1]))
		if err := r.set(order[at+1]); err != nil {
			return err
		}
		reached("after " + string(order[at+1]))
	}
	return nil
}

// prepare makes the folder for what is put aside. It has the owner and the mode
// of the volume's, and keeps them until they are needed again.
func (r *restore) prepare() error {
	for _, name := range []string{makingName, beforeName} {
		// Of an earlier attempt, and empty: nothing is put there in this phase.
		if err := unix.Unlinkat(r.own.fd, name, unix.AT_REMOVEDIR); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	if err := unix.Mkdirat(r.own.fd, makingName, 0o700); err != nil {
		return err
	}
	reached("made before")
	making, _, err := r.own.below(makingName)
	if err != nil {
		return err
	}
	defer making.release()
	if err := copyNature(r.top, making); err != nil {
		return err
	}
	if err := unix.Renameat(r.own.fd, makingName, r.own.fd, beforeName); err != nil {
		return err
	}
	return errors.Join(unix.Fsync(making.fd), unix.Fsync(r.own.fd))
}

func (r *restore) oldAside() error { return r.moveAll("", beforeName) }
func (r *restore) oldUp() error {
	if err := r.take(beforeName); err != nil {
		return err
	}
	return r.moveAll(beforeName, "")
}

func (r *restore) newUp() error {
	if err := r.take(newName); err != nil {
		return err
	}
	return r.moveAll(newName, "")
}
func (r *restore) newAside() error { return r.moveAll("", newName) }

// take gives the volume's folder the owner and mode of one of the restore's.
func (r *restore) take(name string) error {
	from, _, err := r.own.below(name)
	if err != nil {
		return err
	}
	defer from.release()
	reached("taking " + name)
	return copyNature(from, r.top)
}

// copyNature makes one folder what another is, but for what is in it.
func copyNature(from, to *folder) error {
	var stat unix.Stat_t
	if err := unix.Fstat(from.fd, &stat); err != nil {
		return err
	}
	wanted, err := attributes(from.fd)
	if err != nil {
		return err
	}
	has, err := attributes(to.fd)
	if err != nil {
		return err
	}
	for _, a := range has {
		if slices.ContainsFunc(wanted, func(w attribute) bool { return w.name == a.name }) {
			continue
		}
		if err := unix.Fremovexattr(to.fd, a.name); err != nil {
			return err
		}
	}
	m := member{header: headerOf(kindFolder, "", &stat)}
	m.attributes = wanted
	return m.finish(to.fd, Owners{})
}

// moveAll moves all that is in one folder into another; "" is the volume's own,
// from which the folder of the restore is left out.
func (r *restore) moveAll(from, to string) error {
	source, err := r.side(from)
	if err != nil {
		return err
	}
	defer source.release()
	target, err := r.side(to)
	if err != nil {
		return err
	}
	defer target.release()
	names, err := source.names()
	if err != nil {
		return err
	}
	for _, e := range names {
		if from == "" && e.name == restoreName {
			continue
		}
		reached("moving")
		// Nothing is ever written over: a name on both sides is a mistake of somebody's.
		if err := unix.Renameat2(source.fd, e.name, target.fd, e.name, unix.RENAME_NOREPLACE); err != nil {
			return fmt.Errorf("moving %q: %w", e.name, err)
		}
	}
	reached("moved")
	return errors.Join(unix.Fsync(target.fd), unix.Fsync(source.fd))
}

// side opens the volume's folder, or one of the restore's.
func (r *restore) side(name string) (*folder, error) {
	in, at := r.own, name
	if name == "" {
		in, at = r.top, "."
	}
	f, _, err := in.below(at)
	if err != nil {
		return nil, fmt.Errorf("opening %q: %w", at, err)
	}
	return f, nil
}
