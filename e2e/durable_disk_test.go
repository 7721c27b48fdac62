package e2e

import (
	"testing"
)

// TestDurableDiskFull fills the disk of each node of a pair whose volumes hold
// little. A volume in memory lives for as long as its container runs.
func TestDurableDiskFull(t *testing.T) {
	t.Parallel()
	volume := "{driver_opts: {type: tmpfs, device: tmpfs, o: size=640m}}"
	p := newPair(t, shape{more: "services: {}\nvolumes: {inmanta-db-data: " + volume + ", inmanta-db-replica-data: " + volume + "}\n"})
	p.up()
	for _, f := range []fault{
		{"of-the-standby", standbyDiskFull},
		{"of-the-primary", primaryDiskFull},
		{"no-room-for-a-copy", noRoomForCopy},
	} {
		if !t.Run(f.name, func(t *testing.T) { f.run(p.in(t)) }) {
			return
		}
	}
}

// fill leaves a node's disk without a byte; ballast is where copies do not look.
func (p *pair) fill(node string) {
	p.t.Helper()
	p.shell(node, "cat /dev/zero > $PGDATA/pgsql_tmp.inmanta-docker/ballast; true")
}

func (p *pair) empty(node string) {
	p.t.Helper()
	p.shell(node, "rm -f $PGDATA/pgsql_tmp.inmanta-docker/ballast")
}

// grow has the primary write more of the log than there is a file for.
func (p *pair) grow(primary string) {
	p.t.Helper()
	p.exec("bash", "-c", "docker exec "+p.container(primary)+" psql -X -U inmanta -d inmanta -c 'SET synchronous_commit = local' -c \"SELECT pg_logical_emit_message(true, '', repeat('x', 40000000))\"")
}

func standbyDiskFull(p *pair) {
	c := p.clients(4, longAnswer)
	c.goesOn()
	primary, standby := p.whole()
	p.fill(standby)
	p.grow(primary)
	p.waits(primary)
	p.says(primary, "commits wait")
	p.says(standby, "")
	p.empty(standby)
	c.goesOn()
	if now, _ := p.whole(); now != primary {
		p.t.Errorf("%s is the primary", now)
	}
	c.judge()
}

func primaryDiskFull(p *pair) {
	c := p.clients(4, longAnswer)
	c.goesOn()
	primary, _ := p.whole()
	p.fill(primary)
	p.grow(primary)
	p.says(primary, "")
	p.empty(primary)
	c.goesOn()
	if now, _ := p.whole(); now != primary {
		p.t.Errorf("%s is the primary: a full disk is no reason to take over by itself", now)
	}
	c.judge()
}

// noRoomForCopy asks for a copy that has no place beside what is there, which
// goes on.
func noRoomForCopy(p *pair) {
	c := p.clients(2, longAnswer)
	c.goesOn()
	_, standby := p.whole()
	p.shell(standby, "head -c $(( $(df --output=avail -B1 $PGDATA | tail -1) - 200000000 )) /dev/zero > $PGDATA/pgsql_tmp.inmanta-docker/ballast")
	p.refused(standby, "make room in the volume of "+standby, "reinit")
	c.goesOn()
	p.whole()
	p.empty(standby)
	p.done(standby, "reinit")
	c.goesOn()
	c.judge()
}
