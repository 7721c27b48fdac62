package dbarchive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/control"
	"github.com/inmanta/inmanta-docker/sidecar/moments"
	"github.com/inmanta/inmanta-docker/sidecar/process"
)

// socket is where the daemon is asked: see package control.
const socket = "@inmanta-sidecar-db-archive"

// request is what the daemon is asked for.
type request struct {
	// Verb is "state", or "now": the state once all that was committed before it was
	// asked is in the archive, or it cannot be.
	Verb string `json:"verb"`
}

// answer is what it says.
type answer struct {
	State *State `json:"state,omitempty"`
	Error string `json:"error,omitempty"`
}

// daemon is the sidecar.
type daemon struct {
	config  Config
	log     *slog.Logger
	nursery *process.Nursery
	// made is told when there is another stretch, or somebody receives its log.
	made chan struct{}
	// looking is held by whoever looks at the server and notes what that says.
	looking sync.Mutex

	mu    sync.Mutex
	known known
}

// known is what is known of the archive.
type known struct {
	stretches []moments.Stretch
	// current is the stretch that is being received; empty before there is one.
	current string
	// server is as of the last look, unanswered why there was none.
	server     server
	unanswered error
	// started says that pg_receivewal runs, receiving that it gets the log; stopped is
	// why it does not.
	started, receiving bool
	stopped            error
	// pending is a moment that the archive did not have when that was looked at.
	pending mark
	// running is since when a base backup is being made; last was the last attempt,
	// and retry is when it is tried again if that failed.
	running  time.Time
	last     *Attempt
	retry    time.Time
	failures int
}

// mark is up to where the log was written at a moment.
type mark struct {
	moment time.Time
	at     int64
}

// Attempt is an attempt at a base backup.
type Attempt struct {
	Begun time.Time `json:"begun"`
	Ended time.Time `json:"ended"`
	// Base is what came of it; else Error is why nothing did.
	Base  string `json:"base,omitempty"`
	Error string `json:"error,omitempty"`
}

// comeback is how long a folder that cannot be used is left alone.
const comeback = 10 * time.Second

// Serve archives until the context is done.
func Serve(ctx context.Context, c Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d := &daemon{config: c, log: control.Journal(c.Log), nursery: &process.Nursery{}, made: make(chan struct{}, 1)}
	d.known.stopped = errors.New("it is starting")
	go func() { // this is the first process of its container
		if err := d.nursery.Bury(ctx); err != nil {
			d.tell(err, "nothing has to be done: there are few")
		}
	}()
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("listening for requests: %w", err)
	}
	answering := make(chan error, 1)
	go func() {
		answering <- control.Serve(ctx, listener, d.answer, func(err error) answer { return answer{Error: err.Error()} })
		cancel()
	}()
	if len(c.Problems) > 0 {
		for _, p := range c.Problems {
			d.log.Info("problem", "problem", p, "fix", "put it right, then inmanta-docker up")
		}
		<-ctx.Done()
		return <-answering
	}
	control.Retry(ctx, comeback, d.keep, func(err error, news bool) {
		d.learn(func(k *known) { k.started, k.receiving, k.stopped = false, false, err })
		if news {
			d.tell(err, advice(err.Error(), c.Shown))
		}
	})
	d.log.Info("stopping")
	cancel()
	return <-answering
}

func (d *daemon) tell(err error, fix string) {
	d.log.Info("problem", "problem", err.Error(), "fix", fix)
}

func (d *daemon) learn(change func(*known)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(&d.known)
}

// keep keeps the archive until the context is done, which is no error.
func (d *daemon) keep(ctx context.Context) error {
	lock, err := hold(d.config.Folder, d.config.Deployment, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer lock.Close()
	reading, err := hold(d.config.Folder, d.config.Deployment+readers, unix.LOCK_EX)
	if err == nil { // else it is there, and somebody reads
		reading.Close()
	}
	if err := sweep(d.config); err != nil {
		return err
	}
	all, err := readStretches(d.config.Folder, d.config.Deployment)
	if err != nil {
		return err
	}
	d.learn(func(k *known) { k.stretches = all })
	d.log.Info("started", "folder", d.config.Shown, "stretches", len(all), "schedule", d.config.Policy.Schedule.String())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var working sync.WaitGroup
	working.Go(func() { d.backUp(ctx) })
	defer working.Wait()
	defer cancel()
	return d.receive(ctx)
}

// hold holds the archive of a deployment, by a file in it: for itself where it is
// written, with others where it is read.
func hold(folder, deployment string, how int) (*os.File, error) {
	flags := os.O_RDONLY | unix.O_NOFOLLOW
	if how == unix.LOCK_EX {
		flags |= os.O_CREATE
	}
	lock, err := os.OpenFile(filepath.Join(folder, "."+deployment+"-archive.lock"), flags, 0o640)
	if err != nil {
		return nil, fmt.Errorf("locking the archive: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), how|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another db-archive sidecar keeps the archive of %q in this folder", deployment)
		}
		return nil, fmt.Errorf("locking the archive: %w", err)
	}
	return lock, nil
}

// sweep removes base backups that were cut short.
func sweep(c Config) error {
	entries, err := os.ReadDir(c.Folder)
	if err != nil {
		return fmt.Errorf("listing the archive: %w", err)
	}
	for _, entry := range entries {
		if !entry.IsDir() || !moments.IsStretch(c.Deployment, entry.Name()) {
			continue
		}
		stretch := filepath.Join(c.Folder, entry.Name())
		inside, err := os.ReadDir(stretch)
		if err != nil {
			return fmt.Errorf("listing the archive: %w", err)
		}
		for _, one := range inside {
			kind, name := moments.Parse(one.Name())
			other := ""
			switch kind {
			case moments.Base:
				other = moments.Note(name)
			case moments.Noted:
				other = name
			case moments.Unfinished:
			default:
				continue
			}
			if _, err := os.Lstat(filepath.Join(stretch, other)); other != "" && !errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err := os.RemoveAll(filepath.Join(stretch, one.Name())); err != nil {
				return fmt.Errorf("removing what was cut short: %w", err)
			}
		}
	}
	return nil
}

// answer answers a request.
func (d *daemon) answer(ctx context.Context, asked request) answer {
	switch asked.Verb {
	case "now":
		d.catchUp(ctx, time.Now())
		fallthrough
	case "state":
		state := d.State()
		return answer{State: &state}
	}
	return answer{Error: fmt.Sprintf("there is no %q to ask for", asked.Verb)}
}

// catchPatience is how long the archive may take to have what was committed.
const catchPatience = 5 * time.Second

// catchUp returns once the archive has all that was committed until then, or does
// not get it.
func (d *daemon) catchUp(ctx context.Context, moment time.Time) {
	ctx, cancel := context.WithTimeout(ctx, catchPatience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		d.mu.Lock()
		receiving := d.known.receiving
		d.mu.Unlock()
		if !receiving {
			return
		}
		if s, ok := d.current(); ok && !s.Until.Before(moment) {
			return
		}
		d.look(ctx)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// current is the stretch that is being received.
func (d *daemon) current() (moments.Stretch, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.known.stretches {
		if s.Name == d.known.current {
			return s, true
		}
	}
	return moments.Stretch{}, false
}
