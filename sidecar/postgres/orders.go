package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// What a node can be asked to do: the first four by its peer, the others by an
// operator.
const (
	orderInStep    = "in-step"
	orderOutOfStep = "out-of-step"
	orderFence     = "fence"
	orderTakeOver  = "take-over"

	orderSwitchover = "switchover"
	orderFailover   = "failover"
	orderReinit     = "reinit"
)

// inStep is what a primary tells its standby: it will not go on without it.
type inStep struct {
	System   string `json:"system"`
	Timeline uint32 `json:"timeline"`
}

// takeOver is what a primary that has stopped leaves to its standby.
type takeOver struct {
	System   string   `json:"system"`
	Timeline uint32   `json:"timeline"`
	End      Position `json:"end"`
}

// Failover is how an operator asks for one.
type Failover struct {
	// Fenced is that whoever asks has made sure that the old primary does not run.
	Fenced bool `json:"fenced"`
	// AcceptLoss promotes a standby that may lack what was acknowledged.
	AcceptLoss bool `json:"accept_loss"`
}

// carryOut does what the agent is asked to; run is nil while no server runs.
func (a *agent) carryOut(ctx context.Context, c command, run *running) error {
	switch c.name {
	case orderInStep:
		return a.enterStep(c.body, run)
	case orderOutOfStep:
		return a.note(func(r *Record) { r.InStep = false })
	case orderFence:
		return a.fence(run)
	case orderTakeOver:
		return a.takeOver(ctx, c.body, run)
	case orderSwitchover:
		return a.switchover(ctx, run)
	case orderFailover:
		return a.failover(ctx, c.body, run)
	case orderReinit:
		return a.reinit(run)
	}
	return refusal("there is no such order")
}

// enterStep is where a standby takes the note that all its primary acknowledges
// is here.
func (a *agent) enterStep(body []byte, run *running) error {
	given, err := orderBody[inStep](body)
	switch {
	case err != nil:
		return err
	case run == nil || a.record.Role != Standby:
		return refusal("it is no standby that runs")
	case given.System != a.record.System:
		return refusal("its cluster is another one")
	case !run.keeping.view.receiving || run.keeping.view.timeline != given.Timeline:
		return refusal("it does not see that it receives the log")
	}
	if a.record.InStep {
		return nil
	}
	a.say("in step: all that %s acknowledges is here", a.config.Peer)
	return a.note(func(r *Record) { r.InStep = true })
}

// fence stops a primary for good: its peer takes over.
func (a *agent) fence(run *running) error {
	if a.record.Role == Primary {
		if err := a.note(func(r *Record) { r.Fenced = a.config.Peer + " was made the primary" }); err != nil {
			return err
		}
	}
	if run != nil {
		run.leave = true
		run.stop(expired())
	}
	return nil
}

// expired is a context that is over: for what is to be done at once.
func expired() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// handoverPatience is how long a primary takes to stop, its log with the standby.
const handoverPatience = 2 * time.Minute

// switchover makes the standby the primary, and this one its standby. Nothing is
// lost: the standby has all of the log before anything is changed for good.
func (a *agent) switchover(ctx context.Context, run *running) error {
	now, _, err := a.peer.status(ctx)
	switch {
	case run == nil || a.record.Role != Primary:
		return refusal("it is not the primary: ask the other node")
	case err != nil:
		return refusal(fmt.Sprintf("%s does not answer: %v; start it first", a.config.Peer, err))
	case !run.keeping.durable() || !now.InStep || now.State != StateFollowing:
		return refusal(fmt.Sprintf("%s is not in step; wait until `inmanta-docker db status` says that it is", a.config.Peer))
	}
	a.say("switchover: %s takes over", a.config.Peer)
	// Most of what is to be written is written while clients are still served.
	if _, err := run.session.query(ctx, "CHECKPOINT"); err != nil {
		return refusal("writing a checkpoint: " + err.Error())
	}
	if err := a.note(func(r *Record) { r.Handover = true }); err != nil {
		return refusal(err.Error())
	}
	run.leave = true
	limited, cancel := context.WithTimeout(ctx, handoverPatience)
	defer cancel()
	a.publish(func(s *Status) { s.State, s.Why, s.Running = StateStopped, "switchover", false })
	run.stop(limited)
	back := func(why string) error {
		if err := a.note(func(r *Record) { r.Handover = false }); err != nil {
			return err
		}
		return refusal(why + "; this node goes on as the primary")
	}
	end, err := control(ctx, &a.nursery, a.config, a.config.Data)
	if err != nil {
		return back(err.Error())
	}
	if !end.clean() {
		return back("the server did not stop in its own time")
	}
	err = a.peer.tell(ctx, orderTakeOver, takeOver{System: end.System, Timeline: end.Timeline, End: end.end()})
	var refused refusal
	switch {
	case errors.As(err, &refused):
		return back(fmt.Sprintf("%s does not take over: %s", a.config.Peer, refused))
	case err != nil:
		// The record says that it does not know; it finds out before it goes on.
		return fmt.Errorf("%s does not say whether it took over: %w", a.config.Peer, err)
	}
	return nil
}

