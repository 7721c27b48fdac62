package postgres

import (
	"strings"
	"testing"
)

// A cluster of this system is what the tests are about; strangers are others.
const ours, strangers = "7000000000000000001", "7000000000000000002"

// node is a situation with a cluster of ours.
func node(name string, r Record) situation {
	peers := map[string]string{FirstNode: SecondNode, SecondNode: FirstNode}
	if r.Role != "" && r.Node == "" {
		r.Node = name
	}
	return situation{
		config:  Config{Node: name, Peer: peers[name], Major: "17"},
		cluster: true, version: "17", control: controlData{System: ours, State: "in production", Timeline: 1, Checkpoint: 100},
		record: r, known: r.Node != "", room: 1 << 40,
	}
}

func empty(name string) situation {
	s := node(name, Record{})
	s.cluster = false
	return s
}

// seen is what a peer says, whose cluster is ours.
func seen(name string, role Role, timeline uint32, running bool) *Status {
	return &Status{Node: name, Role: role, Version: "17", System: ours, Timeline: timeline, Running: running, Position: 1000}
}

func with(s situation, peer *Status) situation { s.peer = peer; return s }

func but(s situation, change func(*situation)) situation { change(&s); return s }

type decisionTest struct {
	name string
	s    situation
	want action
	says string
}

// decisions are situations, what is to be done in each, and what is said of it.
func decisions() []decisionTest {
	primary, standby := Record{Role: Primary, Strict: true}, Record{Role: Standby, InStep: true}
	nothing := &Status{Node: SecondNode, Empty: true, Version: "17"}
	branched := func(s *Status) *Status { s.History = []Branch{{1, 500}}; return s }
	clean := func(s *situation) { s.control.State = "shut down" }
	return []decisionTest{
		// A new cluster is made when nobody has one, and only then.
		{"both empty", with(empty(FirstNode), nothing), initialise, ""},
		{"both empty, the other node", with(empty(SecondNode), &Status{Node: FirstNode, Empty: true, Version: "17"}), wait, "makes the cluster"},
		{"empty, the peer unknown", empty(FirstNode), wait, "only made when that one has none"},
		{"replica empty, the peer unknown", empty(SecondNode), wait, "does not answer"},
		{"both have only just started", with(empty(SecondNode), &Status{Node: FirstNode, State: StateStarting, Version: "17"}), wait, "does not say yet"},
		{"the primary's volume is gone, the standby has the data", with(empty(FirstNode), seen(SecondNode, Standby, 1, true)), refuse, "has the data as a standby"},
		{"the primary's volume is gone, the other is primary", with(empty(FirstNode), seen(SecondNode, Primary, 2, true)), copyPeer, ""},
		{"a standby to be", with(empty(SecondNode), seen(FirstNode, Primary, 1, true)), copyPeer, ""},
		{"a standby to be, whose primary is not up", with(empty(SecondNode), seen(FirstNode, Primary, 1, false)), wait, "not up yet"},

		// A single database becomes the primary.
		{"adopted", node(FirstNode, Record{}), startPrimary, ""},
		{"adopted, the peer empty", with(node(FirstNode, Record{}), nothing), startPrimary, ""},
		{"a cluster of unknown origin on the replica", node(SecondNode, Record{}), wait, "unknown origin"},
		{"a stranger's cluster on the replica", with(but(node(SecondNode, Record{}), func(s *situation) { s.control.System = strangers }), seen(FirstNode, Primary, 1, true)), refuse, "another cluster"},
		{"a copy of the primary's on the replica", with(node(SecondNode, Record{}), seen(FirstNode, Primary, 1, true)), refuse, "holds a primary's cluster"},

		// A primary goes on as one, unless its peer has taken over.
		{"primary", with(node(FirstNode, primary), seen(SecondNode, Standby, 1, true)), startPrimary, ""},
		{"primary, the peer unknown", node(FirstNode, primary), startPrimary, ""},
		{"taken over after a crash", with(node(FirstNode, primary), branched(seen(SecondNode, Primary, 2, true))), copyPeer, "has taken over"},
		{"taken over after a crash, by one that is not up", with(node(FirstNode, primary), branched(seen(SecondNode, Primary, 2, false))), wait, "taken over"},
		{"taken over in its own time", with(but(node(FirstNode, primary), clean), branched(seen(SecondNode, Primary, 2, true))), startStandby, ""},
		{"taken over in its own time, with more than the other has", with(but(node(FirstNode, primary), func(s *situation) { clean(s); s.control.Checkpoint = 500 }), branched(seen(SecondNode, Primary, 2, true))), copyPeer, ""},
		{"two primaries", with(node(FirstNode, primary), seen(SecondNode, Primary, 1, true)), refuse, "same timeline"},
		{"the other was overtaken", with(but(node(FirstNode, primary), func(s *situation) { s.control.Timeline = 3 }), seen(SecondNode, Primary, 2, true)), startPrimary, ""},
		{"fenced", with(node(FirstNode, Record{Role: Primary, Fenced: "db-replica was made the primary"}), nil), refuse, "fenced"},
		{"fenced, and the other is up", with(node(FirstNode, Record{Role: Primary, Fenced: "x"}), branched(seen(SecondNode, Primary, 2, true))), copyPeer, ""},
		{"a handover that nobody knows the end of", node(FirstNode, Record{Role: Primary, Handover: true}), wait, "does not say whether it has"},
		{"a handover in the middle", with(node(FirstNode, Record{Role: Primary, Handover: true}), &Status{Node: SecondNode, Version: "17", System: ours, Role: Primary, Timeline: 1, State: StatePromoting}), wait, ""},
		{"a handover that did not come about", with(node(FirstNode, Record{Role: Primary, Handover: true}), seen(SecondNode, Standby, 1, true)), startPrimary, ""},
		{"a promotion that was cut short", with(but(node(SecondNode, primary), func(s *situation) { s.signal = true }), nil), promote, ""},

		// A standby follows, unless it holds what its primary does not.
		{"standby", with(node(SecondNode, standby), seen(FirstNode, Primary, 1, true)), startStandby, ""},
		{"standby, the peer unknown", node(SecondNode, standby), startStandby, ""},
		{"standby of a newer timeline", with(node(SecondNode, standby), branched(seen(FirstNode, Primary, 2, true))), startStandby, ""},
		{"standby beyond the fork", with(but(node(SecondNode, standby), func(s *situation) { s.control.RecoveryEnd = 501 }), branched(seen(FirstNode, Primary, 2, true))), copyPeer, "holds what db does not"},
		{"standby of a timeline of its own", with(but(node(SecondNode, standby), func(s *situation) { s.control.Timeline = 5 }), seen(FirstNode, Primary, 1, true)), copyPeer, ""},
		{"standby of strangers", with(node(SecondNode, standby), &Status{Node: FirstNode, Version: "17", System: strangers, Role: Primary}), refuse, "another cluster"},
		{"to be copied anew", with(node(SecondNode, Record{Role: Standby, Reinit: true}), seen(FirstNode, Primary, 1, true)), copyPeer, "asked for"},
		{"to be copied anew, from nobody", node(SecondNode, Record{Role: Standby, Reinit: true}), startStandby, ""},

		// What cannot be.
		{"another node's volume", node(FirstNode, Record{Node: SecondNode, Role: Standby}), refuse, "volume of db-replica"},
		{"another major version's data", but(node(FirstNode, primary), func(s *situation) { s.version = "16" }), refuse, "made by PostgreSQL 16"},
		{"a peer of another major version", with(node(FirstNode, primary), &Status{Node: SecondNode, Version: "16"}), refuse, "runs PostgreSQL 16"},
		{"a peer that is itself", with(node(FirstNode, primary), seen(FirstNode, Primary, 1, true)), refuse, "calls itself db"},
		{"no room", but(with(empty(SecondNode), &Status{Node: FirstNode, Role: Primary, Version: "17", Running: true, SizeBytes: 5 << 30}), func(s *situation) { s.room = 5 << 30 }), refuse, "no room"},
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	for _, test := range decisions() {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := decide(test.s)
			if got.action != test.want || !strings.Contains(got.why, test.says) {
				t.Errorf("%s (%s), want %s (%s)", got.action, got.why, test.want, test.says)
			}
			if got.action == refuse && (got.why == "" || got.fix == "") {
				t.Errorf("refused without a reason or a way out: %+v", got)
			}
		})
	}
}

