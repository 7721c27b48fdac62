package e2e

import "strings"

// said is what `db status` says of a node, as far as it matters here.
type said struct {
	Node     string
	Running  bool
	Degraded bool
	InStep   bool `json:"in_step"`
}

func (o *operated) node(name string) said {
	o.t.Helper()
	s := decoded[struct{ Nodes []said }](o.t, "db_status", o.run("db", "status", "--json").stdout)
	for _, one := range s.Nodes {
		if one.Node == name {
			return one
		}
	}
	o.t.Fatalf("there is no %s: %+v", name, s)
	return said{}
}

// goesOnAlone: an operator would rather lose than wait, and then thinks better of
// it; INMANTA_DATABASE_WHEN_ALONE, and what is said of it all the while.
func (o *operated) goesOnAlone() {
	o.t.Helper()
	o.set("INMANTA_DATABASE_WHEN_ALONE", "degrade")
	o.must("up")
	o.leads("db")
	o.eventually("the standby has given back its note", func() bool { return !o.node("db-replica").InStep })
	o.fails(0, []string{"durable: every commit is stored by both", "NOT in step"}, "db", "status")
	o.docker("kill", o.replica())
	o.eventually("the primary goes on alone", func() bool { return o.node("db").Degraded })
	o.writes("alone, by choice")
	const alone = "DEGRADED: commits are stored by db alone, and are lost with it: db-replica is down"
	o.fails(1, []string{alone, "start db-replica: inmanta-docker db rejoin"}, "db", "status")
	o.fails(3, []string{alone}, "status")
	if log := o.docker("logs", o.db()); !strings.Contains(log, "DEGRADED: db-replica is away, and commits do not wait for it: what is acknowledged now is lost with this node") {
		o.t.Errorf("its log does not say that it goes on alone:\n%s", log)
	}
	// Nothing waits here: what acts on health has nothing to mend. It says so all the same.
	if health := o.docker("exec", o.db(), "inmanta-sidecar", "postgres", "health"); !strings.Contains(health, "DEGRADED") {
		o.t.Errorf("its health check says %q", health)
	}

	// The other one does not take over in silence: it lacks what was acknowledged.
	o.docker("kill", o.db())
	o.docker("start", o.replica())
	o.eventually("the standby runs", func() bool { return o.node("db-replica").Running })
	o.fails(1, []string{"db-replica has no note that it has all that db acknowledged", "what it has more is to be LOST", "--accept-data-loss"}, "db", "failover")
	o.must("db", "rejoin")
	o.leads("db")
	o.writes("both again")

	o.set("INMANTA_DATABASE_WHEN_ALONE", "wait")
	o.must("up")
	o.leads("db")
	o.eventually("the standby has the note", func() bool { return o.node("db-replica").InStep })
	o.docker("kill", o.replica())
	o.fails(1, []string{"commits wait: db-replica is down"}, "db", "status")
	o.must("db", "rejoin")
	o.leads("db")
	o.kept()
}
