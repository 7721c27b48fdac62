package pair

import (
	"strings"
	"testing"
)

// Two nodes, as they are when all is well.
func primary(name string) Node {
	return Node{Name: name, Container: "inmanta-" + name, ContainerState: "running", Answers: true, Said: Said{
		Role: Primary, State: Serving, Running: true, Strict: true, Durable: true, System: "1", Timeline: 2, Position: "0/5000060",
		Replication: &Replication{State: "streaming", Sync: "sync"},
	}}
}

func standby(name string) Node {
	return Node{Name: name, Container: "inmanta-" + name, ContainerState: "running", Answers: true, Said: Said{
		Role: Standby, State: Following, Running: true, InStep: true, System: "1", Timeline: 2, Position: "0/5000060",
	}}
}

func downed(name string) Node {
	return Node{Name: name, Container: "inmanta-" + name, ContainerState: "exited"}
}

func elsewhere(n Node) Node { n.ContainerState, n.Container = Elsewhere, ""; return n }

func (n Node) with(change func(*Node)) Node { change(&n); return n }

// alone is a primary whose standby is away.
func alone(name string) Node {
	return primary(name).with(func(n *Node) { n.Durable, n.Replication, n.Why = false, nil, "commits wait: the other is away" })
}

func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		a, b    Node
		durable bool
		primary string
		verdict string
		fix     string
	}{
		"all well":               {primary("db"), standby("db-replica"), true, "db", "durable: every commit is stored by both", ""},
		"the other way":          {standby("db"), primary("db-replica"), true, "db-replica", "durable: every commit is stored by both", ""},
		"standby down":           {alone("db"), downed("db-replica"), false, "db", "commits wait: db-replica is down: its container is exited", rejoin},
		"standby absent":         {alone("db"), Node{Name: "db-replica", ContainerState: Absent}, false, "db", "commits wait: db-replica is down: it has no container", rejoin},
		"standby only just down": {primary("db"), downed("db-replica"), false, "db", "commits wait: db-replica is down", rejoin},
		"standby silent": {
			primary("db"), downed("db-replica").with(func(n *Node) { n.ContainerState, n.Error = "running", "it does not answer" }),
			true, "db", "durable", "",
		},
		"standby copying": {
			alone("db"), standby("db-replica").with(func(n *Node) { n.State, n.Why, n.Running = Copying, "it was asked for; 43% are here", false }),
			false, "db", "commits wait: db-replica is copying (43 %)", "wait for it",
		},
		"standby refuses": {
			alone("db"), standby("db-replica").with(func(n *Node) { n.State, n.Why, n.Fix, n.Running = Refusing, "no room", "make room", false }),
			false, "db", "commits wait: db-replica is refusing: no room", "make room",
		},
		"standby behind": {
			primary("db").with(func(n *Node) { n.Durable, n.Replication = false, &Replication{State: "catchup", LagBytes: 9 << 20} }), standby("db-replica"),
			false, "db", "commits wait: db-replica catches up (9 MiB behind)", "wait",
		},
		"closed": {
			primary("db").with(func(n *Node) { n.State = "closed" }), standby("db-replica"),
			false, "db", "commits wait: db-replica catches up", "wait",
		},
		"not yet": {
			alone("db").with(func(n *Node) { n.Strict = false }), standby("db-replica").with(func(n *Node) { n.InStep = false }),
			false, "db", "NOT DURABLE YET: commits are stored by db alone: db-replica catches up", "wait",
		},
		"not at all": {
			alone("db").with(func(n *Node) { n.Why, n.Fix = "NOT DURABLE: fsync is off", "turn it on" }), standby("db-replica"),
			false, "db", "NOT DURABLE: fsync is off", "turn it on",
		},
		"degraded": {
			alone("db").with(func(n *Node) { n.Degraded = true }), downed("db-replica"),
			false, "db", "DEGRADED: commits are stored by db alone, and are lost with it: db-replica is down", rejoin,
		},
		"primary gone": {downed("db"), standby("db-replica"), false, "", "NO PRIMARY: nothing can be written: db is down", "only if it is gone for good: " + failover},
		"primary silent": {
			downed("db").with(func(n *Node) { n.ContainerState, n.Error = "paused", "" }), standby("db-replica"),
			false, "", "NO PRIMARY: nothing can be written: db is down: its container is paused", failover,
		},
		"primary fenced": {
			alone("db").with(func(n *Node) { n.State, n.Why, n.Fix, n.Running = Refusing, "fenced", "start db-replica", false }), downed("db-replica"),
			false, "", "NO PRIMARY: nothing can be written: db is refusing: fenced", rejoin,
		},
		"primary recovers": {
			alone("db").with(func(n *Node) { n.State, n.Why, n.Running = "recovering", "", false }), standby("db-replica"),
			false, "", "NO PRIMARY: nothing can be written: db is recovering", "",
		},
		"both follow": {standby("db"), standby("db-replica"), false, "", "NO PRIMARY: nothing can be written: both only follow", failover},
		"both lead": {
			primary("db"), primary("db-replica").with(func(n *Node) { n.Timeline = 3 }),
			false, "db-replica", "commits wait: db-replica has taken over from db", "",
		},
		"both lead, of one timeline": {primary("db"), primary("db-replica"), false, "", "both call themselves the primary", "decide which"},
		"two machines":               {primary("db"), elsewhere(standby("db-replica")), true, "db", "durable: every commit is stored by both", ""},
		"the other machine away": {
			alone("db"), Node{Name: "db-replica", ContainerState: Elsewhere},
			false, "db", "commits wait: db-replica is out of sight", "start db-replica on its machine",
		},
		"the first machine away": {
			Node{Name: "db", ContainerState: Elsewhere}, standby("db-replica"),
			false, "", "NO PRIMARY in sight", "start db on its machine",
		},
		"new, and the other machine away": {
			Node{Name: "db", ContainerState: "running", Answers: true, Said: Said{State: "waiting", Why: "the volume is empty", Fix: "start db-replica"}}, Node{Name: "db-replica", ContainerState: Elsewhere},
			false, "", "NO PRIMARY: nothing can be written: db is waiting: the volume is empty", "start db-replica on its machine",
		},
		"both down": {downed("db"), downed("db-replica"), false, "", "both databases are down", "inmanta-docker up"},
	} {
		t.Run(name, func(t *testing.T) {
			s := Judge([]Node{c.a, c.b})
			if s.Durable != c.durable || s.Primary != c.primary {
				t.Errorf("durable %v, primary %q; want %v and %q", s.Durable, s.Primary, c.durable, c.primary)
			}
			if !strings.Contains(s.Verdict, c.verdict) || !strings.Contains(s.Fix, c.fix) {
				t.Errorf("it says\n  %s — %s\nwant\n  …%s… — …%s…", s.Verdict, s.Fix, c.verdict, c.fix)
			}
			if s.Durable != (s.Fix == "") {
				t.Errorf("durable is %v, and there is to do: %q", s.Durable, s.Fix)
			}
			if s.Durable != (s.Verdict == "durable: every commit is stored by both") {
				t.Errorf("durable is %v, and it says %s", s.Durable, s.Verdict)
			}
		})
	}
}

