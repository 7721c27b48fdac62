package postgres

import (
	"slices"
	"testing"
	"time"
)

// primaryWith is a primary in step with its standby, as far as change leaves it.
func primaryWith(change func(*keeping)) keeping {
	k := keeping{
		config: Config{Node: FirstNode, Peer: SecondNode},
		record: Record{Node: FirstNode, Role: Primary, System: ours, Strict: true, PeerInStep: true},
		orders: orders{waitFor: SecondNode},
		view: view{
			system: ours, timeline: 1, position: 1000, names: names(SecondNode),
			replication: &Replication{State: "streaming", Sync: "sync", Flushed: 1000},
			slots:       map[string]Slot{"db_replica": {State: "reserved", Active: true}},
		},
		peer:  &Status{Node: SecondNode, Role: Standby, System: ours, Timeline: 1, Running: true, InStep: true},
		start: 900, named: 900,
	}
	change(&k)
	return k
}

type keepingTest struct {
	name   string
	change func(*keeping)
	want   []step
}

// keepings are how a primary may be, and what it does then.
func keepings() []keepingTest {
	away := func(k *keeping) { k.view.replication, k.peer, k.away = nil, nil, time.Hour }
	forming := func(k *keeping) { k.record.Strict, k.record.PeerInStep, k.peer.InStep = false, false, false }
	return []keepingTest{
		{"in step", func(*keeping) {}, nil},
		{"the standby is away: commits wait", away, nil},
		{"just started: closed until the standby has what was there", func(k *keeping) { k.orders.closed = true; k.view.replication.Flushed = 899 }, nil},
		{"just started: it was seen to wait before the log that is there ended", func(k *keeping) { k.orders.closed = true; k.start, k.view.replication.Flushed = 950, 949 }, nil},
		{"just started, and the standby has it", func(k *keeping) { k.orders.closed = true }, []step{openDoors}},
		{"just started, without a standby", func(k *keeping) { away(k); k.orders.closed = true }, nil},
		{"not formed, no standby", func(k *keeping) { forming(k); away(k); k.orders.waitFor, k.view.names = "", "" }, nil},
		{"not formed, the standby is close", func(k *keeping) {
			forming(k)
			k.orders.waitFor, k.view.names = "", ""
			k.view.replication.Sync = "async"
		}, []step{awaitStandby}},
		{"not formed, the standby is far", func(k *keeping) {
			forming(k)
			k.orders.waitFor, k.view.names = "", ""
			k.view.replication.Sync, k.view.replication.LagBytes = "async", 1<<30
		}, nil},
		{"not formed, the standby went away again", func(k *keeping) { forming(k); away(k) }, []step{awaitNobody}},
		{"forming", forming, []step{becomeStrict}},
		{"forming, the standby has not all yet", func(k *keeping) { forming(k); k.view.replication.Flushed = 899 }, nil},
		{"formed, the standby does not know", func(k *keeping) { k.peer.InStep, k.record.PeerInStep = false, false }, []step{tellInStep}},
		{"formed, the standby does not know and is not heard of", func(k *keeping) { k.record.PeerInStep, k.peer = false, nil }, nil},
		{"no slot", func(k *keeping) { k.view.slots = nil }, []step{makeSlot}},
		{"the slot is lost", func(k *keeping) { k.view.slots["db_replica"] = Slot{State: "lost"} }, []step{dropSlots}},
		{"a slot from when it was the standby", func(k *keeping) { k.view.slots["db"] = Slot{State: "reserved"} }, []step{dropSlots}},
		{"an operator's own slot", func(k *keeping) { k.view.slots["backup"] = Slot{State: "reserved"} }, nil},
		{"somebody cleared the names", func(k *keeping) { k.view.names = ""; k.unheeded = 2 }, []step{insist}},
		{"the names are on their way", func(k *keeping) { k.view.names = ""; k.unheeded = 1 }, nil},
		{"the peer has taken over", func(k *keeping) { k.peer.Role, k.peer.Timeline = Primary, 2 }, []step{yield}},
		{"somebody promoted the standby", func(k *keeping) { k.peer.Timeline = 2 }, nil},

		{"degrading is chosen, but the standby holds the note", func(k *keeping) { away(k); k.config.Degrade = true }, nil},
		{"degrading is chosen, the standby is asked for the note", func(k *keeping) { k.config.Degrade = true }, []step{revokeInStep}},
		{"degrading, the standby blinks", func(k *keeping) { away(k); k.config.Degrade, k.record.PeerInStep, k.away = true, false, time.Second }, nil},
		{"degrading, the standby is gone", func(k *keeping) { away(k); k.config.Degrade, k.record.PeerInStep = true, false }, []step{awaitNobody}},
		{"degraded, the standby is back", func(k *keeping) {
			k.config.Degrade, k.record.PeerInStep, k.peer.InStep = true, false, false
			k.orders.waitFor, k.view.names = "", ""
			k.view.replication.Sync = "async"
		}, []step{awaitStandby}},
	}
}

