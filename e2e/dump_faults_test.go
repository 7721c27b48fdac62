package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/sidecar/postgres"
)

// The database goes away in the middle of a dump, and there is no room for one: that
// is said, with what to do, in the container's health and by status; what there is
// stays; and once it is mended, it goes on by itself.
func TestDumpFaults(t *testing.T) {
	t.Parallel()
	s := newDumper(t)
	disk, resize := s.smallDisk("20m")
	s.set("INMANTA_DB_DUMP_FOLDER", disk)
	if err := os.Symlink("disk", s.folder()); err != nil { // where the scenario looks
		t.Fatal(err)
	}
	s.start()
	s.until("the database is up", func() bool {
		return s.sh("docker exec "+s.db()+" pg_isready -h 127.0.0.1 -U inmanta").code == 0
	})
	s.sql("create table kept as select 42 as n")
	s.first()
	good := s.files()

	s.held()
	ended := s.begun()
	s.docker("kill", s.db())
	if r := ended(); r.code != 1 || !strings.Contains(r.stderr, "the dump failed") {
		t.Errorf("whoever asked for it is told %+v", r)
	}
	s.unwell("no database answers", "the last good one is "+good[0], "inmanta-docker up")
	s.says(s.fails(3, nil, "status").stdout, "db-dump: ", "no database answers", "last: 20")
	if got := s.files(); !slices.Equal(got, good) {
		t.Errorf("without the database there is %q, and was %q", got, good)
	}
	s.docker("start", s.db())
	s.until("it goes on by itself", func() bool { return len(s.files()) == 2*len(good) })
	s.well()
	s.whole(2)
	good = s.files()

	// What is written does not get smaller.
	s.sql("create table large as select md5(random()::text) || md5(random()::text) as text from generate_series(1, 700000)")
	s.fails(1, []string{"No space left on device", "make room in " + disk, "INMANTA_DB_DUMP_KEEP"}, "dump", "now")
	s.unwell("No space left on device", "the last good one is "+good[2])
	if got := s.files(); !slices.Equal(got, good) {
		t.Errorf("on a full disk there is %q, and was %q", got, good)
	}
	resize("256m")
	s.must("dump", "now")
	s.well()
	s.whole(3)

	// Somebody else's file takes the room for the next.
	if err := os.WriteFile(filepath.Join(disk, "rest"), bytes.Repeat([]byte{1}, 256<<20), 0o600); err == nil {
		t.Fatal("the disk does not fill")
	}
	s.unwell(disk+" has 0 B free, and the next dump may need", "make room")
	if err := os.Remove(filepath.Join(disk, "rest")); err != nil {
		t.Fatal(err)
	}
	s.well()

	// Somebody makes the folder his own; a restart takes it back.
	for _, path := range []string{disk, filepath.Join(disk, good[0])} {
		if err := os.Lchown(path, 4321, 4321); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	s.unwell("cannot be", "inmanta-docker restart db-dump")
	s.must("restart", "db-dump")
	s.well()
	s.whole(3)
}

// Of two databases the standby is dumped while it is in step, the primary where it
// is not or is gone, and the one that is left where the primary is.
func TestDumpOfStandby(t *testing.T) {
	t.Parallel()
	p := newPair(t, shape{more: `services:
  db-dump:
    networks: {clients: {}}
`})
	p.set("COMPOSE_FILE", "docker-compose.db-dump.yml:docker-compose.yml:docker-compose.db-replica.yml:pair.yml:more.yml")
	primary, standby := p.up()
	p.sql(primary, "create table kept as select 42 as n")
	s := &dumper{p.stack}
	s.stock("up -d --no-deps db-dump")
	s.first()
	of := func(when, host, role string) {
		t.Helper()
		all := s.ls().Dumps
		if last := all[len(all)-1]; last.Host != host || last.Role != role {
			t.Errorf("%s, %s is dumped as the %s, want %s as the %s", when, last.Host, last.Role, host, role)
		}
	}
	of("in step", standby, "standby")
	// It has what was acknowledged just before.
	for i := range 3 {
		p.sql(primary, "insert into kept select 43")
		s.must("dump", "now")
		of("in step", standby, "standby")
		all := s.ls().Dumps
		text := s.ok("docker exec -i " + p.container(primary) + " pg_restore --data-only --file=- < db-dumps/" + all[len(all)-1].File)
		if rows := strings.Count(text, "\n43"); rows != i+1 {
			t.Errorf("of %d rows the dump has %d", i+1, rows)
		}
	}

	p.cut() // it is still there, and does not get what is written
	p.is(standby, "has noticed", func(now postgres.Status) bool { return now.State != postgres.StateFollowing })
	s.until("it is behind", func() bool {
		return p.sql(standby, "select count(*) from pg_stat_wal_receiver where status = 'streaming'") == "0"
	})
	p.sql(primary, "set local synchronous_commit = local; insert into kept select 44")
	s.must("dump", "now")
	of("while the standby is cut off", primary, "primary")
	p.mend()
	p.whole()

	p.kill(standby)
	s.must("dump", "now")
	of("while the standby is down", primary, "primary")
	p.start(standby)
	p.whole()

	p.kill(primary)
	s.must("dump", "now")
	of("while the primary is down", standby, "standby")
	s.whole(7)
}
