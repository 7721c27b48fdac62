package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The files archive_*_test.go archive a real database, and bring it back.

// archiver is the db-archive sidecar of a stack.
type archiver struct{ *dumper }

// newArchiver is a stack with a db-archive sidecar. Nothing runs yet.
func newArchiver(t *testing.T) *archiver {
	t.Helper()
	s := &archiver{&dumper{newStack(t)}}
	s.must("init", s.dir)
	s.set("COMPOSE_FILE", "docker-compose.yml:docker-compose.db-archive.yml")
	return s
}

func (s *archiver) container() string { return s.name + "-db-archive-sidecar" }

// ask has the sidecar do something.
func (s *archiver) ask(what string) result {
	s.t.Helper()
	return s.sh("docker exec " + s.container() + " /usr/local/bin/inmanta-sidecar db-archive " + what)
}

// archiveState is as much of `db-archive ls --json` as is looked at.
type archiveState struct {
	Healthy, Streaming bool
	Reasons            []string
	HeldBytes          int64 `json:"held_bytes"`
	Next               time.Time
	Stretches          []struct {
		Name     string
		From, To time.Time
		Bases    []struct{ Name, Segment string }
	}
}

// archive is what there is, as the sidecar says it, with all that has been
// committed.
func (s *archiver) archive() archiveState {
	s.t.Helper()
	r := s.ask("ls --json")
	if r.code != 0 {
		s.t.Fatalf("the archive says %+v", r)
	}
	var state archiveState
	if err := json.Unmarshal([]byte(r.stdout), &state); err != nil {
		s.t.Fatalf("%v\n%s", err, r.stdout)
	}
	return state
}

// well waits until the sidecar's own health check passes, and there is something to
// be brought back.
func (s *archiver) well() {
	s.t.Helper()
	s.until("the archive is healthy", func() bool {
		r := s.ask("health")
		return r.code == 0 && strings.Contains(r.stdout, "can be brought back")
	})
}

// unwell waits until the sidecar's own health check fails with those words.
func (s *archiver) unwell(words ...string) {
	s.t.Helper()
	said := ""
	defer func() {
		if s.t.Failed() {
			s.t.Logf("the health check said: %s", said)
		}
	}()
	s.until("its health check says "+strings.Join(words, ", "), func() bool {
		r := s.ask("health")
		said = r.stdout + r.stderr
		return r.code == 1 && !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(said, word) })
	})
}

// moment is now, with nothing that happens just before or after it in doubt.
func (s *archiver) moment() string {
	time.Sleep(20 * time.Millisecond)
	defer time.Sleep(20 * time.Millisecond)
	return time.Now().UTC().Format(time.RFC3339Nano)
}

// rows adds so many rows to the table, one commit each, and grows the log.
func (s *archiver) rows(n string) {
	s.t.Helper()
	s.sql("do 'begin for i in 1.." + n + " loop insert into kept select coalesce(max(n), 0) + 1, repeat(md5(random()::text), 30) from kept; commit; end loop; end'")
}

// replayed is how many rows the archive has at a moment, of which none is missing
// in between.
func (s *archiver) replayed(moment string) string {
	s.t.Helper()
	name := s.name + "-replay"
	defer s.sh("docker rm -fv " + name)
	s.ok("docker run -d --name " + name + " --label com.docker.compose.project=" + s.name + " --network none --user 0:0 --cap-drop ALL --cap-add CHOWN --cap-add SETGID --cap-add SETPCAP --cap-add SETUID" +
		" -v /recovered -v " + filepath.Join(s.dir, "db-archive") + ":/db-archive:ro -v " + filepath.Join(s.dir, "inmanta-sidecar") + ":/usr/local/bin/inmanta-sidecar:ro" +
		" --entrypoint inmanta-sidecar " + s.docker("inspect", "-f", "{{.Config.Image}}", s.db()) + " db-archive recover " + s.name + " " + moment)
	said := ""
	s.until("it is brought back", func() bool {
		r := s.sh("docker logs " + name)
		said = r.stdout + r.stderr
		if s.docker("inspect", "-f", "{{.State.Running}}", name) != "true" {
			s.t.Fatalf("bringing back %s ends with %s", moment, said)
		}
		return strings.Contains(r.stdout, "recovered")
	})
	return s.docker("exec", "-u", "postgres", name, "psql", "-XAtqU", "inmanta", "-c", "select count(*) = coalesce(max(n), 0), count(*) from kept")
}

