package e2e

import (
	"slices"
	"strings"
	"testing"
)

// operated is a deployment with two databases and the real orchestrator, as an
// operator has it.
type operated struct {
	*stack
	made []string // the projects that were made on the orchestrator
}

// replica is the second database's container.
func (o *operated) replica() string { return o.name + "-db-replica" }

// leads fails unless this node is the primary, and all is stored by both.
func (o *operated) leads(node string) {
	o.t.Helper()
	r := o.fails(0, nil, "db", "status", "--json")
	s := decoded[struct {
		Durable bool
		Primary string
	}](o.t, "db_status", r.stdout)
	if s.Primary != node || !s.Durable {
		o.t.Errorf("want %s to be the primary: %+v", node, s)
	}
}

// writes makes something on the orchestrator, which must serve at once.
func (o *operated) writes(name string) {
	o.t.Helper()
	o.serves()
	o.project(name)
	o.made = append(o.made, name)
	o.kept()
}

// kept fails unless all that was made is there.
func (o *operated) kept() {
	o.t.Helper()
	got, want := slices.Sorted(slices.Values(o.projects())), slices.Sorted(slices.Values(o.made))
	if !slices.Equal(got, want) {
		o.t.Errorf("the projects are %v, want %v", got, want)
	}
}

// What an operator does with two databases, on one deployment from its first
// database alone to the last loss, with the real orchestrator all the while.
func TestDurableVerbs(t *testing.T) {
	t.Parallel()
	o := &operated{stack: newStack(t)}
	o.must("init", o.dir)
	o.must("-f", "docker-compose.yml", "up")
	o.writes("alone")
	o.fails(1, []string{"this deployment has one database", "-f docker-compose.db-replica.yml up"}, "db", "status")

	// The second is added to it.
	up := o.must("--with", "db-replica", "up", "--json")
	if found := decoded[struct{ Pair struct{ Durable bool } }](t, "up", up.stdout); !found.Pair.Durable {
		t.Errorf("up ends before all is stored by both:\n%s", up.stdout)
	}
	o.leads("db")
	o.writes("both")
	o.fails(0, []string{"durable: every commit is stored by both", "in step", "standby"}, "db", "status")
	o.fails(0, []string{"db is the primary, db-replica stands by; durable"}, "status")
	o.fails(0, []string{"leave     container " + o.replica()}, "up", "--dry-run")

	// What makes no sense is refused, and changes nothing.
	o.fails(1, []string{"db is the primary, and runs", "inmanta-docker db switchover"}, "db", "failover")
	o.fails(1, []string{"db is the primary, and runs"}, "db", "failover", "--accept-data-loss")
	o.fails(1, []string{"it is the primary"}, "db", "reinit", "db")
	o.fails(1, []string{"there is no such database", "db and db-replica"}, "db", "reinit", "server")
	o.leads("db")

	o.fails(0, []string{"db-replica is the primary (after", "every commit is stored by both (after", "the orchestrator serves (after"}, "db", "switchover")
	o.leads("db-replica")
	o.writes("switched")

	// The one that is not the primary cannot be left alone.
	before := o.containers()
	o.fails(1, []string{"it is the standby of db-replica", "inmanta-docker db switchover"}, "-f", "docker-compose.yml", "up")
	if after := o.containers(); !slices.Equal(before, after) {
		t.Errorf("what was refused made %v of %v", after, before)
	}

	o.primaryLost()
	o.primaryHangs()
	o.standbyLost()
	o.goesOnAlone()
	o.ranAlone()
}

// primaryLost: the primary's container dies.
func (o *operated) primaryLost() {
	o.t.Helper()
	o.docker("kill", o.replica())
	o.fails(1, []string{"NO PRIMARY", "db-replica is down: its container is exited", "db rejoin", "db failover"}, "db", "status")
	o.fails(3, []string{"NO PRIMARY: nothing can be written"}, "status")
	o.fails(1, []string{"a switchover takes both"}, "db", "switchover")
	// Something else has its volume, and may write to it.
	o.docker("run", "-d", "--name", o.replica()+"-other", "-v", o.name+"_inmanta-db-replica-data:/data", "--entrypoint", "sleep", tools.images["POSTGRESQL_IMAGE"], "infinity")
	o.fails(1, []string{"its volume is in use by the container " + o.replica() + "-other", "nothing was promoted"}, "db", "failover")
	o.docker("rm", "-f", o.replica()+"-other")
	r := o.must("db", "failover")
	for _, words := range []string{"db is the primary (after", "Nothing is acknowledged before db-replica is back", "inmanta-docker db rejoin"} {
		if !strings.Contains(r.stdout+r.stderr, words) {
			o.t.Errorf("failover does not say %q:\n%s%s", words, r.stdout, r.stderr)
		}
	}
	if strings.Contains(r.stdout+r.stderr, "GIVEN UP") {
		o.t.Errorf("failover gives something up:\n%s%s", r.stdout, r.stderr)
	}
	o.fails(1, []string{"commits wait: db-replica is down", "inmanta-docker db rejoin"}, "db", "status")
	o.fails(0, []string{"every commit is stored by both (after", "the orchestrator serves (after"}, "db", "rejoin")
	o.leads("db")
	o.writes("failed over")
	o.must("db", "rejoin") // there is nothing to do
}

