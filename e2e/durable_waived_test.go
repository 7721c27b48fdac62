package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/e2e/history"
	"github.com/inmanta/inmanta-docker/sidecar/postgres"
)

// waived are commits that do not wait to the end: by cancelling, by a deadline
// of a statement that commits inside, by ending the session. The server says
// success and a warning, or nothing; none of it counts as acknowledged, and a
// failover does lose them, which shows that it matters.
func waived(p *pair) {
	primary, standby := p.whole()
	c := p.clients(0, longAnswer)
	p.sql(primary, `CREATE OR REPLACE PROCEDURE commits(what text) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO entry VALUES (what); COMMIT; END $$`)
	c.caughtUp(primary, standby)
	p.kill(standby)
	const waiting = "SELECT %s(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'waived'"
	for i, way := range []struct{ name, statement, interrupt string }{
		{"cancelled", "INSERT INTO entry VALUES ('cancelled')", "pg_cancel_backend"},
		{"terminated", "INSERT INTO entry VALUES ('terminated')", "pg_terminate_backend"},
		{"deadline", "CALL commits('deadline')", ""},
	} {
		one := &client{clients: c, id: i}
		if err := one.connect(p.t.Context()); err != nil {
			p.t.Fatal(err)
		}
		set := "SET application_name = 'waived'"
		if way.interrupt == "" {
			set += "; SET statement_timeout = '500ms'"
		}
		if _, err := one.conn.PgConn().Exec(p.t.Context(), set).ReadAll(); err != nil {
			p.t.Fatal(err)
		}
		ended := make(chan history.Outcome, 1)
		started := time.Since(c.began)
		go func() {
			_, err := one.conn.Exec(p.t.Context(), way.statement)
			ended <- outcome(err, one.noticed)
		}()
		if way.interrupt != "" {
			p.until("it waits and is interrupted", func() bool { return p.sql(primary, fmt.Sprintf(waiting, way.interrupt)) == "t" })
		}
		got := <-ended
		if got != history.Unknown {
			p.t.Errorf("a commit that was %s is %s for its client", way.name, got)
		}
		if there := p.sql(primary, "SELECT count(*) FROM entry WHERE value = '"+way.name+"'"); there != "1" {
			p.t.Errorf("what was %s is there %s times", way.name, there)
		}
		c.journal = append(c.journal, history.Operation{
			Client: i, Kind: history.Insert, Value: way.name, Start: started, End: time.Since(c.began), Outcome: got, Server: one.server, Term: one.term,
		})
		one.leave()
	}
	// Without the word of the standby, they are gone with the primary.
	p.kill(primary)
	p.start(standby)
	p.until(standby+" takes over", func() bool {
		_, err := p.order(standby, "failover", "--primary-is-dead")
		return err == nil
	})
	p.start(primary)
	p.whole()
	final := c.read(standby)
	v := history.Judge(c.journal, final)
	p.t.Log(v)
	if !v.Good() || v.Unknown != 3 || len(final.Set) != 0 {
		p.t.Errorf("of what nobody was told to be stored, %v is there: %s", final.Set, v)
	}
}

// caughtUp waits until the standby shows what the primary does.
func (c *clients) caughtUp(primary, standby string) {
	c.pair.t.Helper()
	c.pair.until("the standby shows what the primary does", func() bool {
		return c.pair.sql(standby, allOfIt) == c.pair.sql(primary, allOfIt)
	})
}

// namesCleared takes away what commits wait for, while some do. Those are let
// go, without a warning: that cannot be prevented, so it is put right and said.
func namesCleared(p *pair) {
	c := p.clients(4, longAnswer)
	c.goesOn()
	primary, standby := p.whole()
	p.kill(standby)
	p.waits(primary)
	p.docker("exec", p.container(primary), "psql", "-X", "-U", "inmanta", "-d", "inmanta", "-c", "ALTER SYSTEM SET synchronous_standby_names = ''", "-c", "SELECT pg_reload_conf()")
	p.logs(primary, "somebody changed what commits wait for")
	p.waits(primary)
	c.blocked(time.Second)
	p.says(primary, "commits wait: "+standby+" is away")
	p.start(standby)
	c.goesOn()
	c.judge()
}

// TestDurableDegraded has commits go on alone, as somebody has chosen: loudly,
// and without a failover that would lose them in silence.
func TestDurableDegraded(t *testing.T) {
	t.Parallel()
	p := newPair(t, shape{environment: map[string]string{"INMANTA_PAIR_WHEN_ALONE": "degrade"}})
	p.compose("up -d --no-deps " + strings.Join(nodes, " "))
	primary, standby := nodes[0], nodes[1]
	both := func() {
		t.Helper()
		p.is(primary, "has its standby", func(s postgres.Status) bool { return s.Durable && s.Strict && s.State == postgres.StateServing })
		p.is(standby, "follows", func(s postgres.Status) bool { return s.State == postgres.StateFollowing })
	}
	both()
	c := p.clientsOf(primary, 4, longAnswer)
	c.goesOn()
	p.kill(standby)
	p.is(primary, "is degraded", func(s postgres.Status) bool {
		return s.Degraded && strings.Contains(s.Why, "DEGRADED") && strings.Contains(s.LastFailure.What, "is lost with this node")
	})
	c.goesOn()
	p.kill(primary)
	p.start(standby)
	p.until(standby+" does not take over with what it has", func() bool {
		said, err := p.order(standby, "failover", "--primary-is-dead")
		return err != nil && strings.Contains(said, "no note that it has all that "+primary+" acknowledged")
	})
	if s, ok := p.status(standby); !ok || s.Role != postgres.Standby {
		t.Errorf("it is %s after it refused", s.Role)
	}
	p.start(primary)
	both()
	c.goesOn()
	// Once more, with the loss accepted: the checker sees it.
	p.kill(standby)
	p.is(primary, "is degraded", func(s postgres.Status) bool { return s.Degraded })
	c.goesOn()
	p.kill(primary)
	c.end()
	c.running.Wait()
	p.start(standby)
	p.until(standby+" takes over", func() bool {
		_, err := p.order(standby, "failover", "--primary-is-dead", "--accept-data-loss")
		return err == nil
	})
	p.start(primary)
	p.is(primary, "follows", func(s postgres.Status) bool { return s.State == postgres.StateFollowing })
	v := history.Judge(c.journal, c.read(standby))
	t.Logf("with the loss accepted: %d lost", len(v.Lost))
	if len(v.Lost) == 0 || len(v.Doubled) > 0 {
		t.Errorf("what was acknowledged by one alone is not missed, or two acknowledged: %s", v)
	}
	// A client of the new primary, which has its standby.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	one := &client{clients: c, id: 99}
	if err := one.connect(ctx); err != nil || one.server != standby {
		t.Errorf("%v, and a client has %s", err, one.server)
	}
	one.leave()
}
