package e2e

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The real orchestrator deploys a model all the while: as the second database is
// added to its first, while both change places, and when one of them is killed.
// What it has recorded of its deployments is never less than it was.
func TestDurableDeploys(t *testing.T) {
	t.Parallel()
	r := newRotator(t)
	r.reachesPyPI()
	r.set("COMPOSE_FILE", "docker-compose.yml:trust.yml")
	r.must("up")
	e := r.environment("deploys")
	e.compile(true)
	if t.Failed() {
		t.FailNow()
	}

	var over atomic.Bool
	var load sync.WaitGroup
	load.Go(func() {
		for !over.Load() {
			// Refused while there is no orchestrator, and asked again.
			_ = e.call(http.MethodPost, "/api/v1/deploy", e.id, map[string]string{"agent_trigger_method": "push_full_deploy"}, nil)
			time.Sleep(time.Second) // the rest of the machine is needed, too
		}
	})
	defer func() { over.Store(true); load.Wait() }()

	recorded := 0
	goesOn := func(after string) {
		t.Helper()
		r.until("something is deployed after "+after, func() bool {
			now := e.deployments()
			if now < recorded {
				t.Fatalf("after %s there are %d deployments, and there were %d", after, now, recorded)
			}
			if now < recorded+deployed {
				return false
			}
			recorded = now
			return true
		})
	}
	goesOn("a first compile")
	replica := r.name + "-db-replica"
	for _, step := range []struct {
		what string
		do   func()
	}{
		{"a second database was added", func() {
			r.set("COMPOSE_FILE", "docker-compose.yml:docker-compose.db-replica.yml:trust.yml")
			r.must("up")
			r.must("db", "status")
		}},
		{"a switchover", func() { r.must("db", "switchover") }},
		{"the primary was killed and the other took over", func() {
			recorded = e.deployments()
			r.docker("kill", replica)
			r.must("db", "failover")
			r.must("db", "rejoin")
		}},
		{"the standby was killed and came back", func() {
			r.docker("kill", replica)
			r.must("db", "rejoin")
		}},
	} {
		step.do()
		goesOn(step.what)
	}
	over.Store(true)
	load.Wait()
	e.idle()
	e.compile(false)
	r.must("db", "status")
}
