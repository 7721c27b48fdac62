package e2e

import (
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/postgres"
)

// TestDurableFaults breaks pairs that are whole, and that become whole again
// without help: one after the other, on one and the same pair for each group.
func TestDurableFaults(t *testing.T) {
	t.Parallel()
	for group, faults := range map[string][]fault{
		"deaths": {
			{"standby-killed", standbyKilled},
			{"primary-killed", primaryKilled},
			{"failover", failover},
			{"postmaster-killed", postmasterKilled},
			{"old-primary-alone", oldPrimaryAlone},
			{"failover-raced", failoverRaced},
			{"waived", waived},
			{"names-cleared", namesCleared},
		},
		"links": {
			{"partition", partition},
			{"failover-behind-a-partition", failoverBehindPartition},
			{"agent-frozen", agentFrozen},
			{"primary-frozen", primaryFrozen},
			{"switchovers", switchovers},
			{"promoted-behind", promotedBehind},
		},
		"copies": {
			{"copy-killed", copyKilled},
			{"agent-killed", agentKilledCopying},
			{"source-killed", sourceKilled},
			{"damaged-page", damagedPage},
			{"primary-emptied", primaryEmptied},
		},
	} {
		t.Run(group, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, shape{})
			p.up()
			for _, f := range faults {
				if !t.Run(f.name, func(t *testing.T) { f.run(p.in(t)) }) {
					return // what is broken breaks what comes after it
				}
			}
		})
	}
}

// fault is something that happens to a pair.
type fault struct {
	name string
	run  func(*pair)
}

// longAnswer is more patience than a test has: a client that waits gets its answer.
const longAnswer = 2 * time.Minute

// waits waits until commits wait on a node.
func (p *pair) waits(node string) {
	p.t.Helper()
	p.is(node, "has commits that wait", func(s postgres.Status) bool { return s.Waiting > 0 })
}

func standbyKilled(p *pair) {
	c := p.clients(4, longAnswer)
	c.goesOn()
	primary, standby := p.whole()
	p.kill(standby)
	p.waits(primary)
	c.blocked(time.Second)
	p.says(primary, "commits wait: "+standby+" is away; start "+standby)
	p.start(standby)
	c.goesOn()
	if v := c.judge(); v.Unknown > 0 || v.Terms != 1 {
		p.t.Errorf("clients that waited were not answered: %s", v)
	}
}

// primaryKilled is a restart after a power cut: commits that waited are visible
// at once then, so nobody is let in before the standby has them.
func primaryKilled(p *pair) {
	c := p.clients(4, longAnswer)
	c.goesOn()
	primary, standby := p.whole()
	p.kill(standby)
	p.waits(primary)
	p.kill(primary)
	p.start(primary)
	p.is(primary, "is closed", func(s postgres.Status) bool { return s.State == postgres.StateClosed && s.Running })
	p.says(primary, "commits wait: "+standby+" is away")
	c.blocked(time.Second)
	p.start(standby)
	c.goesOn()
	if v := c.judge(); v.Terms != 1 {
		p.t.Errorf("a restart is no failover: %s", v)
	}
}

func failover(p *pair) {
	c := p.clients(4, longAnswer)
	c.goesOn()
	primary, standby := p.whole()
	p.kill(primary)
	p.is(standby, "receives nothing", func(s postgres.Status) bool { return s.State == postgres.StateCatchingUp })
	p.refused(standby, "may be alive all the same", "failover")
	p.done(standby, "failover", "--primary-is-dead")
	p.is(standby, "has taken over", func(s postgres.Status) bool {
		return s.Role == postgres.Primary && s.State == postgres.StateServing && s.Timeline > 1
	})
	p.says(standby, "commits wait: "+primary+" is away")
	c.blocked(time.Second)
	p.start(primary)
	c.goesOn()
	now, _ := p.whole()
	if v := c.judge(); v.Terms != 2 || now != standby {
		p.t.Errorf("%s is the primary, of %d terms", now, v.Terms)
	}
}

func partition(p *pair) {
	c := p.clients(4, longAnswer)
	c.goesOn()
	primary, standby := p.whole()
	p.cut()
	p.waits(primary)
	p.says(primary, "commits wait: "+standby+" is away")
	p.refused(standby, "", "failover")
	c.blocked(time.Second)
	p.mend()
	c.goesOn()
	if v := c.judge(); v.Terms != 1 || v.Unknown > 0 {
		p.t.Errorf("a partition is no failover, and those who waited are answered: %s", v)
	}
}

// failoverBehindPartition has an operator say that a primary is dead which has
// clients: neither of the two acknowledges anything until they see each other.
func failoverBehindPartition(p *pair) {
	c := p.clients(4, 3*time.Second)
	c.goesOn()
	primary, standby := p.whole()
	p.cut()
	p.waits(primary)
	p.until("the standby misses its primary, and takes over", func() bool {
		_, err := p.order(standby, "failover", "--primary-is-dead")
		return err == nil
	})
	p.waits(standby)
	c.blocked(2 * time.Second)
	p.mend()
	c.goesOn()
	now, _ := p.whole()
	if v := c.judge(); now != standby || v.Terms != 2 {
		p.t.Errorf("%s is the primary, of %d terms", now, v.Terms)
	}
}