// What makes or replaces a cluster is safe whatever the rest of the situation is.
func TestDecideNeverDestroys(t *testing.T) {
	t.Parallel()
	roles := []Role{"", Primary, Standby}
	for _, name := range []string{FirstNode, SecondNode} {
		for _, role := range roles {
			for bits := range 1 << 6 {
				is := func(i int) bool { return bits&(1<<i) != 0 }
				s := node(name, Record{Role: role})
				s.signal, s.alone, s.record.Handover = is(0), is(1), is(2) && role == Primary
				for _, peerRole := range roles {
					for timeline := uint32(1); timeline <= 3; timeline++ {
						s.peer = seen(s.config.Peer, peerRole, timeline, is(3))
						s.control.Timeline = 2
						if is(4) {
							s.peer.System = strangers
						}
						if is(5) {
							s.peer = nil
						}
						switch d := decide(s); {
						case d.action == initialise:
							t.Fatalf("a cluster is there, and a new one is made: %+v", s)
						case d.action == copyPeer && (s.peer == nil || !s.peer.Running || s.peer.Role != Primary || s.peer.System != ours):
							t.Fatalf("copied from %+v: %+v", s.peer, s)
						case d.action == startPrimary && s.peer != nil && s.peer.Role == Primary && s.peer.System == ours && s.peer.Timeline >= s.control.Timeline:
							t.Fatalf("primary beside %+v: %+v", s.peer, s)
						}
					}
				}
			}
		}
	}
}
