package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/process"
)

// agent is what runs in a database container: one goroutine that decides and
// does, and whatever tells it something.
type agent struct {
	config  Config
	volume  volume
	log     io.Writer
	nursery process.Nursery
	peer    *peer
	// commands are what it is asked to do, by its peer or an operator.
	commands chan command
	// news is that the peer says something new.
	news chan struct{}

	// Only the deciding goroutine uses these. orders are what the server is told.
	record Record
	known  bool
	orders orders
	// failures are how often something failed in a row.
	failures int

	mu     sync.Mutex
	status Status
	other  *Status // nil while it does not answer
	// silence is why it does not.
	silence string
}

// command is something that the agent is asked to do.
type command struct {
	name string
	body []byte
	done chan error
}

// say writes a line for whoever reads the container's log.
func (a *agent) say(format string, arguments ...any) {
	fmt.Fprintf(a.log, "inmanta: %s\n", fmt.Sprintf(format, arguments...))
}

// Serve holds the volume and runs the node until stop is done; hurry ends what
// would take its time then.
func Serve(stop, hurry context.Context, c Config, log io.Writer) error {
	a := &agent{
		config: c, volume: volume(c.Data), log: log, peer: newPeer(c),
		commands: make(chan command), news: make(chan struct{}, 1),
		status: Status{Node: c.Node, Peer: c.Peer, State: StateStarting, Version: c.Major},
	}
	background, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = a.nursery.Bury(background) }() // without it, zombies stay
	listening, err := a.listen(background)
	if err != nil {
		return err
	}
	defer listening()
	if err := a.writeSecrets(); err != nil {
		return err
	}
	if err := a.begin(stop); err != nil {
		return err
	}
	if stop.Err() != nil {
		return nil
	}
	go a.watchPeer(background)
	for stop.Err() == nil {
		a.once(stop, hurry)
	}
	a.publish(func(s *Status) { s.State, s.Running, s.Why, s.Fix = StateStopped, false, "", "" })
	return nil
}

// begin takes the volume and finishes what was cut short in it. While another
// process has it, or something is wrong with it, it waits and says so.
func (a *agent) begin(stop context.Context) error {
	for {
		err := a.takeVolume()
		if err == nil {
			return nil
		}
		fix := "look at the volume of " + a.config.Node
		if errors.Is(err, errInUse) {
			fix = "stop the other container"
		}
		a.refuse(err.Error(), fix)
		select {
		case <-stop.Done():
			return nil
		case c := <-a.commands:
			c.done <- refusal(err.Error())
		case <-time.After(time.Second): // nobody tells when a lock is free
		}
	}
}

func (a *agent) takeVolume() error {
	if err := a.volume.hold(); err != nil {
		return err
	}
	var err error
	if a.record, a.known, err = readRecord(filepath.Dir(a.volume.own(recordFile))); err != nil {
		return err
	}
	if !a.known {
		return nil
	}
	switch a.record.Phase {
	case settingAside, installing:
		if err := a.volume.install(a.record.Phase, a.enter); err != nil {
			return err
		}
	case making:
		if err := os.RemoveAll(a.volume.staging()); err != nil {
			return err
		}
		return a.enter(settled)
	}
	return nil
}

// enter notes a phase.
func (a *agent) enter(p phase) error {
	return a.note(func(r *Record) { r.Phase = p })
}

// note changes the record; when it returns, that is on the disk.
func (a *agent) note(change func(*Record)) error {
	r := a.record
	if !a.known {
		r.Node = a.config.Node
	}
	change(&r)
	if a.known && r == a.record {
		return nil
	}
	before := a.record
	if r.InStep != before.InStep || r.Strict != before.Strict || r.PeerInStep != before.PeerInStep || r.Role != before.Role {
		r.Since = time.Now().UTC()
	}
	if err := r.check(); err != nil {
		return err
	}
	if _, err := os.Stat(a.volume.own(lockFile)); errors.Is(err, os.ErrNotExist) {
		// Somebody has deleted what is in the volume, this package's own included.
		if err := a.volume.hold(); err != nil {
			return err
		}
	}
	if err := writeRecord(filepath.Dir(a.volume.own(recordFile)), r); err != nil {
		return fmt.Errorf("noting it in the volume: %w", err)
	}
	a.record, a.known = r, true
	a.publish(func(s *Status) {
		s.Role, s.Strict, s.PeerInStep, s.InStep = r.Role, r.Strict, r.PeerInStep, r.InStep
	})
	return nil
}

// publish changes what is said of the node.
func (a *agent) publish(change func(*Status)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(&a.status)
}

// Status is what it says of itself.
func (a *agent) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status
}

// peerStatus is what the peer said last; nil if that is nothing, or too long ago.
func (a *agent) peerStatus() *Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.other
}

// fail says what went wrong, once.
func (a *agent) fail(what string) {
	a.mu.Lock()
	again := a.status.LastFailure.What == what
	a.status.LastFailure = Failure{time.Now().UTC(), what}
	a.mu.Unlock()
	if !again {
		a.say("%s", what)
	}
}

// refuse says why the node does nothing, once.
func (a *agent) refuse(why, fix string) { a.idle(StateRefusing, why, fix) }

func (a *agent) idle(state, why, fix string) {
	again := false
	a.publish(func(s *Status) {
		again = s.State == state && s.Why == why
		s.State, s.Why, s.Fix, s.Running, s.Replication, s.Slot, s.Durable, s.Waiting = state, why, fix, false, nil, nil, false, 0
	})
	if !again {
		a.say("%s: %s; %s", state, why, fix)
	}
}

