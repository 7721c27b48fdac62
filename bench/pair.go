package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/orchestrator"
)

const (
	// pgbenchPairs is how often pgbench is run on each pair, pgbenchTime for how long.
	pgbenchPairs, pgbenchTime = 10, 8 * time.Second
	// pgbenchScale makes 150 MB: more than the server's own cache.
	pgbenchScale = 10
	// copyScale makes 5 GB, copyPairs is how often that is copied.
	copyScale, copyPairs = 335, 3
	// changes is how often the primary is changed, in either way.
	changes = 20
)

// byHand is a pair of the same image as PostgreSQL's manual has it: the image's
// own entrypoint, a slot, a copy, and the same settings that decide what an
// acknowledgement is worth.
const byHand = `services:
  hand:
    image: "${POSTGRESQL_IMAGE}"
    container_name: "${INMANTA_NAME}-hand"
    command: [postgres, -c, jit=off, -c, wal_log_hints=on, -c, max_slot_wal_keep_size=16GB]
    environment: {POSTGRES_USER: inmanta, POSTGRES_PASSWORD: inmanta, POSTGRES_INITDB_ARGS: --data-checksums}
    volumes: [hand:/var/lib/postgresql/data]
    shm_size: 256mb
  hand-standby:
    image: "${POSTGRESQL_IMAGE}"
    container_name: "${INMANTA_NAME}-hand-standby"
    user: postgres
    shm_size: 256mb
    volumes: [hand-standby:/var/lib/postgresql/data]
    environment: {PGPASSWORD: inmanta}
    entrypoint: [sh, -euc]
    command:
      - |
        if ! test -e $$PGDATA/PG_VERSION; then
          pg_basebackup -D $$PGDATA -X stream -c fast -R -S standby -d "host=hand user=replication application_name=standby"
        fi
        chmod 700 $$PGDATA
        exec postgres -c jit=off -c wal_log_hints=on
volumes: {hand: {}, hand-standby: {}}
`

// pairBench is our pair and one made by hand, both up.
type pairBench struct{ w *workshop }

// databasePairs are the rows that compare the pair of databases with one that
// is configured by hand, and those that say how long a change of the primary takes.
func databasePairs(ctx context.Context, w *workshop, chosen choice) error {
	rows := []struct {
		what    string
		measure func(*pairBench, context.Context) error
	}{
		{"pgbench", (*pairBench).throughput},
		{"switchover, failover", (*pairBench).changeRows},
		{"copy of 5 GB", (*pairBench).copyRows},
	}
	var b *pairBench
	for _, row := range rows {
		if !chosen.has("pair: " + row.what) {
			continue
		}
		if b == nil {
			var err error
			b = &pairBench{w}
			defer func() { _ = b.down(context.Background()) }() // the workshop removes what is left
			if err = b.up(ctx); err != nil {
				return fmt.Errorf("pair: %w", err)
			}
		}
		if err := row.measure(b, ctx); err != nil {
			return fmt.Errorf("pair: %s: %w", row.what, err)
		}
	}
	return nil
}

func (b *pairBench) compose(ctx context.Context, args ...string) error {
	_, err := b.w.command("docker-compose", append([]string{"-f", "docker-compose.yml", "-f", "docker-compose.db-replica.yml", "-f", "hand.yml"}, args...)...)(ctx)
	return err
}

func (b *pairBench) down(ctx context.Context) error {
	return b.compose(ctx, "down", "-v", "--timeout", "0")
}

