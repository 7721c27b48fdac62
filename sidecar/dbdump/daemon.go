package dbdump

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/control"
	"github.com/inmanta/inmanta-docker/sidecar/process"
)

// socket is where the daemon is asked: see package control.
const socket = "@inmanta-sidecar-db-dump"

// request is what the daemon is asked for.
type request struct {
	// Verb is "state" or "now".
	Verb string `json:"verb"`
}

// answer is what it says.
type answer struct {
	State *State `json:"state,omitempty"`
	// Now is what came of a dump that was asked for, and Made how it was made.
	Now   *Attempt `json:"now,omitempty"`
	Error string   `json:"error,omitempty"`
}

// daemon answers for the keeper, also where that is busy or cannot do its work.
type daemon struct {
	config   Config
	log      *slog.Logger
	nursery  *process.Nursery
	requests chan chan Attempt
	// unable: there is no keeper, and no telling when there will be one.
	unable atomic.Bool
	// state is as of the keeper's last look; busy says whether it is at work,
	// running what it dumps, and pulse that it goes on.
	state   atomic.Pointer[State]
	busy    atomic.Bool
	running atomic.Pointer[Running]
	pulse   *control.Pulse
}

// comeback is how long a folder that cannot be used is left alone, unless the
// configuration says otherwise.
const comeback = 10 * time.Second

// Serve makes dumps until the context is done. Whatever keeps it from doing so is
// told, makes it unhealthy, and is tried again; it returns an error only where
// nobody can ask it for its health.
func Serve(ctx context.Context, c Config) error {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Step == nil {
		c.Step = func(string) {}
	}
	if c.inquire == nil {
		c.inquire = c.ask
	}
	if c.comeback == 0 {
		c.comeback = comeback
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	log := control.Journal(c.Log)
	d := &daemon{config: c, log: log, nursery: nurse(ctx, log), requests: make(chan chan Attempt), pulse: control.NewPulse()}
	d.state.Store(d.blank("it is starting"))
	listener, err := net.Listen("unix", c.Address)
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
		d.state.Store(d.blank(c.Problems...))
		d.unable.Store(true)
		<-ctx.Done()
		return <-answering
	}
	control.Retry(ctx, c.comeback, d.keep, func(err error, news bool) {
		fix := advice(err.Error(), c.Shown)
		if news {
			d.log.Info("problem", "problem", err.Error(), "fix", fix)
		}
		d.state.Store(d.blank("nothing is dumped: " + err.Error() + "; " + fix))
		d.unable.Store(true)
	})
	d.log.Info("stopping")
	cancel()
	return <-answering
}

// blank is the state where there is nobody who would know more.
func (d *daemon) blank(reasons ...string) *State {
	return &State{Folder: d.config.Shown, Reasons: reasons, Dumps: []DumpState{}, Schedule: d.config.Policy.Schedule.String()}
}

// answer answers a request.
func (d *daemon) answer(ctx context.Context, asked request) answer {
	switch asked.Verb {
	case "state":
		state := d.State()
		return answer{State: &state}
	case "now":
		a, err := d.dumpNow(ctx)
		if err != nil {
			return answer{Error: err.Error()}
		}
		state := d.State()
		return answer{Now: &a, State: &state}
	}
	return answer{Error: fmt.Sprintf("there is no %q to ask for", asked.Verb)}
}

// dumpNow has the keeper make a dump, once one that is being made is done. The error
// is that there is no keeper.
func (d *daemon) dumpNow(ctx context.Context) (Attempt, error) {
	said := make(chan Attempt, 1)
	requests := d.requests
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		if requests != nil && d.unable.Load() {
			if reasons := d.State().Reasons; len(reasons) > 0 { // else it has just come back
				return Attempt{}, errors.New(reasons[0])
			}
		}
		select {
		case requests <- said:
			requests = nil // it answers, whatever becomes of it
		case a := <-said:
			return a, nil
		case <-ctx.Done():
			return Attempt{}, errStopping
		case <-look.C:
		}
	}
}

var errStopping = errors.New("it is stopping")
