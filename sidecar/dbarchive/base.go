package dbarchive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/figure"
	"github.com/inmanta/inmanta-docker/sidecar/hostfolder"
	"github.com/inmanta/inmanta-docker/sidecar/moments"
)

// tick is how often the clock is looked at: one that is put right tells nobody.
const tick = 30 * time.Second

// backUp makes base backups when they are due, until the context is done.
func (d *daemon) backUp(ctx context.Context) {
	for ctx.Err() == nil {
		next, ok := d.next(time.Now())
		if ok && !next.After(time.Now()) {
			d.attempt(ctx)
			continue
		}
		wait := tick
		if ok {
			wait = min(tick, time.Until(next))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-d.made:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// next is when the next base backup is due; ok is false while there is nobody to
// receive the log, without which it would be of no use.
func (d *daemon) next(now time.Time) (at time.Time, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := d.known
	for _, s := range k.stretches {
		if s.Name != k.current {
			continue
		}
		due := d.config.Policy.Due(s, now)
		if k.last != nil && k.last.Error != "" && k.retry.After(due) && k.retry.Sub(now) <= patience(k.failures) {
			due = k.retry
		}
		return due, k.receiving
	}
	return time.Time{}, false
}

// patience is how long it is before the next attempt after so many failures in a row:
// ten times as long as for the log, as it takes more to try.
func patience(failures int) time.Duration { return 10 * moments.Pause(failures) }

// attempt makes a base backup, and removes what is not kept any more.
func (d *daemon) attempt(ctx context.Context) {
	s, _ := d.current()
	a := Attempt{Begun: time.Now().UTC()}
	d.learn(func(k *known) { k.running = a.Begun })
	made, err := d.makeBase(ctx, s, a.Begun)
	d.learn(func(k *known) { k.running = time.Time{} })
	if ctx.Err() != nil {
		return // nobody's fault, and nothing to remember
	}
	a.Ended = time.Now().UTC()
	if err != nil {
		a.Error = err.Error()
		said := false
		d.learn(func(k *known) {
			said = k.last != nil && k.last.Error == a.Error
			k.failures++
			k.last, k.retry = &a, a.Ended.Add(patience(k.failures))
		})
		if !said {
			d.tell(fmt.Errorf("the base backup failed: %w", err), advice(a.Error, d.config.Shown))
		}
		return
	}
	a.Base = made.Name
	d.log.Info("backed up", "base", made.Name, "bytes", made.Bytes, "seconds", a.Ended.Sub(a.Begun).Seconds())
	d.learn(func(k *known) {
		k.last, k.failures = &a, 0
		for i := range k.stretches {
			if k.stretches[i].Name == s.Name {
				k.stretches[i].Bases = append(append([]moments.Backup{}, k.stretches[i].Bases...), made)
			}
		}
	})
	if err := d.prune(); err != nil {
		d.tell(err, advice(err.Error(), d.config.Shown))
	}
}

// makeBase makes a base backup in a stretch. What is left of one that fails is
// removed.
func (d *daemon) makeBase(ctx context.Context, s moments.Stretch, begun time.Time) (made moments.Backup, err error) {
	folder := filepath.Join(d.config.Folder, s.Name)
	made = moments.Backup{Name: moments.BaseName(begun), Begun: begun}
	partial := filepath.Join(folder, moments.Partial(made.Name))
	final := filepath.Join(folder, made.Name)
	if _, err := os.Lstat(final); !errors.Is(err, fs.ErrNotExist) {
		return made, fmt.Errorf("there is a %s already", made.Name)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(partial) // else the next start does
		}
	}()
	if err := os.RemoveAll(partial); err != nil {
		return made, fmt.Errorf("making room for a base backup: %w", err)
	}
	if err := d.hasRoom(); err != nil {
		return made, err
	}
	if err := run(ctx, d.nursery, "pg_basebackup", "--no-password", "--pgdata="+partial, "--format=plain", "--wal-method=stream", "--checkpoint=fast", "--label="+made.Name); err != nil {
		return made, err
	}
	made.Ended = time.Now().UTC()
	if err := run(ctx, d.nursery, "pg_verifybackup", "--quiet", partial); err != nil {
		return made, fmt.Errorf("it is not what pg_basebackup says that it is: %w", err)
	}
	label, err := os.ReadFile(filepath.Join(partial, "backup_label"))
	if err != nil {
		return made, fmt.Errorf("reading what it is: %w", err)
	}
	first, ok := moments.FirstNeeded(string(label))
	if !ok {
		return made, errors.New("its backup_label does not say which part of the log it needs")
	}
	made.Segment = first.String()
	if made.Bytes, err = size(partial); err != nil {
		return made, err
	}
	d.mu.Lock()
	made.Server = d.known.server.version
	same := d.known.current == s.Name
	d.mu.Unlock()
	if !same {
		return made, errors.New("the log has got a gap meanwhile")
	}
	if err := os.Rename(partial, final); err != nil {
		return made, fmt.Errorf("giving it its name: %w", err)
	}
	if err := writeNote(filepath.Join(folder, moments.Note(made.Name)), made, true); err != nil {
		return made, errors.Join(err, os.RemoveAll(final))
	}
	return made, hostfolder.Sync(folder)
}

// hasRoom refuses a base backup that may not fit: it would take the room of the log
// until it fails.
func (d *daemon) hasRoom() error {
	free, err := hostfolder.Room(d.config.Folder)
	if err != nil {
		return fmt.Errorf("finding out how much room there is: %w", err)
	}
	d.mu.Lock()
	may := needed(d.known.stretches, d.known.server)
	d.mu.Unlock()
	if free < may {
		return fmt.Errorf("there is %s free, and it may need %s: no space left on device", figure.Bytes(free), figure.Bytes(may))
	}
	return nil
}

// size is how many bytes the files in a folder have together.
func size(folder string) (total int64, err error) {
	err = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}

// prune removes what is not kept, now that there is a new base backup: unless
// somebody brings something back at this moment; then the next one does.
func (d *daemon) prune() error {
	reading, err := hold(d.config.Folder, d.config.Deployment+readers, unix.LOCK_EX)
	if err != nil {
		return nil
	}
	defer reading.Close()
	all, err := readStretches(d.config.Folder, d.config.Deployment)
	if err != nil {
		return err
	}
	s, _ := d.current()
	bases, whole := d.config.Policy.Expired(all, s.Name)
	var removed []string
	remove := func(name ...string) error {
		// What it is goes first: without, it is known for what is left of something.
		err := os.RemoveAll(filepath.Join(append([]string{d.config.Folder}, name...)...))
		if err != nil {
			return fmt.Errorf("removing %s: %w", filepath.Join(name...), err)
		}
		return nil
	}
	for stretch, names := range bases {
		for _, name := range names {
			if err := errors.Join(remove(stretch, moments.Note(name)), remove(stretch, name)); err != nil {
				return err
			}
			removed = append(removed, name)
		}
	}
	for _, name := range whole {
		if err := errors.Join(remove(name, moments.About), remove(name)); err != nil {
			return err
		}
		removed = append(removed, name)
	}
	if all, err = readStretches(d.config.Folder, d.config.Deployment); err != nil {
		return err
	}
	segmentsRemoved := 0
	for _, one := range all {
		files, err := segments(d.config.Folder, one.Name)
		if err != nil {
			return err
		}
		for _, file := range one.Unneeded(files) {
			if err := remove(one.Name, moments.WAL, file); err != nil {
				return err
			}
			segmentsRemoved++
		}
	}
	d.learn(func(k *known) {
		for i := range all {
			for _, one := range k.stretches { // what is known of it is newer than what it says
				if one.Name == all[i].Name && one.Until.After(all[i].Until) {
					all[i].Until = one.Until
				}
			}
		}
		k.stretches = all
	})
	if len(removed)+segmentsRemoved > 0 {
		d.log.Info("removed", "files", removed, "segments", segmentsRemoved, "why", "no longer kept")
	}
	return nil
}

// readers is what is behind the deployment's name in that of the lock of those who
// bring something back.
const readers = "-readers"