// up starts ours, then the other and puts it together.
func (b *pairBench) up(ctx context.Context) error {
	if err := os.WriteFile(filepath.Join(b.w.dir, "hand.yml"), []byte(byHand), 0o644); err != nil {
		return err
	}
	if err := b.compose(ctx, "up", "-d", "hand", "db", "db-replica", "server"); err != nil {
		return err
	}
	if err := b.until(ctx, "the pair is durable", func() bool { return b.status("db").Durable }); err != nil {
		return err
	}
	hand := func(sql string) error { _, err := b.sql(ctx, "hand", "postgres", sql); return err }
	if err := b.until(ctx, "the one by hand takes connections", func() bool {
		_, err := b.exec(ctx, "hand", "pg_isready", "-h", "127.0.0.1", "-q")
		return err == nil
	}); err != nil {
		return err
	}
	err := errors.Join(
		hand("CREATE ROLE replication LOGIN REPLICATION PASSWORD 'inmanta'"),
		hand("SELECT pg_create_physical_replication_slot('standby', true)"),
		hand(`COPY (SELECT 'host replication replication all scram-sha-256') TO PROGRAM 'cat >> "$PGDATA"/pg_hba.conf'`),
		hand("SELECT pg_reload_conf()"),
	)
	if err != nil {
		return err
	}
	if err := b.compose(ctx, "up", "-d", "hand-standby"); err != nil {
		return err
	}
	if err := errors.Join(hand(`ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 ("standby")'`), hand("SELECT pg_reload_conf()")); err != nil {
		return err
	}
	return b.until(ctx, "the pair by hand is synchronous", func() bool {
		out, _ := b.sql(ctx, "hand", "postgres", "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'")
		return out == "1"
	})
}

// exec runs a command as postgres in one of the containers.
func (b *pairBench) exec(ctx context.Context, service string, command ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "docker", append([]string{"exec", "-u", "postgres", name + "-" + service}, command...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s in %s: %w: %s", command[0], service, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

func (b *pairBench) sql(ctx context.Context, service, database, statement string) (string, error) {
	return b.exec(ctx, service, "psql", "-U", "inmanta", "-d", database, "-XAtqc", statement)
}

// pairStatus is what is used here of what an agent says.
type pairStatus struct {
	Role    string `json:"role"`
	Running bool   `json:"running"`
	Durable bool   `json:"durable"`
	InStep  bool   `json:"in_step"`
}

// status is a node's; zero while it does not answer.
func (b *pairBench) status(service string) (s pairStatus) {
	out, err := b.exec(context.Background(), service, "/usr/local/bin/inmanta-sidecar", "postgres", "status")
	if err == nil {
		_ = json.Unmarshal([]byte(out), &s) // zero, then
	}
	return s
}

func (b *pairBench) until(ctx context.Context, what string, is func() bool) error {
	limited, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-limited.Done():
			return fmt.Errorf("waiting until %s: %w", what, limited.Err())
		}
	}
	return nil
}

var pgbenchSays = regexp.MustCompile(`(?s)latency average = ([0-9.]+) ms.*tps = ([0-9.]+)`)

// pgbench is the rate and the latency of one run.
func (b *pairBench) pgbench(ctx context.Context, service string, clients int) (rate, latency float64, err error) {
	out, err := b.exec(ctx, service, "pgbench", "-U", "inmanta", "-n", "-c", strconv.Itoa(clients), "-T", strconv.Itoa(int(pgbenchTime.Seconds())), "bench")
	if err != nil {
		return 0, 0, err
	}
	m := pgbenchSays.FindStringSubmatch(out)
	if m == nil {
		return 0, 0, fmt.Errorf("pgbench says %s", out)
	}
	latency, err1 := strconv.ParseFloat(m[1], 64)
	rate, err2 := strconv.ParseFloat(m[2], 64)
	return rate, latency, errors.Join(err1, err2)
}

func (b *pairBench) fill(ctx context.Context, service string, scale int) error {
	if _, err := b.sql(ctx, service, "postgres", "CREATE DATABASE bench"); err != nil {
		return err
	}
	_, err := b.exec(ctx, service, "pgbench", "-U", "inmanta", "-i", "-q", "-s", strconv.Itoa(scale), "bench")
	return err
}

func (b *pairBench) throughput(ctx context.Context) error {
	// It would work on one of the two only.
	if err := b.compose(ctx, "stop", "server"); err != nil {
		return err
	}
	defer func() { _ = b.compose(ctx, "start", "server") }() // what comes next says so if it is not there
	for _, service := range []string{"db", "hand"} {
		if err := b.fill(ctx, service, pgbenchScale); err != nil {
			return err
		}
	}
	header("a pair configured by hand")
	for _, clients := range []int{1, 8} {
		var rates, latencies [2][]float64
		for i := range pgbenchPairs {
			order := []int{0, 1}
			if i%2 == 1 {
				order = []int{1, 0}
			}
			for _, side := range order {
				rate, latency, err := b.pgbench(ctx, []string{"db", "hand"}[side], clients)
				if err != nil {
					return err
				}
				rates[side], latencies[side] = append(rates[side], rate), append(latencies[side], latency)
			}
		}
		what := fmt.Sprintf("pgbench, %d clients, %d runs of %s", clients, pgbenchPairs, pgbenchTime)
		row(what+": transactions a second", "≥ 0.97", rates[0], rates[1], "", 0)
		row(what+": latency", "≤ 1.03", latencies[0], latencies[1], "ms", 2)
	}
	return nil
}

