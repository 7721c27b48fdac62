package pair

import (
	"errors"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/problem"
)

// refused fails unless err is a problem that says all of it.
func refused(t *testing.T, err error, words string) {
	t.Helper()
	var p problem.Problem
	switch {
	case words == "" && err != nil:
		t.Errorf("refused: %v", err)
	case words != "" && !errors.As(err, &p):
		t.Errorf("not refused: %v", err)
	case words != "" && (!strings.Contains(p.What+" "+p.Fix, words) || p.Fix == "" || p.Where == ""):
		t.Errorf("it says %q, to do %q, at %q; want %q", p.What, p.Fix, p.Where, words)
	}
}

func TestOrders(t *testing.T) {
	late := standby("db-replica").with(func(n *Node) { n.InStep = false })
	stopped := alone("db").with(func(n *Node) { n.State, n.Running = "recovering", false })
	for name, c := range map[string]struct {
		a, b Node
		// who is asked, and the words of the refusal.
		switchover, noSwitchover string
		failover, noFailover     string
		noReinit                 string // of db-replica
	}{
		"all well":       {a: primary("db"), b: standby("db-replica"), switchover: "db", noFailover: "inmanta-docker db switchover"},
		"the other way":  {a: standby("db"), b: primary("db-replica"), switchover: "db-replica", noFailover: "runs", noReinit: "it is the primary"},
		"standby down":   {a: alone("db"), b: downed("db-replica"), noSwitchover: "db-replica is down: its container is exited, and a switchover takes both", noFailover: "is the primary, and runs", noReinit: rejoin},
		"standby late":   {a: alone("db"), b: late, noSwitchover: "does not have all yet", noFailover: "is the primary, and runs"},
		"primary gone":   {a: downed("db"), b: standby("db-replica"), noSwitchover: "db is down", failover: "db-replica", noReinit: "there is nothing to copy"},
		"a late standby": {a: downed("db"), b: late, noSwitchover: "db is down", failover: "db-replica", noReinit: "there is nothing to copy"},
		"primary stuck":  {a: stopped, b: standby("db-replica"), noSwitchover: "NO PRIMARY", failover: "db-replica", noReinit: "there is nothing to copy"},
		"two standbys":   {a: standby("db"), b: late, noSwitchover: "both only follow", failover: "db", noReinit: "there is nothing to copy"},
		"two alike":      {a: standby("db"), b: standby("db-replica"), noSwitchover: "both only follow", noFailover: "nothing tells which", noReinit: "nothing to copy"},
		"both down":      {a: downed("db"), b: downed("db-replica"), noSwitchover: "db is down", noFailover: "inmanta-docker up", noReinit: rejoin},
		"two machines":   {a: primary("db"), b: elsewhere(standby("db-replica")), switchover: "db", noFailover: "runs", noReinit: "inmanta-docker db reinit there"},
		"its other machine": {
			a: elsewhere(primary("db")), b: standby("db-replica"),
			noSwitchover: "inmanta-docker db switchover there", noFailover: "is the primary, and runs",
		},
		"the first machine gone": {
			a: Node{Name: "db", ContainerState: Elsewhere}, b: standby("db-replica"),
			noSwitchover: "out of sight", noFailover: "docker exec inmanta-db-replica inmanta-sidecar postgres failover --primary-is-dead", noReinit: "there is nothing to copy",
		},
		"one copying": {
			a: downed("db"), b: standby("db-replica").with(func(n *Node) { n.State, n.Running = Copying, false }),
			noSwitchover: "db is down", noFailover: "there is no standby that runs", noReinit: "nothing to copy",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := Judge([]Node{c.a, c.b})
			from, to, err := s.Switchover()
			if refused(t, err, c.noSwitchover); from.Name != c.switchover || err == nil && to.Name == from.Name {
				t.Errorf("a switchover is from %q to %q, want from %q", from.Name, to.Name, c.switchover)
			}
			to, gone, err := s.Failover()
			if refused(t, err, c.noFailover); to.Name != c.failover || err == nil && gone.Name == to.Name {
				t.Errorf("a failover is to %q, and %q is gone; want %q", to.Name, gone.Name, c.failover)
			}
			_, err = s.Reinit("db-replica")
			refused(t, err, c.noReinit)
			_, err = s.Reinit("server")
			refused(t, err, "there is no such database they are db and db-replica")
		})
	}
}

func TestLoss(t *testing.T) {
	to, gone := standby("db-replica"), downed("db")
	late := to.with(func(n *Node) { n.InStep = false })
	same := Inspection{Cluster: true, System: "1", Timeline: 2, End: "0/6000000"}
	ranAlone, foreign := same, same
	ranAlone.Alone, foreign.System = true, "2"
	for name, c := range map[string]struct {
		to    Node
		found *Inspection
		lossy bool
		words string
	}{
		"in step, nothing to look at": {to: to},
		"in step":                     {to: to, found: &same},
		"an empty volume":             {to: to, found: &Inspection{}},
		"it ran alone":                {to: to, found: &ranAlone, lossy: true, words: "db was last run without its pair: whatever it acknowledged then is not on db-replica (db-replica has timeline 2 up to 0/5000060; the volume of db has timeline 2 up to at least 0/6000000)"},
		"late":                        {to: late, found: &same, lossy: true, words: "the last of it may be missing"},
		"late, nothing to look at":    {to: late, lossy: true, words: "(db-replica has timeline 2 up to 0/5000060)"},
	} {
		t.Run(name, func(t *testing.T) {
			what, lossy, err := Loss(c.to, gone, c.found)
			if err != nil || lossy != c.lossy || !strings.Contains(what, c.words) || lossy == (what == "") {
				t.Errorf("lossy %v (%s), %v; want %v (…%s…)", lossy, what, err, c.lossy, c.words)
			}
		})
	}
	_, _, err := Loss(to, gone, &foreign)
	refused(t, err, "another cluster (system 2) than db-replica does (1)")
}