// primaryHangs: it neither serves nor ends. It is ended before the other is promoted.
func (o *operated) primaryHangs() {
	o.t.Helper()
	o.docker("pause", o.db())
	o.fails(1, []string{"its container is paused"}, "db", "status")
	o.fails(0, []string{"Container " + o.db() + "  Stopped", "db-replica is the primary (after"}, "db", "failover")
	if state := o.docker("inspect", "-f", "{{.State.Status}}", o.db()); state != "exited" {
		o.t.Errorf("the old primary's container is %s", state)
	}
	o.must("db", "rejoin")
	o.writes("hung")
	o.must("db", "switchover")
	o.leads("db")
	o.writes("switched back")
}

// standbyLost: its data is to be copied again, and then all of it is gone.
func (o *operated) standbyLost() {
	o.t.Helper()
	o.fails(0, []string{"every commit is stored by both (after"}, "db", "reinit", "db-replica")
	o.leads("db")
	o.docker("rm", "-f", o.replica())
	o.docker("volume", "rm", o.name+"_inmanta-db-replica-data")
	o.fails(1, []string{"commits wait: db-replica is down: it has no container"}, "db", "status")
	o.must("db", "rejoin")
	o.leads("db")
	o.writes("copied")
}

// ranAlone: the overlay is left out again, and what is written then is on the one
// database alone. That is found out before the other one is promoted.
func (o *operated) ranAlone() {
	o.t.Helper()
	o.must("-f", "docker-compose.yml", "up")
	o.kept()
	o.writes("without the other")
	o.fails(0, []string{"leave     container " + o.replica(), "the files have no such service"}, "up", "--dry-run")

	pair := []string{"-f", "docker-compose.yml", "-f", "docker-compose.db-replica.yml"}
	o.docker("stop", o.db())
	lost := []string{"db was last run without its pair", "what it has more is to be LOST"}
	o.fails(1, lost, append(pair, "db", "failover")...)
	o.must(append(pair, "up")...)
	o.leads("db")
	o.kept()

	// The same again, and nobody wants what is on it.
	o.must("-f", "docker-compose.yml", "up")
	o.serves()
	o.project("given up")
	o.docker("stop", o.db())
	o.fails(1, lost, append(pair, "db", "failover")...)
	o.fails(0, []string{"GIVEN UP for good: db was last run without its pair", "db-replica is the primary (after"}, append(pair, "db", "failover", "--accept-data-loss")...)
	o.must(append(pair, "up")...)
	o.leads("db-replica")
	o.kept()
}

// TestDurableExample runs the README's lines as they stand, with both tools.
func TestDurableExample(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"sudo docker compose", "inmanta-docker"} {
		t.Run(strings.ReplaceAll(tool, " ", "-"), func(t *testing.T) {
			s := newStack(t)
			s.must("init", s.dir)
			s.licence()
			lines := example(t, durableExample)
			if len(lines) != 5 {
				t.Fatalf("the example has %d lines: %q", len(lines), lines)
			}
			for _, line := range lines {
				ours := strings.ReplaceAll(strings.ReplaceAll(line, "sudo docker compose", tool), "INMANTA_ORCHESTRATOR_IMAGE=...", "INMANTA_ORCHESTRATOR_IMAGE="+orchestratorImage())
				r := s.sh(ours)
				if r.code != 0 {
					t.Fatalf("%s: exit code %d\n%s%s", ours, r.code, r.stdout, r.stderr)
				}
				switch {
				case strings.HasSuffix(line, "up -d"):
					s.comesUp()
					s.eventually("all is stored by both", func() bool {
						return s.sh(strings.ReplaceAll(strings.TrimSuffix(line, "up -d"), "sudo docker compose", "inmanta-docker")+"db status").code == 0
					})
					s.project("precious")
				case strings.HasSuffix(line, "ps -a"):
					for _, name := range []string{s.server(), s.db(), s.name + "-db-replica"} {
						if !strings.Contains(r.stdout, name) {
							t.Errorf("%s does not list %s:\n%s", ours, name, r.stdout)
						}
					}
				case strings.HasSuffix(line, "down"):
					if got := s.volumes(); len(got) != 4 {
						t.Errorf("after %s the volumes are %v", ours, got)
					}
				case strings.HasSuffix(line, "down -v"):
					if got := s.volumes(); len(got) != 0 {
						t.Errorf("after %s there is %v", ours, got)
					}
				}
			}
		})
	}
}