// change is how long what came after a change took, in seconds, from when it was
// asked for.
type change struct{ promoted, durable, redundant []float64 }

// changeRows measure changes of the primary, with the orchestrator on them.
func (b *pairBench) changeRows(ctx context.Context) error {
	primary, standby := "db", "db-replica"
	serving := func() bool {
		status, err := b.w.api.Status(ctx)
		if err != nil {
			return false
		}
		ok, _ := orchestrator.Serving(status)
		return ok
	}
	if _, err := b.sql(ctx, primary, "postgres", "CREATE TABLE IF NOT EXISTS marks (n int)"); err != nil {
		return err
	}
	settled := func() error {
		return b.until(ctx, "the pair is durable and the orchestrator serves", func() bool {
			return b.status(primary).Durable && b.status(standby).InStep && serving()
		})
	}
	once := func(c *change, act func() error) error {
		if err := settled(); err != nil {
			return err
		}
		begin := time.Now()
		since := func(to *[]float64) { *to = append(*to, time.Since(begin).Seconds()) }
		if err := act(); err != nil {
			return err
		}
		since(&c.promoted)
		primary, standby = standby, primary
		if !b.status(standby).Running {
			if err := b.compose(ctx, "start", standby); err != nil {
				return err
			}
		}
		// It waits until both have it.
		if _, err := b.sql(ctx, primary, "postgres", "INSERT INTO marks VALUES (1)"); err != nil {
			return err
		}
		since(&c.durable)
		if err := b.until(ctx, "the pair is durable", func() bool { return b.status(primary).Durable }); err != nil {
			return err
		}
		since(&c.redundant)
		return nil
	}
	sidecar := func(service string, args ...string) error {
		_, err := b.exec(ctx, service, append([]string{"/usr/local/bin/inmanta-sidecar", "postgres"}, args...)...)
		return err
	}
	var planned, unplanned change
	for range changes {
		if err := once(&planned, func() error { return sidecar(primary, "switchover") }); err != nil {
			return err
		}
	}
	for range changes {
		err := once(&unplanned, func() error {
			if out, err := exec.CommandContext(ctx, "docker", "kill", name+"-"+primary).CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return sidecar(standby, "failover", "--primary-is-dead")
		})
		if err != nil {
			return err
		}
	}
	// The orchestrator seems to serve for a while after it has lost its database:
	// the command line, which restarts it, is what knows when it does.
	whole, err := b.byCommand(ctx, &primary, &standby, settled)
	if err != nil {
		return err
	}
	measuredHeader()
	for _, r := range []struct {
		what, target string
		values       []float64
	}{
		{"switchover: until the other is the primary", "≤ 2 s", planned.promoted},
		{"switchover: until the first write that both have", "", planned.durable},
		{"switchover: until both are in step again", "", planned.redundant},
		{"failover after `docker kill`, which is part of it: until the other is the primary", "≤ 2 s", unplanned.promoted},
		{"failover, the dead one started again at once: until the first write that both have", "", unplanned.durable},
		{"failover: until both are in step again", "", unplanned.redundant},
		{"`inmanta-docker db switchover`, until it returns: both are in step, and the orchestrator serves", "", whole.planned},
		{"`docker kill`, `inmanta-docker db failover` and `rejoin`, until the last returns: the same", "", whole.unplanned},
	} {
		fmt.Printf("| %s, of %d | %.2f s (worst %.2f) | %s |\n", r.what, changes, quantile(r.values, 0.5), quantile(r.values, 1), r.target)
	}
	return b.home(ctx, primary)
}

// wholes are how long commands took, in seconds.
type wholes struct{ planned, unplanned []float64 }

