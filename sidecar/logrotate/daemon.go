package logrotate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/control"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/policy"
)

// Config is all that the daemon is told.
type Config struct {
	// Folder is that of the logs, State one for what is remembered.
	Folder, State string
	Policies      policy.Policies
	// Problems are what is wrong with how it was configured: with any, it rotates
	// nothing and is unhealthy.
	Problems []string
	// Address is the unix socket it answers on.
	Address string
	// Log is written what happens, one JSON object a line.
	Log io.Writer
	// Now tells the time; nil is the clock. Step is called between any two
	// effects, with the name of the next: tests end the process there.
	Now  func() time.Time
	Step func(name string)
}

// daemon answers for the keeper, also where that is busy or cannot do its work.
type daemon struct {
	config   Config
	journal  *journal
	requests chan func(context.Context, *keeper) error
	// unable: there is no keeper, and no telling when there will be one.
	unable atomic.Bool
	// state is as of the keeper's last look; busy says whether it is at work, and
	// pulse that it goes on.
	state atomic.Pointer[State]
	busy  atomic.Bool
	pulse *control.Pulse
}

// comeback is how long a folder that cannot be used is left alone.
const comeback = 10 * time.Second

// Serve rotates logs until the context is done. Whatever keeps it from doing so
// is told, makes it unhealthy, and is tried again; it returns an error only where
// nobody can ask it for its health.
func Serve(ctx context.Context, c Config) error {
	if c.Now == nil {
		c.Now = time.Now
	}
	d := &daemon{
		config: c, journal: &journal{out: c.Log, now: c.Now},
		requests: make(chan func(context.Context, *keeper) error), pulse: control.NewPulse(),
	}
	d.state.Store(&State{Folder: c.Folder, Reasons: []string{"it is starting"}})
	listener, err := net.Listen("unix", c.Address)
	if err != nil {
		return fmt.Errorf("listening for requests: %w", err)
	}
	answering := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		answering <- control.Serve(ctx, listener, d.answer, func(err error) answer { return answer{Error: err.Error()} })
		cancel()
	}()
	if len(c.Problems) > 0 {
		d.stop(c.Problems)
		<-ctx.Done()
		return <-answering
	}
	for _, note := range c.Policies.Notes {
		d.journal.write(Event{Event: EventNote, Why: note.Where + ": " + note.What})
	}
	control.Retry(ctx, comeback, d.keep, func(err error, news bool) {
		if news {
			d.journal.write(Event{Event: EventProblem, Problem: err.Error(), Fix: fix(err)})
		}
		d.state.Store(&State{Folder: c.Folder, Reasons: []string{"nothing is rotated: " + err.Error()}})
		d.unable.Store(true)
	})
	d.journal.write(Event{Event: EventStopping})
	cancel()
	return <-answering
}

// stop leaves it at saying what is wrong with the configuration.
func (d *daemon) stop(problems []string) {
	for _, p := range problems {
		d.journal.write(Event{Event: EventProblem, Problem: p, Fix: "put it right, then inmanta-docker up"})
	}
	d.state.Store(&State{Folder: d.config.Folder, Reasons: problems})
	d.unable.Store(true)
}

// answer answers a request.
func (d *daemon) answer(ctx context.Context, asked request) answer {
	switch asked.Verb {
	case "state":
		state := d.State()
		return answer{State: &state}
	case "health":
		// Asked for every few seconds: the archives of thousands of logs take longer to
		// tell than all else that is done meanwhile.
		state := d.State()
		count := len(state.Logs)
		state.Logs = nil
		return answer{State: &state, Count: count}
	case "now":
		if d.unable.Load() {
			return answer{Error: d.silent().Error()}
		}
		said := make(chan []Rotation, 1)
		rotate := func(ctx context.Context, k *keeper) error { return k.now(ctx, asked.Logs, said) }
		select {
		case d.requests <- rotate:
		case <-ctx.Done():
			return answer{Error: "it is stopping"}
		case <-time.After(comeback):
			return answer{Error: d.silent().Error()}
		}
		select {
		case rotations := <-said:
			return answer{Now: rotations}
		case <-ctx.Done():
			return answer{Error: "it is stopping"}
		}
	}
	return answer{Error: fmt.Sprintf("there is no %q to ask for", asked.Verb)}
}

// silent says why the keeper takes no requests.
func (d *daemon) silent() error {
	if state := d.State(); len(state.Reasons) > 0 {
		return errors.New(state.Reasons[0])
	}
	return errors.New("it is busy with a rotation: try again")
}
