package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/postgres"
)

// wound has the clocks of both databases be what the test says: of their servers,
// that is, whose timeouts go by the time of day. Their agents have none that do.
func wound(t *testing.T) (p *pair, wind func(node, offset string)) {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1")
	if err != nil || len(found) != 1 {
		t.Fatalf("libfaketime is not installed (%q, %v): run e2e/clients", found, err)
	}
	more := "services:\n"
	for _, node := range nodes {
		more += fmt.Sprintf(`  %s:
    environment: {LD_PRELOAD: /usr/local/lib/faketime.so, FAKETIME_TIMESTAMP_FILE: /clock, FAKETIME_NO_CACHE: "1", FAKETIME_DONT_FAKE_MONOTONIC: "1"}
    volumes: [%q, %q]
`, node, found[0]+":/usr/local/lib/faketime.so:ro", "./clock-"+node+":/clock:ro")
	}
	p = newPair(t, shape{more: more})
	wind = func(node, offset string) {
		t.Helper()
		// Written where it is: another file would not be the one that is mounted.
		if err := os.WriteFile(filepath.Join(p.dir, "clock-"+node), []byte(offset+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return p, wind
}

// ahead is how far a server's clock is before this machine's.
func (p *pair) ahead(node string) time.Duration {
	p.t.Helper()
	at, err := strconv.ParseFloat(p.sql(node, "SELECT extract(epoch FROM clock_timestamp())"), 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return time.Until(time.Unix(int64(at), 0)).Round(time.Hour)
}

// TestDurableClocks has two clocks that are days apart, and that jump both ways
// under clients, in a switchover, and in a failover.
func TestDurableClocks(t *testing.T) {
	t.Parallel()
	p, wind := wound(t)
	first, second := nodes[0], nodes[1]
	wind(first, "+2d")
	wind(second, "-2d")
	p.up()
	if a, b := p.ahead(first), p.ahead(second); a != 48*time.Hour || b != -48*time.Hour {
		t.Fatalf("the clocks are %s and %s off: nothing is tried here", a, b)
	}
	c := p.clients(4, longAnswer)
	c.goesOn()
	for _, jump := range [][2]string{{"-3d", "+1d"}, {"+10d", "+1d"}, {"+10d", "-10d"}} {
		wind(first, jump[0])
		wind(second, jump[1])
		c.goesOn()
		p.whole()
	}
	primary, standby := p.whole()
	p.done(primary, "switchover")
	wind(standby, "-1d")
	c.goesOn()
	primary, standby = p.whole()
	wind(primary, "-20d")
	c.goesOn()
	p.kill(primary)
	wind(standby, "+20d")
	p.is(standby, "receives nothing", func(s postgres.Status) bool { return s.State == postgres.StateCatchingUp })
	p.done(standby, "failover", "--primary-is-dead")
	p.waits(standby)
	c.blocked(time.Second)
	wind(primary, "+30d")
	p.start(primary)
	c.goesOn()
	if now, _ := p.whole(); now != standby {
		t.Errorf("%s is the primary", now)
	}
	if v := c.judge(); v.Terms != 3 {
		t.Errorf("a clock made a term of its own: %s", v)
	}
}
