package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// running is a server, and what was seen of it.
type running struct {
	*server
	ready   chan struct{} // closed once it takes connections
	session *session
	keeping keeping
	// streamed is when a standby was last seen to stream.
	streamed time.Time
	// sized is when its size was last asked for.
	sized time.Time
	// loose is what somebody set that makes acknowledgements worth less.
	loose string
	// leave is that it is to be stopped, and something else decided.
	leave bool
	// shutOut is why its primary does not let it in, and what to do.
	shutOut atomic.Pointer[[2]string]
	// lostWhy is handed what a line of its log means.
	lostWhy chan string
}

// serve runs the server in the role that was decided, until it ends, is to end,
// or something else is to be decided.
func (a *agent) serve(stop, hurry context.Context, d decision, s situation) error {
	if err := a.take(d, s); err != nil {
		return err
	}
	a.orders = atStart(a.config, a.record)
	a.orders.source = a.source(stop)
	if err := a.writeOrders(); err != nil {
		return err
	}
	if d.why != "" {
		a.say("%s: %s", d.action, d.why)
	}
	a.publish(func(s *Status) { s.State, s.Why, s.Fix, s.Running = StateRecovering, "", "", false })
	run := &running{ready: make(chan struct{}), lostWhy: make(chan string, 1), streamed: time.Now()}
	var err error
	run.server, err = startServer(&a.nursery, a.config, a.log, func(line string) {
		if why, fix := shutOut(a.config, line); why != "" {
			run.shutOut.Store(&[2]string{why, fix})
		}
		if why, is := lost(line); is {
			select {
			case run.lostWhy <- why:
			default:
			}
		}
	})
	if err != nil {
		return err
	}
	go func() {
		if run.server.ready(stop) == nil {
			close(run.ready)
		}
	}()
	a.keep(stop, run, d.action == promote)
	if run.session != nil {
		run.session.close()
	}
	a.publish(func(s *Status) {
		s.Running, s.Durable, s.Replication, s.Slot, s.Waiting = false, false, nil, nil, 0
		s.State = StateStopped
	})
	run.stop(hurry)
	if stop.Err() == nil && !run.leave {
		return fmt.Errorf("the server ended by itself: %w", cmpError(run.err))
	}
	return nil
}

// over says whether the server has ended, or is to.
func (r *running) over() bool {
	select {
	case <-r.ended:
		return true
	default:
		return r.leave
	}
}

// take writes down the role before the server is started in it.
func (a *agent) take(d decision, s situation) error {
	signal := filepath.Join(a.config.Data, "standby.signal")
	switch d.action {
	case startPrimary:
		if s.alone && a.record.Strict {
			a.say("the database was run without its pair: it is not durable again before %s has caught up", a.config.Peer)
		}
		err := os.Remove(signal)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return a.note(func(r *Record) {
			r.Role, r.System, r.InStep, r.Handover = Primary, s.control.System, false, false
			r.Strict = r.Strict && !s.alone
		})
	case startStandby:
		if err := a.note(func(r *Record) {
			*r = Record{Node: r.Node, Role: Standby, System: s.control.System, InStep: r.InStep && !s.alone, Since: r.Since}
		}); err != nil {
			return err
		}
		return writeDurably(signal, nil, 0o600)
	}
	return nil
}

// writeOrders writes what the server is told by.
func (a *agent) writeOrders() error {
	files := map[string]string{
		configFile: serverConfig(a.config, a.orders), hbaFile: hostRules(a.orders),
		identFile: userMap(a.config.Superuser),
	}
	for name, text := range files {
		if err := replace(a.config.told(name), text); err != nil {
			return err
		}
	}
	return nil
}

// writeSecrets writes what the server and its tools know their peer by.
func (a *agent) writeSecrets() error {
	if err := replace(a.config.told(passFile), passwords(a.config)); err != nil {
		return err
	}
	for name, text := range a.config.Certificates {
		if err := replace(a.config.told(name), string(text)); err != nil {
			return err
		}
	}
	return nil
}

