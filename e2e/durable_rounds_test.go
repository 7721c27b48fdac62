package e2e

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/postgres"
)

// rounds are how many faults TestDurableRounds deals out: 20, or with
// INMANTA_DURABLE_SOAK=1, as `make soak` has it, 200.
func rounds() int {
	if os.Getenv("INMANTA_DURABLE_SOAK") == "1" {
		return 200
	}
	return 20
}

// TestDurableRounds has four clients write and read while the pair is killed,
// parted, frozen and turned about at random, and compares all that they were
// told with what is there in the end. INMANTA_DURABLE_SEED repeats a run's faults.
func TestDurableRounds(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if given, err := strconv.ParseUint(os.Getenv("INMANTA_DURABLE_SEED"), 10, 64); err == nil {
		seed = given
	}
	t.Logf("INMANTA_DURABLE_SEED=%d", seed)
	p := newPair(t, shape{})
	p.up()
	c := p.clients(4, 3*time.Second)
	c.goesOn()
	dice := rand.New(rand.NewPCG(seed, 0))
	began := time.Now()
	for n := range rounds() {
		fault := roundFaults[dice.IntN(len(roundFaults))]
		t.Logf("%6.1fs, round %d: %s", time.Since(began).Seconds(), n+1, fault.name)
		primary, standby := p.whole()
		time.Sleep(time.Duration(dice.IntN(300)) * time.Millisecond) // of ordinary work
		fault.run(p, dice, primary, standby)
		p.whole()
		c.goesOn()
	}
	v := c.judge()
	t.Logf("%d rounds, seed %d: %s", rounds(), seed, v)
}

// awhile is how long a fault lasts.
func awhile(dice *rand.Rand) { time.Sleep(time.Duration(dice.IntN(1500)) * time.Millisecond) }

// roundFaults happen to a pair that is whole, and leave one that becomes whole
// again without help.
var roundFaults = []struct {
	name string
	run  func(p *pair, dice *rand.Rand, primary, standby string)
}{
	{"the standby is killed", func(p *pair, dice *rand.Rand, _, standby string) {
		p.kill(standby)
		awhile(dice)
		p.start(standby)
	}},
	{"the primary is killed", func(p *pair, dice *rand.Rand, primary, _ string) {
		p.kill(primary)
		awhile(dice)
		p.start(primary)
	}},
	{"both are killed", func(p *pair, dice *rand.Rand, primary, standby string) {
		p.kill(standby)
		awhile(dice)
		p.kill(primary)
		p.start(standby)
		awhile(dice)
		p.start(primary)
	}},
	{"a server is killed", func(p *pair, dice *rand.Rand, _, _ string) {
		p.shell(nodes[dice.IntN(2)], "kill -9 $(head -1 $PGDATA/postmaster.pid) || true")
		awhile(dice)
	}},
	{"the link is cut", func(p *pair, dice *rand.Rand, _, _ string) {
		p.cut()
		awhile(dice)
		p.mend()
	}},
	{"the standby is frozen", func(p *pair, dice *rand.Rand, _, standby string) {
		p.docker("pause", p.container(standby))
		awhile(dice)
		p.docker("unpause", p.container(standby))
	}},
	{"the primary is frozen", func(p *pair, dice *rand.Rand, primary, _ string) {
		p.docker("pause", p.container(primary))
		awhile(dice)
		p.docker("unpause", p.container(primary))
	}},
	{"switchover", func(p *pair, _ *rand.Rand, primary, _ string) {
		p.done(primary, "switchover")
	}},
	{"switchover, and a death in it", func(p *pair, dice *rand.Rand, primary, _ string) {
		ordered := make(chan struct{})
		go func() {
			defer close(ordered)
			_, _ = p.order(primary, "switchover") // whatever comes of it
		}()
		time.Sleep(time.Duration(dice.IntN(800)) * time.Millisecond)
		victim := nodes[dice.IntN(2)]
		p.kill(victim)
		<-ordered
		p.start(victim)
	}},
	{"failover", func(p *pair, dice *rand.Rand, primary, standby string) {
		p.kill(primary)
		p.takeOver(standby)
		awhile(dice)
		p.start(primary)
	}},
	{"failover, and the old primary is back at once", func(p *pair, _ *rand.Rand, primary, standby string) {
		p.kill(primary)
		p.takeOver(standby)
		p.start(primary)
	}},
	{"failover from a frozen primary", func(p *pair, dice *rand.Rand, primary, standby string) {
		p.docker("pause", p.container(primary))
		p.takeOver(standby)
		awhile(dice)
		p.docker("unpause", p.container(primary))
	}},
	{"failover behind a cut link", func(p *pair, dice *rand.Rand, _, standby string) {
		p.cut()
		p.takeOver(standby)
		awhile(dice)
		p.mend()
	}},
}

// takeOver asks a standby until it does, which it does not for as long as the
// old primary's log comes in.
func (p *pair) takeOver(standby string) {
	p.t.Helper()
	p.until(standby+" takes over", func() bool {
		_, err := p.order(standby, "failover", "--primary-is-dead")
		s, ok := p.status(standby)
		return err == nil || ok && s.Role == postgres.Primary
	})
}