// byCommand changes the primary as an operator does.
func (b *pairBench) byCommand(ctx context.Context, primary, standby *string, settled func() error) (w wholes, err error) {
	if err := b.compose(ctx, "up", "-d", "server"); err != nil {
		return w, err
	}
	own := func(args ...string) error {
		_, err := b.w.command("inmanta-docker", append([]string{"-f", "docker-compose.yml", "-f", "docker-compose.db-replica.yml"}, args...)...)(ctx)
		return err
	}
	for range changes {
		for _, side := range []struct {
			to  *[]float64
			act func() error
		}{
			{&w.planned, func() error { return own("db", "switchover") }},
			{&w.unplanned, func() error {
				if out, err := exec.CommandContext(ctx, "docker", "kill", name+"-"+*primary).CombinedOutput(); err != nil {
					return fmt.Errorf("%w: %s", err, out)
				}
				return errors.Join(own("db", "failover"), own("db", "rejoin"))
			}},
		} {
			if err := settled(); err != nil {
				return w, err
			}
			begin := time.Now()
			if err := side.act(); err != nil {
				return w, err
			}
			*side.to = append(*side.to, time.Since(begin).Seconds())
			*primary, *standby = *standby, *primary
		}
	}
	return w, nil
}

// home makes db the primary again.
func (b *pairBench) home(ctx context.Context, primary string) error {
	if primary == "db" {
		return nil
	}
	if err := b.until(ctx, "the pair is durable", func() bool { return b.status(primary).Durable }); err != nil {
		return err
	}
	_, err := b.exec(ctx, primary, "/usr/local/bin/inmanta-sidecar", "postgres", "switchover")
	return err
}

// copyRows measure how long a standby takes from an empty volume until it is
// synchronous, beside pg_basebackup alone.
func (b *pairBench) copyRows(ctx context.Context) error {
	if err := b.compose(ctx, "stop", "server", "hand", "hand-standby"); err != nil {
		return err
	}
	measure := func(what, target string) error {
		ours, alone, err := interleave(ctx, copyPairs, nil, b.recopied, b.basebackup)
		if err != nil {
			return err
		}
		row(what, target, seconds(ours), seconds(alone), "s", 2)
		return nil
	}
	header("`pg_basebackup` alone")
	if err := measure(fmt.Sprintf("from an empty volume to a synchronous standby, nothing but the orchestrator's tables (%d pairs)", copyPairs), ""); err != nil {
		return err
	}
	if _, err := b.sql(ctx, "db", "postgres", "DROP DATABASE IF EXISTS bench"); err != nil {
		return err
	}
	if err := b.fill(ctx, "db", copyScale); err != nil {
		return err
	}
	return measure(fmt.Sprintf("from an empty volume to a synchronous standby, 5 GB (%d pairs)", copyPairs), "≤ 1.1")
}

// recopied times a standby whose volume was emptied.
func (b *pairBench) recopied(ctx context.Context) (sample, error) {
	if err := b.compose(ctx, "rm", "-sf", "db-replica"); err != nil {
		return sample{}, err
	}
	if out, err := exec.CommandContext(ctx, "docker", "volume", "rm", name+"_inmanta-db-replica-data").CombinedOutput(); err != nil {
		return sample{}, fmt.Errorf("%w: %s", err, out)
	}
	if err := b.compose(ctx, "create", "db-replica"); err != nil {
		return sample{}, err
	}
	begin := time.Now()
	if err := b.compose(ctx, "start", "db-replica"); err != nil {
		return sample{}, err
	}
	err := b.until(ctx, "the pair is durable", func() bool { return b.status("db").Durable })
	return sample{took: time.Since(begin)}, err
}

// basebackup times the copy alone, in a container that is there, to a folder of
// the same volume.
func (b *pairBench) basebackup(ctx context.Context) (sample, error) {
	begin := time.Now()
	_, err := b.exec(ctx, "db-replica", "sh", "-euc", `pg_basebackup -D "$PGDATA"/pgsql_tmp.bench -X stream -c fast \
		-d "host=db user=inmanta_replication passfile=/run/inmanta-postgres/pgpass application_name=bench"`)
	took := time.Since(begin)
	if err == nil {
		_, err = b.exec(ctx, "db-replica", "sh", "-euc", `rm -rf "$PGDATA"/pgsql_tmp.bench`)
	}
	return sample{took: took}, err
}