func TestAcknowledges(t *testing.T) {
	for name, c := range map[string]struct {
		a    Node
		want bool
	}{
		"durable":        {primary("db"), true},
		"commits wait":   {alone("db"), false},
		"closed":         {primary("db").with(func(n *Node) { n.State = "closed" }), false},
		"going on alone": {alone("db").with(func(n *Node) { n.Degraded = true }), true},
		"not yet":        {alone("db").with(func(n *Node) { n.Strict = false }), true},
		"down":           {downed("db"), false},
	} {
		if got := Judge([]Node{c.a, standby("db-replica")}).Acknowledges(); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestCopied(t *testing.T) {
	for why, want := range map[string]int{
		"": 0, "the volume is empty": 0, "the volume is empty; 43% are here": 43, "it was asked for; 43 % are here": 43,
		"a; b": 0, "a; 101% are here": 0, "a; -1%": 0,
	} {
		n := Node{Answers: true, Said: Said{State: Copying, Why: why}}
		if got, _ := n.Copied(); got != want {
			t.Errorf("%q is %d %%, want %d", why, got, want)
		}
	}
}

// Whatever an agent of another version prints is read or refused.
func FuzzRead(f *testing.F) {
	f.Add(`{"node":"db","role":"primary","state":"serving","position":"0/5000060","last_failure":{"at":"2026-11-27T11:38:30Z","what":"x"}}`)
	f.Add(`{"state":"copying","why":"a; 43% are here"}`)
	f.Add(`{"role":"primary","other":{"role":"standby","state":"following"}}`)
	f.Add("null")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		said, _, err := Read(text)
		if err != nil {
			return
		}
		n := Node{Name: "db", ContainerState: "running", Answers: true, Said: said}
		if s := Judge([]Node{n, downed("db-replica")}); s.Verdict == "" {
			t.Errorf("nothing is said of %s", text)
		}
	})
}
