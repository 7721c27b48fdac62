package e2e

import (
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/sidecar/postgres"
)

// stopCopy stops the copy that is made next, half-way, and returns its process.
func (p *pair) stopCopy(standby string) (resume func(signal string)) {
	p.t.Helper()
	stopped := p.catch(standby, "until pkill -STOP -x pg_basebackup; do sleep 0.005; done")
	p.done(standby, "reinit")
	stopped()
	return func(signal string) { p.shell(standby, "pkill -"+signal+" -x pg_basebackup") }
}

func copyKilled(p *pair) {
	c := p.clients(2, longAnswer)
	c.goesOn()
	primary, standby := p.whole()
	resume := p.stopCopy(standby)
	p.is(standby, "copies", func(s postgres.Status) bool { return s.State == postgres.StateCopying })
	p.waits(primary)
	if kept := p.shell(standby, "cat $PGDATA/PG_VERSION"); kept == "" {
		p.t.Error("the last good copy is gone before the next one is complete")
	}
	resume("KILL")
	c.goesOn()
	c.judge()
	p.noneLeft(standby)
}

// agentKilledCopying kills everything in the standby's container half-way.
func agentKilledCopying(p *pair) {
	c := p.clients(2, longAnswer)
	c.goesOn()
	primary, standby := p.whole()
	p.stopCopy(standby)
	p.waits(primary)
	p.kill(standby)
	p.start(standby)
	c.goesOn()
	c.judge()
	p.noneLeft(standby)
}

// noneLeft says that nothing of an interrupted copy is left: no process, no
// connection to its source, and no file.
func (p *pair) noneLeft(standby string) {
	p.t.Helper()
	p.until("the last copy made room", func() bool {
		return p.shell(standby, "pgrep -x pg_basebackup; ls $PGDATA/pgsql_tmp.inmanta-docker | grep -v -e lock -e node.json; true") == "" &&
			p.sql(other(standby), "SELECT count(*) FROM pg_stat_replication") == "1"
	})
}

// sourceKilled takes the primary away from a copy that is half-way. What was
// there is kept, and is not made the primary, having no note.
func sourceKilled(p *pair) {
	c := p.clients(2, longAnswer)
	c.goesOn()
	primary, standby := p.whole()
	resume := p.stopCopy(standby)
	p.kill(primary)
	resume("CONT")
	p.is(standby, "says that it broke off", func(s postgres.Status) bool { return strings.Contains(s.LastFailure.What, "copying "+primary) })
	p.shell(standby, "test -s $PGDATA/PG_VERSION && test -s $PGDATA/global/pg_control")
	if said, err := p.order(standby, "failover", "--primary-is-dead"); err == nil {
		p.t.Errorf("it took over with what it had: %s", said)
	}
	p.start(primary)
	c.goesOn()
	c.judge()
	p.noneLeft(standby)
}

// damagedPage is found out by whoever reads it: a query, and a copy, which is
// not made then. The standby's own pages are whole, and stay.
func damagedPage(p *pair) {
	c := p.clients(2, longAnswer)
	c.goesOn()
	primary, standby := p.whole()
	p.sql(primary, "CREATE TABLE damaged AS SELECT generate_series(1, 1000) AS n; CHECKPOINT")
	file := p.sql(primary, "SELECT pg_relation_filepath('damaged')")
	p.shell(primary, "kill -9 $(head -1 $PGDATA/postmaster.pid); printf XXXXXXXX | dd of=$PGDATA/"+file+" bs=1 seek=9000 conv=notrunc status=none")
	c.goesOn()
	if r := p.exec("bash", "-c", "docker exec "+p.container(primary)+" psql -X -U inmanta -d inmanta -Atc 'SELECT sum(n) FROM damaged'"); !strings.Contains(r.stderr, "invalid page") {
		p.t.Errorf("a damaged page is served: %s%s", r.stdout, r.stderr)
	}
	if got := p.sql(standby, "SELECT sum(n) FROM damaged"); got != "500500" {
		p.t.Errorf("the standby says %s", got)
	}
	p.done(standby, "reinit")
	p.is(standby, "says that what it copies is damaged", func(s postgres.Status) bool { return strings.Contains(s.LastFailure.What, "checksum") })
	p.shell(standby, "test -s $PGDATA/PG_VERSION && test -s $PGDATA/global/pg_control")
	p.docker("exec", p.container(primary), "psql", "-X", "-U", "inmanta", "-d", "inmanta", "-c", "SET synchronous_commit = local", "-c", "DROP TABLE damaged")
	c.goesOn()
	c.judge()
	p.noneLeft(standby)
}

// TestDurableSlotLost is a standby that was away for longer than its primary
// keeps the log for it: it is copied anew, beside what it has.
func TestDurableSlotLost(t *testing.T) {
	t.Parallel()
	p := newPair(t, shape{arguments: []string{"-c", "max_slot_wal_keep_size=16MB", "-c", "min_wal_size=32MB", "-c", "max_wal_size=32MB"}})
	p.up()
	c := p.clients(2, longAnswer)
	c.goesOn()
	primary, standby := p.whole()
	p.kill(standby)
	p.waits(primary)
	for range 5 {
		p.sql(primary, "SELECT pg_logical_emit_message(false, '', 'full'), pg_switch_wal()")
	}
	p.sql(primary, "CHECKPOINT")
	p.is(primary, "has dropped what it kept", func(s postgres.Status) bool {
		return s.Slot == nil || s.Slot.State != "extended" && s.Slot.KeptBytes < 64<<20
	})
	p.start(standby)
	p.is(standby, "says why it is copied anew", func(s postgres.Status) bool { return strings.Contains(s.LastFailure.What, "it is copied anew") })
	c.goesOn()
	c.judge()
	p.noneLeft(standby)
	if got := p.sql(primary, "SELECT wal_status FROM pg_replication_slots"); got != "reserved" && got != "extended" {
		t.Errorf("the slot is %s", got)
	}
}
