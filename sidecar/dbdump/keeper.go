package dbdump

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/dumps"
	"github.com/inmanta/inmanta-docker/sidecar/hostfolder"
	"github.com/inmanta/inmanta-docker/sidecar/process"
)

// keeper makes dumps, one at a time, and keeps those that are to be kept.
type keeper struct {
	config   Config
	daemon   *daemon
	folder   *folder
	programs programs
	memory   memory
	found    []found
	// retry is when it is tried again after a failure.
	retry time.Time
	// compression is how dumps are compressed.
	compression string
	// said is the last failure that was logged.
	said string
}

// tick is how often the clock is looked at: one that is put right tells nobody.
const tick = 30 * time.Second

// keep keeps the folder until the context is done, which is no error.
func (d *daemon) keep(ctx context.Context) error {
	folder, err := open(d.config)
	if err != nil {
		return err
	}
	defer folder.close()
	k := &keeper{
		config: d.config, daemon: d, folder: folder,
		programs: programs{nursery: d.nursery, environment: append([]string{}, d.config.Tools...)},
	}
	swept, err := folder.sweep()
	if err != nil {
		return err
	}
	if len(swept) > 0 {
		d.log.Info("removed", "files", swept, "why", "they were cut short")
	}
	if k.memory, err = d.config.remember(); err != nil {
		d.log.Info("problem", "problem", err.Error(), "fix", "nothing has to be done: it is found out again")
	}
	version, err := k.programs.run(ctx, k.going(""), "pg_dump", "--version")
	if err != nil {
		return fmt.Errorf("asking pg_dump for its version: %w", err)
	}
	k.compression = compressionOf(version)
	if err := k.list(); err != nil {
		return err
	}
	d.log.Info("started", "folder", d.config.Shown, "dumps", len(k.found), "schedule", d.config.Policy.Schedule.String(), "pg_dump", strings.TrimSpace(version))
	d.unable.Store(false)
	return k.loop(ctx)
}

func (k *keeper) loop(ctx context.Context) error {
	for ctx.Err() == nil {
		now := k.config.Now()
		k.daemon.publish(k, now)
		var waiting []chan Attempt
		if next := k.next(now); next.After(now) {
			timer := time.NewTimer(min(tick, next.Sub(now)))
			select {
			case <-ctx.Done():
			case <-timer.C:
			case one := <-k.daemon.requests:
				waiting = append(waiting, one)
			}
			timer.Stop()
			k.daemon.pulse.Beat()
			if len(waiting) == 0 {
				if err := k.list(); err != nil {
					return err
				}
				continue
			}
		}
		for more := true; more; { // those who wait get one dump
			select {
			case one := <-k.daemon.requests:
				waiting = append(waiting, one)
			default:
				more = false
			}
		}
		a, err := k.attempt(ctx)
		k.daemon.publish(k, k.config.Now()) // whoever waits asks for it next
		for _, one := range waiting {
			one <- a
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// next is when the next dump is due, or tried again.
func (k *keeper) next(now time.Time) time.Time {
	if last := k.memory.Last; last != nil && last.Error != "" {
		if k.retry.After(now.Add(dumps.Pause(k.memory.Failures))) {
			return now // a clock was put back
		}
		return k.retry
	}
	return k.config.Policy.Due(dumps.Newest(good(k.found), now), now)
}

func (k *keeper) list() (err error) {
	k.found, err = k.folder.list(k.memory)
	return err
}

// attempt makes a dump and removes those that are not kept any more. The error is
// that the folder cannot be kept; that there is no dump is in what it returns.
func (k *keeper) attempt(ctx context.Context) (Attempt, error) {
	a := Attempt{Begun: k.config.Now()}
	k.daemon.busy.Store(true)
	defer k.daemon.busy.Store(false)
	name, made, err := k.take(ctx)
	if err != nil && ctx.Err() != nil {
		a.Error = errStopping.Error()
		return a, nil // nobody's fault, and nothing to remember
	}
	a.Ended = k.config.Now()
	if err != nil {
		var before early
		a.Error, a.Early = err.Error(), errors.As(err, &before)
		k.failed(a)
		return a, k.list()
	}
	a.Dump = name
	k.config.Step("remember")
	k.memory.Last, k.memory.Failures, k.said = &a, 0, ""
	k.memory.Made[name] = made
	k.daemon.log.Info("dumped", "dump", name, "bytes", made.SizeBytes, "seconds", made.Seconds, "from", made.Host, "role", made.Role, "entries", made.Entries)
	k.memorise()
	if err := k.list(); err != nil {
		return a, err
	}
	if err := k.prune(name); err != nil {
		k.daemon.log.Info("problem", "problem", err.Error(), "fix", advice(err.Error(), k.config.Shown))
	}
	return a, k.list()
}

// failed remembers an attempt that failed, and when it is made again. One that was
// early changes nothing about one that failed after it had begun: what was wrong
// with that may be wrong still.
func (k *keeper) failed(a Attempt) {
	pause := dumps.Look
	if !a.Early {
		k.memory.Failures++
		pause = dumps.Pause(k.memory.Failures)
	}
	k.retry = a.Ended.Add(pause)
	k.memory.Last = &a
	if k.said != a.Error { // once
		k.said = a.Error
		k.daemon.log.Info("problem", "problem", "the dump failed: "+a.Error, "fix", advice(a.Error, k.config.Shown))
	}
	k.memorise()
}

// memorise notes what is known. That it cannot is no reason not to dump.
func (k *keeper) memorise() {
	if err := k.config.memorise(k.memory); err != nil {
		k.daemon.log.Info("problem", "problem", err.Error(), "fix", "make room in the volume inmanta-db-dump-data")
	}
}

// prune removes the dumps that are not kept, now that there is a new one.
func (k *keeper) prune(made string) error {
	expired := k.config.Policy.Expired(good(k.found), made, k.config.Now())
	if len(expired) == 0 {
		return nil
	}
	for _, name := range expired {
		// Its checksum goes last: alone it is known for what is left of a dump.
		k.config.Step("remove")
		if err := k.folder.remove(name); err != nil {
			return err
		}
		k.config.Step("remove checksum")
		if err := k.folder.remove(dumps.Checksum(name)); err != nil {
			return err
		}
		delete(k.memory.Made, name)
	}
	k.daemon.log.Info("removed", "files", expired, "why", "no longer kept")
	k.memorise()
	return hostfolder.Sync(k.folder.path)
}

// full says whether there was no room for something.
func full(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || strings.Contains(err.Error(), "No space left on device") || strings.Contains(err.Error(), "Disk quota exceeded")
}

// nurse buries orphans for as long as the context lasts: this is the first process
// of its container.
func nurse(ctx context.Context, log *slog.Logger) *process.Nursery {
	n := &process.Nursery{}
	go func() {
		if err := n.Bury(ctx); err != nil {
			log.Info("problem", "problem", err.Error(), "fix", "nothing has to be done: there are few")
		}
	}()
	return n
}
