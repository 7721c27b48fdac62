package postgres

import (
	"fmt"
	"strings"
	"time"
)

// keeping is what a node with a running server goes by.
type keeping struct {
	config Config
	record Record
	orders orders
	view   view
	peer   *Status
	// start is where the log ended when this server started.
	start Position
	// named is where it ended when it was first seen to wait for the standby; 0
	// while it does not.
	named Position
	// away is since when no standby streams.
	away time.Duration
	// unheeded is how often the server was seen not to do as it was told.
	unheeded int
	// shutOut is why the primary does not let this standby in, and what to do; nil
	// where it is not known to be so.
	shutOut *[2]string
}

// step is one thing to change; the server is looked at again after it.
type step string

const (
	makeSlot     step = "make the standby's slot"
	dropSlots    step = "drop slots that are not the standby's"
	awaitStandby step = "wait for the standby with every commit"
	awaitNobody  step = "wait for nobody"
	insist       step = "take back settings that were changed behind this"
	becomeStrict step = "never go on without the standby again"
	tellInStep   step = "tell the standby that it is in step"
	revokeInStep step = "have the standby give back its note"
	forgetInStep step = "note that the standby has given it back"
	openDoors    step = "let clients in"
	leaveStep    step = "give up the note"
	yield        step = "make room for a peer that has taken over"
	copyAnew     step = "be copied anew: it was promoted behind this"
	dropPrevious step = "remove the cluster that a copy took the place of"
)

// degradedAfter is how long a standby may be away before commits stop waiting
// for it, where that was chosen.
const degradedAfter = 10 * time.Second

// closeEnough is how far a standby may be behind, in bytes, when commits begin
// to wait for it.
const closeEnough = 16 << 20

// names is what the server makes of a standby to wait for.
func names(waitFor string) string {
	if waitFor == "" {
		return ""
	}
	return fmt.Sprintf(`FIRST 1 ("%s")`, waitFor)
}

// synced is that commits wait for the standby, which answers.
func (k keeping) synced() bool {
	r := k.view.replication
	return r != nil && r.State == "streaming" && r.Sync == "sync" && k.view.names == names(k.config.Peer)
}

// durable is that whatever is acknowledged from now on is stored by both.
func (k keeping) durable() bool {
	return k.record.Role == Primary && k.record.Strict && k.synced() && k.view.trustworthy == ""
}

// keepPrimary says what a primary is to do next.
func keepPrimary(k keeping) []step {
	if p := k.peer; p != nil && p.Role == Primary && p.System == k.view.system && p.Timeline > k.view.timeline {
		return []step{yield}
	}
	var steps []step
	add := func(s step, when bool) {
		if when {
			steps = append(steps, s)
		}
	}
	mine := slotName(k.config.Peer)
	slot, has := k.view.slots[mine]
	others := len(k.view.slots)
	if has {
		others--
	}
	add(dropSlots, others > 0 && k.foreignSlots() || has && slot.State == "lost" && !slot.Active)
	add(makeSlot, !has)

	r := k.view.replication
	streaming := r != nil && r.State == "streaming"
	want := k.orders.waitFor
	switch {
	case k.record.Strict && !(k.config.Degrade && !k.record.PeerInStep):
		want = k.config.Peer
	case streaming && r.LagBytes < closeEnough:
		want = k.config.Peer
	case k.record.Strict && k.away < degradedAfter:
		// It may only have blinked.
	default:
		want = ""
	}
	add(awaitStandby, want != "" && k.orders.waitFor != want)
	add(awaitNobody, want == "" && k.orders.waitFor != want)
	add(insist, k.unheeded >= 2)

	ready := k.synced() && k.named > 0 && r.Flushed >= k.named
	add(becomeStrict, !k.record.Strict && ready)
	told := k.peer != nil && k.peer.Role == Standby
	caught := ready && r.Flushed >= k.start
	add(tellInStep, k.record.Strict && !k.config.Degrade && caught && told && !(k.peer.InStep && k.record.PeerInStep))
	add(revokeInStep, k.record.Strict && k.config.Degrade && k.record.PeerInStep && told)
	add(forgetInStep, !k.record.Strict && k.record.PeerInStep && told && !k.peer.InStep)
	add(openDoors, k.orders.closed && (caught || want == ""))
	return steps
}

// foreignSlots says whether there are slots that this package made for other
// times: an operator's own are left alone.
func (k keeping) foreignSlots() bool {
	_, own := k.view.slots[slotName(k.config.Node)]
	return own
}

// keepStandby says what a standby is to do next.
func keepStandby(k keeping, previous bool) []step {
	if !k.view.recovering {
		return []step{copyAnew}
	}
	var steps []step
	if k.foreignSlots() || len(k.view.slots) > 0 && has(k.view.slots, slotName(k.config.Peer)) {
		// A slot that nobody reads from here keeps the log, and dead rows, for good.
		steps = append(steps, dropSlots)
	}
	if k.record.InStep && k.peer != nil && k.peer.Role == Primary && k.peer.Running && !k.peer.Strict {
		steps = append(steps, leaveStep)
	}
	if k.record.InStep && previous {
		steps = append(steps, dropPrevious)
	}
	return steps
}

func has(slots map[string]Slot, name string) bool { _, ok := slots[name]; return ok }

// atStart are the orders that a server is started with.
func atStart(c Config, r Record) orders {
	if r.Role != Primary {
		// A standby waits for nobody. One that somebody promotes behind this would,
		// until that is seen, acknowledge what is thrown away then.
		return orders{follow: true, waitFor: c.Peer, tls: c.Certificates != nil}
	}
	o := orders{tls: c.Certificates != nil}
	if r.Strict {
		// From the first moment on: whoever is in before that could be told
		// something that the standby does not have.
		o.waitFor, o.closed = c.Peer, true
	}
	return o
}

// lost says whether a line of a standby's log means that it cannot go on from
// where it is, and why.
func lost(line string) (why string, is bool) {
	switch {
	case strings.Contains(line, "requested WAL segment") && strings.Contains(line, "has already been removed"):
		return "the primary has not kept what this standby needs next", true
	case strings.Contains(line, "can no longer get changes from replication slot"),
		strings.Contains(line, "cannot read from replication slot") && strings.Contains(line, "invalidated"),
		strings.Contains(line, "This replication slot has been invalidated"),
		strings.Contains(line, "This slot has been invalidated"):
		return "the primary has given up what it kept for this standby", true
	case strings.Contains(line, "forked off current database system timeline"),
		strings.Contains(line, "is behind recovery timeline"):
		return "this standby holds what the primary does not", true
	}
	return "", false
}
