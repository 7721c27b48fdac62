package e2e

import (
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/postgres"
)

// postmasterKilled kills the server and not the agent, which starts it again.
func postmasterKilled(p *pair) {
	c := p.clients(4, longAnswer)
	c.goesOn()
	primary, standby := p.whole()
	for _, node := range []string{primary, standby} {
		p.shell(node, "kill -9 $(head -1 $PGDATA/postmaster.pid)")
		p.is(node, "says that its server ended", func(s postgres.Status) bool {
			return strings.Contains(s.LastFailure.What, "the server ended by itself")
		})
		c.goesOn()
		p.whole()
	}
	if v := c.judge(); v.Terms != 1 {
		p.t.Errorf("a restart is no failover: %s", v)
	}
}

// signal sends one to the agent itself, which nobody inside its container can stop.
func (p *pair) signal(node string, s syscall.Signal) {
	p.t.Helper()
	pid, err := strconv.Atoi(p.docker("inspect", "-f", "{{.State.Pid}}", p.container(node)))
	if err == nil {
		err = syscall.Kill(pid, s)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// agentFrozen stops the primary's agent under a server that goes on.
func agentFrozen(p *pair) {
	c := p.clients(4, longAnswer)
	primary, standby := p.whole()
	p.signal(primary, syscall.SIGSTOP)
	defer p.signal(primary, syscall.SIGCONT)
	c.goesOn()
	p.until(standby+" does not take over from a server that sends its log", func() bool {
		said, err := p.order(standby, "failover", "--primary-is-dead")
		return err != nil && strings.Contains(said, "still sends its log: it is alive")
	})
	if r := p.run("db", "status"); !strings.Contains(r.stdout, "silent: it does not answer") {
		p.t.Errorf("of an agent that is stopped, db status says:\n%s%s", r.stdout, r.stderr)
	}
	c.goesOn()
	p.signal(primary, syscall.SIGCONT)
	if v := c.judge(); v.Terms != 1 {
		p.t.Errorf("it became a failover: %s", v)
	}
}

// primaryFrozen stops all of a primary, takes over, and lets it go on: it does
// not know yet, and its clients are still there.
func primaryFrozen(p *pair) {
	c := p.clients(4, 2*time.Second)
	c.goesOn()
	primary, standby := p.whole()
	p.docker("pause", p.container(primary))
	p.until(standby+" takes over", func() bool {
		_, err := p.order(standby, "failover", "--primary-is-dead")
		return err == nil
	})
	p.waits(standby)
	p.docker("unpause", p.container(primary))
	c.goesOn()
	now, _ := p.whole()
	if v := c.judge(); now != standby || v.Terms != 2 {
		p.t.Errorf("%s is the primary, of %d terms", now, v.Terms)
	}
}

// switchovers asks for one on both nodes, twice each and all at the same time,
// and for a failover besides.
func switchovers(p *pair) {
	c := p.clients(4, longAnswer)
	c.goesOn()
	before, _ := p.whole()
	p.done(before, "switchover")
	after, standby := p.whole()
	if after == before {
		p.t.Errorf("%s is still the primary", after)
	}
	c.goesOn()
	var all sync.WaitGroup
	var mu sync.Mutex
	worked := 0
	for _, order := range [][]string{{"switchover"}, {"switchover"}, {"failover", "--primary-is-dead"}} {
		for _, node := range nodes {
			all.Go(func() {
				_, err := p.order(node, order...)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					worked++
				}
			})
		}
	}
	all.Wait()
	p.t.Logf("%d of 6 orders at one time were carried out", worked)
	c.goesOn()
	_, standby = p.whole()
	// A slot of a former primary would keep its log and its dead rows for good.
	p.until("the standby has no slot left", func() bool {
		return p.sql(standby, "SELECT count(*) FROM pg_replication_slots") == "0"
	})
	c.judge()
}

// oldPrimaryAlone starts a primary that was superseded while the new one is down.
func oldPrimaryAlone(p *pair) {
	c := p.clients(4, longAnswer)
	c.goesOn()
	primary, standby := p.whole()
	p.kill(primary)
	p.is(standby, "receives nothing", func(s postgres.Status) bool { return s.State == postgres.StateCatchingUp })
	p.done(standby, "failover", "--primary-is-dead")
	p.kill(standby)
	p.start(primary)
	p.is(primary, "is closed", func(s postgres.Status) bool { return s.State == postgres.StateClosed && s.Running })
	c.blocked(time.Second)
	p.refused(primary, "it is no standby that runs", "failover", "--primary-is-dead")
	p.refused(primary, "does not answer", "switchover")
	p.start(standby)
	c.goesOn()
	now, _ := p.whole()
	if c.judge(); now != standby {
		p.t.Errorf("%s is the primary, which had been superseded", now)
	}
}

// failoverRaced brings the old primary back at the moment of the failover.
func failoverRaced(p *pair) {
	c := p.clients(4, longAnswer)
	c.goesOn()
	primary, standby := p.whole()
	p.kill(primary)
	p.is(standby, "receives nothing", func(s postgres.Status) bool { return s.State == postgres.StateCatchingUp })
	var both sync.WaitGroup
	both.Go(func() { p.start(primary) })
	both.Go(func() {
		said, err := p.order(standby, "failover", "--primary-is-dead")
		p.t.Logf("failover: %v %s", err, said)
	})
	both.Wait()
	c.goesOn()
	c.judge()
}

// promotedBehind promotes the standby without its agent.
func promotedBehind(p *pair) {
	c := p.clients(4, 3*time.Second)
	c.goesOn()
	primary, standby := p.whole()
	// Whoever finds it before its agent does is told nothing.
	out, _ := exec.Command("docker", "exec", p.container(standby), "psql", "-X", "-U", "inmanta", "-d", "inmanta",
		"-c", "SELECT pg_promote()", "-c", "INSERT INTO entry VALUES ('behind')").CombinedOutput()
	if said := string(out); strings.Contains(said, "INSERT 0 1") && !strings.Contains(said, "WARNING") {
		p.t.Errorf("it acknowledges what is thrown away: %s", said)
	}
	p.is(standby, "says so", func(s postgres.Status) bool {
		return strings.Contains(s.LastFailure.What, "somebody promoted this standby")
	})
	c.goesOn()
	now, _ := p.whole()
	if c.judge(); now != primary {
		p.t.Errorf("%s is the primary", now)
	}
}

// primaryEmptied deletes a primary's cluster under it, and never makes a new one.
func primaryEmptied(p *pair) {
	c := p.clients(4, longAnswer)
	c.goesOn()
	primary, standby := p.whole()
	system := p.sql(primary, "SELECT system_identifier FROM pg_control_system()")
	p.shell(primary, "find $PGDATA -mindepth 1 -delete; kill -9 $(pgrep -x postgres) || true")
	p.is(primary, "does nothing", func(s postgres.Status) bool {
		return s.State == postgres.StateRefusing && strings.Contains(s.Why, "the volume is empty, and "+standby+" has the data as a standby")
	})
	p.says(primary, "inmanta-docker db failover")
	p.done(standby, "failover", "--primary-is-dead")
	c.goesOn()
	now, _ := p.whole()
	if c.judge(); now != standby || p.sql(primary, "SELECT system_identifier FROM pg_control_system()") != system {
		p.t.Errorf("%s is the primary; the other one is not its copy", now)
	}
}

// TestDurableMaking kills the making of a new cluster half-way: it is made again,
// and served when it is complete.
func TestDurableMaking(t *testing.T) {
	t.Parallel()
	p := newPair(t, shape{})
	first, second := nodes[0], nodes[1]
	p.compose("up -d --no-deps " + first)
	p.is(first, "waits for the other one", func(s postgres.Status) bool { return s.State == postgres.StateWaiting && s.Empty })
	// By itself, and then with its container.
	caught := p.catch(first, "until pkill -KILL -x initdb; do sleep 0.005; done; until pkill -STOP -x initdb; do sleep 0.005; done; test ! -e $PGDATA/PG_VERSION")
	p.compose("up -d --no-deps " + second)
	caught()
	p.kill(first)
	p.start(first)
	primary, _ := p.whole()
	if got := p.sql(primary, "SELECT count(*) FROM pg_database WHERE datname IN ('template0', 'template1', 'postgres', 'inmanta')"); got != "4" {
		t.Errorf("%s of the 4 databases are there", got)
	}
	c := p.clients(2, longAnswer)
	c.goesOn()
	c.judge()
}