// replace writes a file that only this user reads; a reader sees the old or the new.
func replace(path, text string) error {
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// tell has the running server follow changed orders.
func (a *agent) tell(run *running, change func(*orders)) error {
	change(&a.orders)
	if err := a.writeOrders(); err != nil {
		return err
	}
	run.reload()
	return nil
}

// keep looks after a running server until there is a reason to leave it.
func (a *agent) keep(stop context.Context, run *running, promoteNow bool) {
	for {
		pause := 100 * time.Millisecond
		select {
		case <-run.ready:
			if promoteNow {
				if err := a.becomePrimary(stop, run); err != nil {
					a.fail("going on with the promotion: " + err.Error())
				} else {
					promoteNow = false
				}
				break
			}
			settled, err := a.attend(stop, run)
			if err != nil && stop.Err() == nil && !run.over() {
				a.fail("looking after the server: " + err.Error())
			}
			if settled {
				pause = time.Second
			}
		default:
		}
		if run.leave {
			return
		}
		select {
		case <-stop.Done():
			return
		case <-run.ended:
			return
		case why := <-run.lostWhy:
			a.lose(stop, run, why)
		case c := <-a.commands:
			c.done <- a.carryOut(stop, c, run)
		case <-a.news:
		case <-time.After(pause):
		}
	}
}

// lose is called when a standby cannot go on: it is copied anew, if its primary
// is there to be copied. Whatever it held until now is kept for as long.
func (a *agent) lose(stop context.Context, run *running, why string) {
	now, _, err := a.peer.status(stop)
	if a.record.Role != Standby || err != nil || now.Role != Primary || !now.Running || now.System != a.record.System {
		a.fail(why)
		return
	}
	a.fail(why + ": it is copied anew")
	if err := a.note(func(r *Record) { r.Reinit, r.InStep = true, false }); err != nil {
		a.fail(err.Error())
		return
	}
	run.leave = true
}

// attend looks at the server once and takes the steps that are due. It is
// settled when nothing is on its way.
func (a *agent) attend(ctx context.Context, run *running) (settled bool, err error) {
	if run.session == nil || run.session.conn.IsClosed() {
		if run.session, err = connect(ctx, a.config.Superuser); err != nil {
			return false, err
		}
		if err := a.meet(ctx, run); err != nil {
			run.session.close()
			return false, err
		}
	}
	v, err := a.look(ctx, run)
	if err != nil {
		run.session.close()
		return false, err
	}
	if a.record.Role == Primary && v.recovering {
		run.leave = true // it was to be promoted, and was not: decided anew
		return false, errors.New("the server is not the primary that it is to be")
	}
	if v.trustworthy == "" {
		v.trustworthy = run.loose
	}
	k := &run.keeping
	k.config, k.record, k.orders, k.view, k.peer = a.config, a.record, a.orders, v, a.peerStatus()
	if v.receiving {
		run.shutOut.Store(nil)
	}
	k.shutOut = run.shutOut.Load()
	now := time.Now()
	if v.replication != nil && v.replication.State == "streaming" {
		run.streamed = now
	}
	k.away = now.Sub(run.streamed)
	if k.start == 0 {
		k.start = v.position
	}
	if v.names != names(a.orders.waitFor) {
		k.unheeded++
	} else {
		k.unheeded = 0
	}
	if a.orders.waitFor == "" || k.unheeded > 0 {
		k.named = 0
	} else if k.named == 0 {
		k.named = v.position
	}
	var steps []step
	if a.record.Role == Primary {
		if v.replication == nil { // else it has been let in, from where it is
			if source := a.source(ctx); source != "" && source != a.orders.source {
				if err := a.tell(run, func(o *orders) { o.source = source }); err != nil {
					return false, err
				}
			}
		}
		steps = keepPrimary(*k)
	} else {
		_, err := os.Stat(a.volume.previous())
		steps = keepStandby(*k, err == nil)
	}
	if time.Since(run.sized) > time.Minute {
		if err := a.measure(ctx, run); err != nil {
			return false, err
		}
	}
	a.describe(*k)
	for _, s := range steps {
		if err := a.step(ctx, run, s); err != nil {
			return false, fmt.Errorf("%s: %w", s, err)
		}
	}
	return len(steps) == 0 && (k.durable() || a.record.Role == Standby && a.record.InStep && v.receiving), nil
}

// look asks the server how it is. A standby shows the timeline that it has come
// to only for as long as it receives something: what it once showed still holds.
func (a *agent) look(ctx context.Context, run *running) (view, error) {
	v, err := run.session.look(ctx, a.config.Peer)
	if v.recovering {
		v.timeline = max(v.timeline, run.keeping.view.timeline)
	}
	return v, err
}

// meet is done once with each server that takes connections.
func (a *agent) meet(ctx context.Context, run *running) error {
	if a.record.Role != Primary {
		return nil
	}
	return run.session.admitReplication(ctx, a.config.Secret)
}

// measure asks for what takes longer and changes seldom.
func (a *agent) measure(ctx context.Context, run *running) error {
	size, err := run.session.size(ctx)
	if err != nil {
		return err
	}
	collations, err := run.session.collations(ctx)
	if err != nil {
		return err
	}
	if run.loose, err = run.session.loose(ctx); err != nil {
		return err
	}
	run.sized = time.Now()
	a.publish(func(s *Status) { s.SizeBytes, s.Collations = size, collations })
	return nil
}

// step takes one step.
func (a *agent) step(ctx context.Context, run *running, s step) error {
	standby := slotName(a.config.Peer)
	switch s {
	case makeSlot:
		_, err := run.session.ask(ctx, fmt.Sprintf("SELECT pg_create_physical_replication_slot(%s, true)", quote(standby)))
		return err
	case dropSlots:
		_, err := run.session.ask(ctx, fmt.Sprintf(`SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
			WHERE slot_type = 'physical' AND NOT active AND (slot_name = %s OR slot_name = %s AND (pg_is_in_recovery() OR wal_status = 'lost'))`,
			quote(slotName(a.config.Node)), quote(standby)))
		return err
	case awaitStandby:
		return a.tell(run, func(o *orders) { o.waitFor = a.config.Peer })
	case awaitNobody:
		if a.record.Strict {
			a.fail(fmt.Sprintf("DEGRADED: %s is away, and commits do not wait for it: what is acknowledged now is lost with this node", a.config.Peer))
		}
		return a.tell(run, func(o *orders) { o.waitFor = "" })
	case insist:
		what := "somebody changed what commits wait for: what was acknowledged meanwhile may be here alone; it is changed back"
		// The note is not true any more. A standby that cannot be told keeps it.
		if err := a.tellPeer(ctx, orderOutOfStep, nil); err != nil {
			what += fmt.Sprintf("; %s could not be told that it may not be in step: %v", a.config.Peer, err)
		}
		a.fail(what)
		if _, err := run.session.ask(ctx, "ALTER SYSTEM RESET synchronous_standby_names"); err != nil {
			return err
		}
		return a.tell(run, func(*orders) {})
	case becomeStrict:
		if err := a.note(func(r *Record) { r.Strict = true }); err != nil {
			return err
		}
		a.say("durable: every commit is stored by %s, too, before it is acknowledged", a.config.Peer)
		return nil
	case tellInStep:
		// First here: it is better to think that the standby has the note when
		// it has not than the other way round.
		if err := a.note(func(r *Record) { r.PeerInStep = true }); err != nil {
			return err
		}
		return a.tellPeer(ctx, orderInStep, inStep{System: a.record.System, Timeline: run.keeping.view.timeline})
	case revokeInStep:
		if err := a.tellPeer(ctx, orderOutOfStep, nil); err != nil {
			return err
		}
		return a.note(func(r *Record) { r.PeerInStep = false })
	case forgetInStep:
		return a.note(func(r *Record) { r.PeerInStep = false })
	case openDoors:
		return a.tell(run, func(o *orders) { o.closed = false })
	case leaveStep:
		a.say("%s does not wait for this standby any more: it is not in step", a.config.Peer)
		return a.note(func(r *Record) { r.InStep = false })
	case yield:
		a.say("%s has taken over: this node stops", a.config.Peer)
		run.leave = true
		return nil
	case copyAnew:
		a.lose(ctx, run, "somebody promoted this standby behind its back")
		return nil
	case dropPrevious:
		return os.RemoveAll(a.volume.previous())
	}
	return fmt.Errorf("no such step")
}

// tellPeer is for what is told while the server is looked after: the peer may be
// busy asking this node something itself, so neither waits for ever.
func (a *agent) tellPeer(ctx context.Context, order string, given any) error {
	ctx, cancel := context.WithTimeout(ctx, 2*peerPatience)
	defer cancel()
	return a.peer.tell(ctx, order, given)
}

// describe says how the server is.
func (a *agent) describe(k keeping) {
	v := k.view
	history, err := a.history(v.timeline)
	if err != nil {
		history = nil // it is being written
	}
	a.publish(func(s *Status) {
		s.Running, s.System, s.Timeline, s.Position, s.Checksums = true, v.system, v.timeline, v.position, v.checksums
		if history != nil || v.timeline == 1 {
			s.History = history
		}
		s.Replication, s.Waiting, s.Durable = v.replication, v.waiting, k.durable()
		s.Degraded = k.record.Strict && k.orders.waitFor == ""
		s.Slot = nil
		if slot, ok := v.slots[slotName(k.config.Peer)]; ok {
			s.Slot = &slot
		}
		s.State, s.Why, s.Fix = state(k)
	})
}

// state puts a running server in a word, what there is to say about it, and what
// to do.
func state(k keeping) (word, why, fix string) {
	other := k.config.Peer
	v := k.view
	if k.record.Role == Standby {
		switch {
		case !v.receiving && k.shutOut != nil:
			return StateCatchingUp, k.shutOut[0], k.shutOut[1]
		case !v.receiving:
			return StateCatchingUp, "nothing comes from " + other, "start " + other + "; if it is gone for good: inmanta-docker db failover"
		case !k.record.InStep:
			return StateFollowing, "not in step yet", ""
		}
		return StateFollowing, "", ""
	}
	word = StateServing
	if k.orders.closed {
		word = StateClosed
	}
	switch {
	case v.trustworthy != "":
		return word, "NOT DURABLE: " + v.trustworthy, "turn it on"
	case k.durable() && !k.orders.closed:
		return word, "", ""
	case k.record.Strict && k.orders.waitFor == "":
		return word, fmt.Sprintf("DEGRADED: %s is away, and commits do not wait for it", other), "start " + other
	case !k.record.Strict:
		return word, fmt.Sprintf("NOT DURABLE YET: %s has not caught up", other), "start " + other + ", and wait"
	case v.replication != nil:
		return word, fmt.Sprintf("commits wait: %s catches up (%d MiB behind)", other, v.replication.LagBytes>>20), ""
	}
	return word, fmt.Sprintf("commits wait: %s is away", other), "start " + other
}