func TestKeepPrimary(t *testing.T) {
	t.Parallel()
	for _, test := range keepings() {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := keepPrimary(primaryWith(test.change)); !slices.Equal(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// Whatever else is so: who has promised not to go on alone does not.
func TestStrictPrimaryNeverWaitsForNobody(t *testing.T) {
	t.Parallel()
	for bits := range 1 << 8 {
		is := func(i int) bool { return bits&(1<<i) != 0 }
		k := primaryWith(func(k *keeping) {
			k.config.Degrade = is(0)
			if is(1) {
				k.view.replication = nil
			}
			if is(2) {
				k.peer = nil
			}
			if is(3) {
				k.orders.waitFor = ""
			}
			k.orders.closed = is(4)
			if is(5) {
				k.away = time.Hour
			}
			if is(6) {
				k.view.names = ""
			}
			if is(7) {
				k.peer = &Status{Node: SecondNode, Role: Standby, System: ours, Timeline: 1}
			}
		})
		steps := keepPrimary(k)
		if slices.Contains(steps, awaitNobody) {
			t.Fatalf("it goes on alone although its standby may believe otherwise: %+v", k)
		}
		if slices.Contains(steps, openDoors) && !k.synced() {
			t.Fatalf("it lets clients in although its standby has not what they may read: %+v", k)
		}
		if slices.Contains(steps, tellInStep) && k.config.Degrade {
			t.Fatalf("it gives a promise that it may not keep: %+v", k)
		}
	}
}

func TestKeepStandby(t *testing.T) {
	t.Parallel()
	standby := func(change func(*keeping)) keeping {
		k := keeping{
			config: Config{Node: SecondNode, Peer: FirstNode}, record: Record{Role: Standby, InStep: true},
			view: view{recovering: true, receiving: true}, peer: &Status{Node: FirstNode, Role: Primary, Running: true, Strict: true},
		}
		change(&k)
		return k
	}
	tests := []struct {
		name     string
		change   func(*keeping)
		previous bool
		want     []step
	}{
		{"in step", func(*keeping) {}, false, nil},
		{"its primary is away", func(k *keeping) { k.peer, k.view.receiving = nil, false }, false, nil},
		{"its primary goes on without it", func(k *keeping) { k.peer.Strict = false }, false, []step{leaveStep}},
		{"in step again, after a copy", func(*keeping) {}, true, []step{dropPrevious}},
		{"not in step yet, after a copy", func(k *keeping) { k.record.InStep = false }, true, nil},
		{"a slot from when it was primary", func(k *keeping) { k.view.slots = map[string]Slot{"db": {}} }, false, []step{dropSlots}},
		{"somebody promoted it", func(k *keeping) { k.view.recovering = false }, false, []step{copyAnew}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := keepStandby(standby(test.change), test.previous); !slices.Equal(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestState(t *testing.T) {
	t.Parallel()
	away := func(k *keeping) { k.view.replication = nil }
	tests := []struct {
		name, word, why string
		change          func(*keeping)
		well            bool
	}{
		{"in step", StateServing, "", func(*keeping) {}, true},
		{"alone", StateServing, "commits wait: db-replica is away", away, false},
		{"alone at its start", StateClosed, "commits wait: db-replica is away", func(k *keeping) { away(k); k.orders.closed = true }, false},
		{"not formed", StateServing, "NOT DURABLE YET: db-replica has not caught up", func(k *keeping) { away(k); k.record.Strict = false }, true},
		{"degraded", StateServing, "DEGRADED: db-replica is away, and commits do not wait for it", func(k *keeping) { away(k); k.orders.waitFor = "" }, true},
		{"fsync is off", StateServing, "NOT DURABLE: fsync is off", func(k *keeping) { k.view.trustworthy = "fsync is off" }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			k := primaryWith(test.change)
			word, why, fix := state(k)
			if word != test.word || why != test.why || why != "" && fix == "" {
				t.Errorf("%s: %s (%s), want %s: %s", word, why, fix, test.word, test.why)
			}
			s := Status{Role: Primary, State: word, Why: why, Fix: fix, Durable: k.durable(), Strict: k.record.Strict, Degraded: k.record.Strict && k.orders.waitFor == ""}
			if well, sentence := wellness(s); well != test.well {
				t.Errorf("well: %v, %s", well, sentence)
			}
		})
	}
}

func TestLost(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"FATAL:  could not receive data from WAL stream: ERROR:  requested WAL segment 000000010000000000000003 has already been removed":                      true,
		`FATAL:  could not start WAL streaming: ERROR:  can no longer get changes from replication slot "db_replica"`:                                          true,
		"LOG:  new timeline 3 forked off current database system timeline 2 before current recovery point 0/3001D98":                                           true,
		"FATAL:  highest timeline 1 of the primary is behind recovery timeline 2":                                                                              true,
		`FATAL:  streaming replication receiver "db-replica" could not connect to the primary server: connection to server at "db" failed: Connection refused`: false,
		"LOG:  started streaming WAL from primary at 0/3000000 on timeline 1":                                                                                  false,
	} {
		if _, is := lost(line); is != want {
			t.Errorf("%v for %s", is, line)
		}
	}
}

// Whatever a server becomes, it acknowledges nothing alone: not a standby that
// somebody promotes behind the agent, nor a primary that has just started.
func TestAServerStartsWithSomebodyToWaitFor(t *testing.T) {
	t.Parallel()
	c := Config{Node: FirstNode, Peer: SecondNode}
	for _, r := range []Record{{Role: Standby}, {Role: Primary, Strict: true}} {
		if o := atStart(c, r); o.waitFor != SecondNode {
			t.Errorf("a %s starts with commits that wait for %q", r.Role, o.waitFor)
		} else if o.closed != r.Strict {
			t.Errorf("a %s lets clients in before its standby has what they read: %t", r.Role, !o.closed)
		}
	}
	// One that has never had a standby would wait for good.
	if o := atStart(c, Record{Role: Primary}); o.waitFor != "" || o.closed {
		t.Errorf("a primary that never had a standby waits for %q, closed: %t", o.waitFor, o.closed)
	}
}