// Alone with a database, from a fresh directory by the stock tool: the archive has
// every moment, whoever is killed at whatever time, and keeps what it has to.
func TestArchive(t *testing.T) {
	t.Parallel()
	s := newArchiver(t)
	// The operator is somebody, and not root.
	const operator = 12345
	if err := os.Chown(filepath.Join(s.dir, "inmanta-sidecar"), operator, operator); err != nil {
		t.Fatal(err)
	}
	s.set("INMANTA_DB_ARCHIVE_KEEP", "1")
	s.stock("up -d --no-deps db db-archive")
	s.well()
	confinedArchiver(s)
	s.sql("create table kept (n int primary key, text text)")
	s.rows("10")
	ten := s.moment()
	began := time.Now()
	s.rows("2000")
	if got := s.archive(); !got.Healthy || !got.Streaming || len(got.Stretches) != 1 || len(got.Stretches[0].Bases) != 1 || !got.Next.After(time.Now()) {
		t.Fatalf("it says of itself %+v", got)
	}

	// Each of them is killed while it writes.
	for name, kill := range map[string]func(){
		"the sidecar's process": func() { s.kill9(s.container()) },
		"the sidecar":           func() { s.docker("kill", s.container()); s.docker("start", s.container()) },
		"the database":          func() { s.docker("kill", s.db()); s.docker("start", s.db()) },
	} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.sh("docker exec " + s.db() + ` psql -XqU inmanta -c "do 'begin for i in 1..20000 loop insert into kept select max(n) + 1, repeat(md5(random()::text), 30) from kept; commit; end loop; end'"`)
		}()
		before := s.sql("select count(*) from kept")
		s.until("it writes", func() bool { return s.sql("select count(*) from kept") != before })
		kill()
		s.until("the database is up", func() bool {
			return s.sh("docker exec "+s.db()+" psql -XAtqU inmanta -c 'select pg_terminate_backend(pid) from pg_stat_activity where query like $$do%$$'").code == 0
		})
		<-done
		s.well()
		if got := s.archive(); len(got.Stretches) != 1 {
			t.Errorf("after %s was killed there is a gap: %+v", name, got)
		}
	}
	rows := s.sql("select count(*) from kept")
	s.archive()
	if got := s.replayed("latest"); got != "t|"+rows {
		t.Errorf("of %s rows the archive has %s", rows, got)
	}
	if got := s.replayed(ten); got != "t|10" {
		t.Errorf("when there were 10 rows the archive has %s", got)
	}

	// A slot that is gone is a gap: what was before it stays until there is as much
	// behind it, and is not promised as one with it.
	s.docker("stop", s.container())
	s.sql("select pg_drop_replication_slot('db_archive')")
	s.rows("10")
	s.docker("start", s.container())
	s.until("there is another stretch", func() bool {
		all := s.archive().Stretches
		return len(all) == 1 && !all[0].To.IsZero() && all[0].From.After(began)
	})
	rows = s.sql("select count(*) from kept")
	if got := s.replayed("latest"); got != "t|"+rows {
		t.Errorf("behind the gap, of %s rows the archive has %s", rows, got)
	}

	// The archive outlives everything.
	s.stock("down -v")
	if entries, err := os.ReadDir(filepath.Join(s.dir, "db-archive")); err != nil || len(s.volumes()) != 0 || len(entries) != 3 {
		t.Errorf("after down -v there is %v, and of the archive %v, %v", s.volumes(), entries, err)
	}
}

// confinedArchiver is what the sidecar's processes may do, as the kernel tells it,
// and whose the archive is.
func confinedArchiver(s *archiver) {
	s.t.Helper()
	own := s.docker("exec", s.container(), "id", "-u", "postgres")
	for _, p := range s.processesOf(s.container()) {
		p.powerless(s.t)
		if uids := strings.Fields(p.status["Uid"]); len(uids) != 4 || slices.ContainsFunc(uids, func(uid string) bool { return uid != own }) {
			s.t.Errorf("%s is %v, and postgres %s", p.command, uids, own)
		}
	}
	if got := s.ok("stat -c '%a %u %g' db-archive"); strings.TrimSpace(got) != "2770 "+own+" 12345" {
		s.t.Errorf("the archive is %s", got)
	}
}

// A disk that is full makes the archive say so, and the database go on; what it has
// is not promised beyond that, and with room it has everything again.
func TestArchiveFull(t *testing.T) {
	t.Parallel()
	s := newArchiver(t)
	disk, resize := s.smallDisk("400m")
	s.set("INMANTA_DB_ARCHIVE_FOLDER", disk)
	if err := os.Symlink("disk", filepath.Join(s.dir, "db-archive")); err != nil { // where the scenario looks
		t.Fatal(err)
	}
	s.stock("up -d --no-deps db db-archive")
	s.well()
	s.sql("create table kept (n int primary key, text text)")
	s.rows("10")
	s.archive()
	if _, err := os.Create(filepath.Join(disk, "rest")); err != nil {
		t.Fatal(err)
	}
	s.sh("dd if=/dev/zero of=" + filepath.Join(disk, "rest") + " bs=64k")
	s.rows("20000")
	s.unwell("nothing is archived", "No space left on device", "make room in "+disk)
	s.rows("10") // the database goes on
	if got := s.archive(); got.Healthy || got.Streaming || got.HeldBytes == 0 {
		t.Errorf("full, it says of itself %+v", got)
	}
	s.says(s.fails(3, nil, "status").stdout, "db-archive: nothing is archived", "No space left on device", "from 20")
	// Whoever comes anew meets the same.
	s.docker("restart", s.container())
	s.unwell("nothing is archived", "o space left on device", "make room in "+disk)
	resize("1g")
	s.well()
	rows := s.sql("select count(*) from kept")
	if got := s.archive(); len(got.Stretches) != 1 || rows != "20020" {
		t.Errorf("of %s rows, with room again, it says %+v", rows, got)
	}
	if got := s.replayed("latest"); got != "t|"+rows {
		t.Errorf("of %s rows the archive has %s", rows, got)
	}
}
