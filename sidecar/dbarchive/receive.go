package dbarchive

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/moments"
)

// receive has pg_receivewal receive the log until the context is done, which is no
// error, and starts it again when it ends. The error is that the archive cannot be
// read or written here.
func (d *daemon) receive(ctx context.Context) error {
	failures := 0
	for ctx.Err() == nil {
		began := time.Now()
		err := d.receiveOnce(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > lagPatience {
			failures = 0
		}
		failures++
		if err == nil {
			err = errors.New("pg_receivewal has ended")
		}
		d.mu.Lock()
		news := d.known.stopped == nil || d.known.stopped.Error() != err.Error()
		d.mu.Unlock()
		d.learn(func(k *known) { k.started, k.receiving, k.stopped = false, false, err })
		if news {
			d.tell(err, advice(err.Error(), d.config.Shown))
		}
		d.rest(ctx, moments.Pause(failures))
	}
	return nil
}

// rest waits for so long, and looks at the server meanwhile: what that keeps for the
// archive grows.
func (d *daemon) rest(ctx context.Context, pause time.Duration) {
	over := time.NewTimer(pause)
	defer over.Stop()
	tick := time.NewTicker(lookPeriod)
	defer tick.Stop()
	for {
		_, _ = d.look(ctx) // what is wrong is in what is known
		select {
		case <-ctx.Done():
			return
		case <-over.C:
			return
		case <-tick.C:
		}
	}
}

// receiveOnce receives the log until pg_receivewal ends.
func (d *daemon) receiveOnce(ctx context.Context) error {
	now, err := d.look(ctx)
	if err != nil {
		return err
	}
	s, err := d.begin(ctx, now)
	if err != nil {
		return err
	}
	folder := filepath.Join(d.config.Folder, s.Name, moments.WAL)
	if err := keepGrown(folder); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.learn(func(k *known) { k.started = true })
	ended := make(chan error, 1)
	go func() {
		// A level alone is gzip to every version.
		ended <- run(ctx, d.nursery, "pg_receivewal", "--no-password", "--no-loop", "--synchronous", "--compress=1", "--status-interval=5",
			"--slot="+slot, "--directory="+folder)
	}()
	tick := time.NewTicker(lookPeriod)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
			_, _ = d.look(ctx) // what is wrong is in what is known
		}
	}
}

// begin is the stretch whose log goes on with what the server has: the newest, or a
// new one.
func (d *daemon) begin(ctx context.Context, now server) (moments.Stretch, error) {
	all, err := readStretches(d.config.Folder, d.config.Deployment)
	if err != nil {
		return moments.Stretch{}, err
	}
	var newest moments.Stretch
	gap := errors.New("there is none yet")
	if len(all) > 0 {
		newest = all[len(all)-1]
		files, err := segments(d.config.Folder, newest.Name)
		if err != nil {
			return newest, err
		}
		gap = goesOn(newest, files, now)
	}
	if !now.hasSlot || now.lost {
		if err := makeSlot(ctx, now); err != nil {
			return newest, err
		}
	}
	if gap != nil {
		if newest, err = newStretch(d.config.Folder, d.config.Deployment, now.system, d.freeName(all)); err != nil {
			return newest, err
		}
		all = append(all, newest)
		d.log.Info("begun", "stretch", newest.Name, "why", gap.Error())
	}
	d.learn(func(k *known) { k.stretches, k.current, k.pending = all, newest.Name, mark{} })
	return newest, nil
}

// freeName is a moment that no stretch is named after, later than those that there
// are: a clock may have been put back.
func (d *daemon) freeName(all []moments.Stretch) time.Time {
	now := time.Now()
	for len(all) > 0 && moments.StretchName(d.config.Deployment, now) <= all[len(all)-1].Name {
		now = now.Add(time.Second)
	}
	return now
}

// look asks the server how far it is, and notes up to which moment the archive has
// everything.
func (d *daemon) look(ctx context.Context) (server, error) {
	d.looking.Lock()
	defer d.looking.Unlock()
	moment := time.Now()
	now, err := askServer(ctx)
	if err != nil {
		d.learn(func(k *known) { k.unanswered = err })
		return now, err
	}
	var note *moments.Stretch
	d.learn(func(k *known) {
		now.receiving = now.receiving && k.started // the server learns late of one that has ended
		k.server, k.unanswered = now, nil
		began := now.receiving && !k.receiving
		k.receiving = now.receiving
		if now.receiving {
			k.stopped = nil
		}
		for i := range k.stretches {
			if s := &k.stretches[i]; s.Name == k.current && s.System == now.system {
				var until time.Time
				if until, k.pending = covered(k.pending, mark{moment, now.at}, now); until.After(s.Until) {
					s.Until = until
					copied := *s
					note = &copied
				}
			}
		}
		if began {
			select {
			case d.made <- struct{}{}:
			default:
			}
		}
	})
	if note != nil {
		// What it says is a lower bound, whatever the disk has of it.
		_ = writeNote(filepath.Join(d.config.Folder, note.Name, moments.About), about{System: note.System, Until: note.Until}, false)
	}
	return now, nil
}

// covered is up to which moment the archive has everything, zero where it has
// nothing new, and what is to be waited for next; was is what has been waited for,
// is how far the server is now.
func covered(was, is mark, now server) (until time.Time, pending mark) {
	if !now.receiving {
		if was.moment.IsZero() {
			return time.Time{}, is
		}
		return time.Time{}, was
	}
	if now.stored >= is.at {
		return is.moment, mark{}
	}
	if was.moment.IsZero() {
		return time.Time{}, is
	}
	if now.stored >= was.at {
		return was.moment, is
	}
	return time.Time{}, was
}