// takeOver is the standby's part in a switchover.
func (a *agent) takeOver(ctx context.Context, body []byte, run *running) error {
	given, err := orderBody[takeOver](body)
	switch {
	case err != nil:
		return err
	case run == nil || a.record.Role != Standby || run.session == nil:
		return refusal("it is no standby that runs")
	case given.System != a.record.System:
		return refusal("its cluster is another one")
	case !a.record.InStep:
		return refusal("it is not in step")
	}
	v, err := a.look(ctx, run)
	if err != nil {
		return refusal(err.Error())
	}
	if v.timeline != given.Timeline || v.position < given.End {
		return refusal(fmt.Sprintf("it has timeline %d up to %s, and the primary ended at timeline %d, %s", v.timeline, v.position, given.Timeline, given.End))
	}
	return a.becomePrimary(ctx, run)
}

// failover makes a standby the primary whose primary is gone.
func (a *agent) failover(ctx context.Context, body []byte, run *running) error {
	given, err := orderBody[Failover](body)
	if err != nil {
		return err
	}
	other := a.config.Peer
	if run == nil || a.record.Role != Standby || run.session == nil {
		return refusal("it is no standby that runs: " + a.Status().State)
	}
	if !a.record.InStep && !given.AcceptLoss {
		return refusal(fmt.Sprintf("this standby has no note that it has all that %s acknowledged: promoting it may lose writes. "+
			"Start %s if there is any way to; only if it is gone for good, and what it may have more is to be given up, add --accept-data-loss", other, other))
	}
	// Asked again, now: what was said last may be from before.
	switch now, _, err := a.peer.status(ctx); {
	case err == nil && now.Role == Primary && now.Running:
		return refusal(fmt.Sprintf("%s runs as the primary: use `inmanta-docker db switchover`, which loses nothing", other))
	case err == nil:
		if err := a.tellPeer(ctx, orderFence, nil); err != nil {
			return refusal(fmt.Sprintf("%s could not be fenced: %v", other, err))
		}
	case !given.Fenced:
		return refusal(fmt.Sprintf("%s does not answer (%v), and may be alive all the same: make sure that it is not, then add --primary-is-dead", other, err))
	}
	v, err := a.look(ctx, run)
	if err != nil {
		return refusal(err.Error())
	}
	if v.receiving {
		return refusal(fmt.Sprintf("%s still sends its log: it is alive", other))
	}
	a.say("failover: %s is gone, this node takes over", other)
	return a.becomePrimary(ctx, run)
}

// promotionPatience is how long a server may take from standby to primary: it
// replays what it has received first.
const promotionPatience = 10 * time.Minute

// becomePrimary promotes the server that runs as a standby. The role is noted
// first: a node that is cut short goes on with it at its next start. Commits
// wait for the peer from the first on.
func (a *agent) becomePrimary(ctx context.Context, run *running) error {
	a.publish(func(s *Status) { s.State, s.Why, s.Fix = StatePromoting, "", "" })
	if run.session == nil || run.session.conn.IsClosed() {
		var err error
		if run.session, err = connect(ctx, a.config.Superuser); err != nil {
			return err
		}
	}
	if err := a.note(func(r *Record) { r.Role, r.InStep, r.Strict, r.PeerInStep = Primary, false, true, false }); err != nil {
		return err
	}
	if err := a.tell(run, func(o *orders) { o.waitFor, o.follow, o.closed, o.source = a.config.Peer, false, false, a.source(ctx) }); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, promotionPatience)
	defer cancel()
	if _, err := run.session.query(limited, fmt.Sprintf("SELECT pg_promote(true, %d)", int(promotionPatience.Seconds()))); err != nil {
		return err
	}
	v, err := a.look(ctx, run)
	if err != nil {
		return err
	}
	if v.recovering {
		return errors.New("the server did not become a primary")
	}
	run.keeping, run.streamed = keeping{start: v.position}, time.Now()
	if err := a.meet(ctx, run); err != nil {
		return err
	}
	a.say("this node is the primary, of timeline %d; commits wait for %s", v.timeline, a.config.Peer)
	_, err = a.attend(ctx, run)
	if err != nil {
		a.fail("looking after the server: " + err.Error())
	}
	// The previous cluster, if any, was kept for a standby that was not in step.
	return os.RemoveAll(a.volume.previous())
}

// reinit has this node copied anew.
func (a *agent) reinit(run *running) error {
	if a.record.Role == Primary && run != nil {
		return refusal("this node is the primary: its data is what the other one is copied from")
	}
	other := a.peerStatus()
	if other == nil || other.Role != Primary || !other.Running {
		return refusal(fmt.Sprintf("%s is no running primary: there is nothing to copy from", a.config.Peer))
	}
	// Said now, while the standby that there is goes on.
	room, err := a.volume.room()
	if err != nil {
		return err
	}
	if d := (situation{config: a.config, peer: other, room: room}).copyOf("it was asked for"); d.action == refuse {
		return refusal(d.why + "; " + d.fix)
	}
	if a.volume.hasCluster() {
		if err := a.note(func(r *Record) {
			*r = Record{Node: a.config.Node, Role: Standby, System: r.System, Reinit: true}
		}); err != nil {
			return err
		}
	}
	if run != nil {
		run.leave = true
	}
	return nil
}