// askPeer asks the peer how it is, and says whether that is news.
func (a *agent) askPeer(ctx context.Context) (news bool) {
	got, _, err := a.peer.status(ctx)
	if errors.Is(err, errSecret) {
		a.fail(fmt.Sprintf("%s answers, but %v: set one and the same for both", a.config.Peer, err))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.other
	a.other, a.silence = nil, ""
	if err != nil {
		a.silence = err.Error()
		return before != nil
	}
	a.other = &got
	return before == nil || before.Role != got.Role || before.State != got.State || before.Running != got.Running ||
		before.InStep != got.InStep || before.Strict != got.Strict || before.Timeline != got.Timeline || before.Empty != got.Empty
}

// watchPeer asks the peer again and again, for as long as ctx says.
func (a *agent) watchPeer(ctx context.Context) {
	for {
		if a.askPeer(ctx) {
			select {
			case a.news <- struct{}{}:
			default: // it has not heard of the last yet
			}
		}
		// There is nobody to be told by: the other may be gone.
		pause := 200 * time.Millisecond
		if s := a.Status(); s.Durable || s.InStep && s.State == StateFollowing {
			pause = time.Second
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// once decides, and does that until something is to be decided anew.
func (a *agent) once(stop, hurry context.Context) {
	// What it said last may be from before: a primary that was away starts only
	// after it has tried to hear that another one took over.
	a.askPeer(stop)
	s, err := a.situation(stop)
	if stop.Err() != nil {
		return
	}
	d := decision{refuse, "", "look at the volume of " + a.config.Node}
	if err != nil {
		d.why = err.Error()
	} else {
		d = decide(s)
	}
	switch d.action {
	case initialise:
		err = a.initialise(stop)
	case copyPeer:
		err = a.copyPeer(stop, d.why, s.peer.System)
	case startPrimary, startStandby, promote:
		err = a.serve(stop, hurry, d, s)
	default:
		state := StateWaiting
		if d.action == refuse {
			state = StateRefusing
		}
		a.idle(state, d.why, d.fix)
		a.listenUntil(stop, nil)
		return
	}
	if err == nil || stop.Err() != nil {
		a.failures = 0
		return
	}
	// Not at full speed into the same wall.
	a.fail(err.Error())
	a.failures = min(a.failures+1, 5)
	a.listenUntil(stop, time.After(time.Second<<a.failures/2))
}

// listenUntil carries out orders until the peer says something new, or it is time.
func (a *agent) listenUntil(stop context.Context, late <-chan time.Time) {
	if late == nil {
		late = time.After(5 * time.Second) // room, or files: nobody tells
	}
	select {
	case <-stop.Done():
	case <-a.news:
	case <-late:
	case c := <-a.commands:
		c.done <- a.carryOut(stop, c, nil)
	}
}

// situation looks at what there is.
func (a *agent) situation(ctx context.Context) (situation, error) {
	s := situation{config: a.config, record: a.record, known: a.known, cluster: a.volume.hasCluster()}
	a.mu.Lock()
	s.peer, s.silence = a.other, a.silence
	a.mu.Unlock()
	var err error
	if s.room, err = a.volume.room(); err != nil {
		return s, err
	}
	if !s.cluster {
		names, err := a.volume.entries()
		if err != nil {
			return s, err
		}
		if len(names) > 0 {
			return s, fmt.Errorf("the volume is not empty and holds no cluster: there is %s", names[0])
		}
		a.publish(func(s *Status) { s.Empty, s.Role, s.System = true, "", "" })
		return s, nil
	}
	version, err := os.ReadFile(filepath.Join(a.config.Data, versionFile))
	if err != nil {
		return s, err
	}
	s.version = strings.TrimSpace(string(version))
	a.publish(func(st *Status) { st.Empty, st.Version = false, s.version })
	if s.version != a.config.Major {
		return s, nil
	}
	if s.control, err = control(ctx, &a.nursery, a.config, a.config.Data); err != nil {
		return s, err
	}
	_, err = os.Stat(filepath.Join(a.config.Data, "standby.signal"))
	s.signal, s.alone = err == nil, a.volume.ranAlone()
	history, err := a.history(s.control.Timeline)
	if err != nil {
		return s, err
	}
	a.publish(func(st *Status) {
		st.Role, st.System, st.Timeline, st.Position, st.Checksums, st.History = s.role(), s.control.System, s.control.Timeline, s.control.end(), s.control.Checksums, history
		st.Strict, st.PeerInStep, st.InStep = s.record.Strict, s.record.PeerInStep, s.record.InStep
	})
	return s, nil
}

// history is what led to a timeline of the cluster in its place.
func (a *agent) history(timeline uint32) ([]Branch, error) {
	text, err := os.ReadFile(filepath.Join(a.config.Data, "pg_wal", fmt.Sprintf("%08X.history", timeline)))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // the first
	}
	if err != nil {
		return nil, err
	}
	return parseHistory(string(text))
}

// source is where the standby connects from, as a host-based rule has it.
func (a *agent) source(ctx context.Context) string {
	if a.config.PeerSource != "" {
		return a.config.PeerSource
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", a.config.PeerHost)
	if err != nil || len(addresses) == 0 {
		return "" // it has none while it is not there
	}
	address := addresses[0].Unmap()
	return fmt.Sprintf("%s/%d", address, address.BitLen())
}

// order hands an order to the deciding goroutine, and waits until it is done.
func (a *agent) order(ctx context.Context, name string, body []byte) error {
	c := command{name, body, make(chan error, 1)}
	select {
	case a.commands <- c:
	case <-ctx.Done():
		return refusal("it is busy: " + a.Status().State)
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// orderBody is what comes with an order.
func orderBody[T any](body []byte) (given T, err error) {
	if err := json.Unmarshal(body, &given); err != nil {
		return given, refusal("the order is damaged: " + err.Error())
	}
	return given, nil
}
