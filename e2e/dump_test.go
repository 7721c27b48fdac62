package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The files dump_*_test.go dump a real database. The steps of a dump under kills
// are tested in sidecar/dbdump.

// dumper is the db-dump sidecar of a stack.
type dumper struct{ *stack }

// newDumper is a stack with a db-dump sidecar. Nothing runs yet.
func newDumper(t *testing.T) *dumper {
	t.Helper()
	s := &dumper{newStack(t)}
	s.must("init", s.dir)
	s.set("COMPOSE_FILE", "docker-compose.yml:docker-compose.db-dump.yml")
	return s
}

// container is the sidecar's container, folder that of the dumps.
func (s *dumper) container() string { return s.name + "-db-dump-sidecar" }
func (s *dumper) folder() string    { return filepath.Join(s.dir, "db-dumps") }

// start starts the database and the sidecar alone, with the stock tool.
func (s *dumper) start() {
	s.t.Helper()
	s.stock("up -d --no-deps db db-dump")
}

// dumpState is as much of `dump ls --json` as is looked at.
type dumpState struct {
	Healthy bool
	Reasons []string
	Running *struct{ Host, Role string }
	Last    *struct{ Dump, Error string }
	Next    time.Time
	Dumps   []oneDump
}

type oneDump struct {
	File, Flaw, SHA256, Host, Role string
	SizeBytes                      int64 `json:"size_bytes"`
	Entries                        int
}

// ls is what there is, as the sidecar says it.
func (s *dumper) ls() dumpState {
	s.t.Helper()
	return decoded[dumpState](s.t, "dump_ls", s.must("dump", "ls", "--json").stdout)
}

// well waits until the sidecar's own health check passes, sooner than the engine
// would ask.
func (s *dumper) well() {
	s.t.Helper()
	s.until("the sidecar is healthy", func() bool { return s.sh(s.health()).code == 0 })
}

// first waits for the first dump, which comes by itself.
func (s *dumper) first() {
	s.t.Helper()
	s.until("there is a dump", func() bool {
		all := s.run("dump", "ls", "--json")
		return all.code == 0 && len(decoded[dumpState](s.t, "dump_ls", all.stdout).Dumps) > 0
	})
	s.well()
}

// unwell waits until the sidecar's own health check fails with those words.
func (s *dumper) unwell(words ...string) {
	s.t.Helper()
	said := ""
	defer func() {
		if s.t.Failed() {
			s.t.Logf("the health check said: %s", said)
		}
	}()
	s.until(fmt.Sprintf("its health check says %q", words), func() bool {
		r := s.sh(s.health())
		said = r.stdout + r.stderr
		return r.code == 1 && !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(said, word) })
	})
}

// health is the health check that the compose file gives to the engine.
func (s *dumper) health() string {
	return "docker exec " + s.container() + " /usr/local/bin/inmanta-sidecar db-dump health"
}

// sql runs statements on the database.
func (s *dumper) sql(statements string) string {
	s.t.Helper()
	return s.docker("exec", s.db(), "psql", "-XAtqU", "inmanta", "-v", "ON_ERROR_STOP=1", "-c", statements)
}

// files are the names in the folder of the dumps.
func (s *dumper) files() []string {
	s.t.Helper()
	entries, err := os.ReadDir(s.folder())
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".lock") {
			names = append(names, entry.Name())
		}
	}
	return names
}

// whole fails the scenario unless the folder holds so many dumps with their
// checksums, all good, and nothing else.
func (s *dumper) whole(dumps int) {
	s.t.Helper()
	names := s.files()
	if len(names) != 2*dumps || slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, ".") }) {
		s.t.Errorf("in the folder there is %q, want %d dumps", names, dumps)
	}
	s.ok("cd db-dumps && sha256sum --check --strict *.sha256")
	all := s.ls().Dumps
	if len(all) != dumps || slices.ContainsFunc(all, func(one oneDump) bool { return one.Flaw != "" || one.Entries == 0 }) {
		s.t.Errorf("it says that there is %+v, want %d", all, dumps)
	}
}

// held takes a lock that a dump waits for, until released is called or the database
// ends.
func (s *dumper) held() (released func()) {
	s.t.Helper()
	const lock = "select pg_sleep(300) from (select pg_advisory_lock(1)) as l"
	command := s.command(s.t.Context(), "bash", "-c", "exec docker exec "+s.db()+
		" psql -XqU inmanta -c 'begin; lock table kept in access exclusive mode' -c '"+lock+"'")
	if err := command.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = command.Wait() })
	s.until("the table is locked", func() bool {
		return s.sql("select count(*) from pg_locks where locktype = 'advisory'") == "1"
	})
	return func() {
		s.t.Helper()
		s.sql("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'")
	}
}

// begun begins a dump that waits for the lock, and returns once it is half done;
// ended is what became of whoever asked for it.
func (s *dumper) begun() (ended func() result) {
	s.t.Helper()
	done := make(chan result, 1)
	go func() { done <- s.run("dump", "now") }()
	s.until("it dumps", func() bool {
		return slices.ContainsFunc(s.files(), func(name string) bool { return strings.HasSuffix(name, ".dump.partial") }) && s.ls().Running != nil
	})
	return func() result { return <-done }
}

// Alone with a database, from a fresh directory by the stock tool: the first dump
// comes by itself, can be read and restored, and is what it says; and what is there
// is there after each way of ending it.
func TestDump(t *testing.T) {
	t.Parallel()
	s := newDumper(t)
	// The operator is somebody, and not root.
	const operator = 12345
	if err := os.Chown(filepath.Join(s.dir, "inmanta-sidecar"), operator, operator); err != nil {
		t.Fatal(err)
	}
	s.set("INMANTA_DB_DUMP_KEEP", "2")
	s.start()
	s.unwell("there is no dump yet", "not a single table")
	s.sql("create table kept as select n, md5(n::text) as text from generate_series(1, 5000) as n")
	s.first()
	s.whole(1)
	if got := s.ls(); !got.Healthy || got.Dumps[0].Host != "db" || got.Dumps[0].Role != "primary" || !got.Next.After(time.Now()) {
		t.Errorf("it says of itself %+v", got)
	}
	confinedDumper(s)
	for path, mode := range map[string]os.FileMode{s.folder(): os.ModeDir | os.ModeSetgid | 0o770, filepath.Join(s.folder(), s.ls().Dumps[0].File): 0o640} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if is := info.Sys().(*syscall.Stat_t); info.Mode() != mode || is.Gid != operator || is.Uid == 0 {
			t.Errorf("%s is %s of %d, group %d", path, info.Mode(), is.Uid, is.Gid)
		}
	}

	// Restored elsewhere it is what was dumped.
	s.docker("exec", s.db(), "createdb", "-U", "inmanta", "--template=template0", "elsewhere")
	s.ok("docker exec -i " + s.db() + " pg_restore -U inmanta -d elsewhere --exit-on-error < db-dumps/" + s.ls().Dumps[0].File)
	const sum = "select count(*), md5(string_agg(text, ',' order by n)) from kept"
	if got, want := s.docker("exec", s.db(), "psql", "-XAtqU", "inmanta", "-d", "elsewhere", "-c", sum), s.sql(sum); got != want || !strings.HasPrefix(got, "5000|") {
		t.Errorf("restored it is %s, and was %s", got, want)
	}

	// Two more; the first is not kept.
	first := s.ls().Dumps[0].File
	for range 2 {
		s.says(s.must("dump", "now").stdout, "./db-dumps/"+s.name+"-20", "of db (primary)")
	}
	s.whole(2)
	if slices.ContainsFunc(s.ls().Dumps, func(one oneDump) bool { return one.File == first }) {
		t.Errorf("of three dumps the first, %s, is kept: %+v", first, s.ls())
	}
	s.says(s.must("dump", "ls").stdout, "db (primary)", "ok", "next: ")
	kept := s.files()

	// In the middle of a dump its container is killed, its process, and the engine is
	// asked to stop it; each time what was half done is gone afterwards.
	released := s.held()
	for how, end := range map[string]func(){
		"docker kill": func() { s.docker("kill", s.container()); s.docker("start", s.container()) },
		"kill -9":     func() { s.kill9(s.container()) },
		"docker stop": func() {
			began := time.Now()
			s.docker("stop", s.container())
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("it stops in %s", took)
			}
			if got := s.files(); !slices.Equal(got, kept) {
				t.Errorf("stopped, it leaves %q, and there was %q", got, kept)
			}
			s.docker("start", s.container())
		},
	} {
		ended := s.begun()
		end()
		if r := ended(); r.code == 0 {
			t.Errorf("%s: whoever asked is told that there is a dump: %+v", how, r)
		}
		s.until("what was half done is gone", func() bool { return slices.Equal(s.files(), kept) })
		s.well()
	}
	released()
	s.must("dump", "now")
	s.whole(2)

	// What it knows outlives the container, and the dumps outlive everything.
	before := s.ls().Dumps
	s.stock("down")
	s.start()
	s.well()
	if after := s.ls().Dumps; !slices.Equal(after, before) {
		t.Errorf("after down and up there is %+v, and was %+v", after, before)
	}
	s.stock("down -v")
	if got := s.volumes(); len(got) != 0 || len(s.files()) != 4 {
		t.Errorf("after down -v there is %v, and of the dumps %q", got, s.files())
	}
}

// confinedDumper is what the sidecar's process may do, as the kernel tells it, and
// where the password is not.
func confinedDumper(s *dumper) {
	s.t.Helper()
	all := s.processesOf(s.container())
	if len(all) != 1 || all[0].command != "/usr/local/bin/inmanta-sidecar db-dump" {
		s.t.Fatalf("in its container there are %v", all)
	}
	all[0].powerless(s.t)
	if own, uids := s.docker("exec", s.container(), "id", "-u", "postgres"), strings.Fields(all[0].status["Uid"]); len(uids) != 4 || slices.ContainsFunc(uids, func(uid string) bool { return uid != own }) {
		s.t.Errorf("it is %v, and postgres %s", uids, own)
	}
	_, rest, _ := strings.Cut(s.read(".env"), "INMANTA_DATABASE_PASSWORD=")
	password, _, _ := strings.Cut(rest, "\n")
	for _, said := range []string{s.docker("inspect", s.container()), s.docker("logs", s.container())} {
		if password = strings.Trim(password, `'"`); len(password) < 8 || strings.Contains(said, password) {
			s.t.Errorf("the password %q is shown", password)
		}
	}
	if listening := s.docker("exec", s.container(), "bash", "-c", "grep -c ' 0A ' /proc/net/tcp; true"); listening != "1" { // the engine's own name server
		s.t.Errorf("it listens on %s ports", listening)
	}
}

// The README's lines, as they stand.
func TestDumpExample(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"sudo docker compose", "inmanta-docker"} {
		t.Run(strings.ReplaceAll(tool, " ", "-"), func(t *testing.T) {
			s := newDumper(t)
			s.runsExample(dumpExample, tool, s.container(), 4, func() {
				s.ok("ls db-dumps/" + s.name + "-*.dump")
				if tool == "inmanta-docker" {
					dumpPage(s)
				}
			})
			s.ok("ls db-dumps/" + s.name + "-*.dump") // the dumps stay, whatever goes
		})
	}
}

// dumpPage runs the commands of the sidecar's page as they stand, in its order, on a
// deployment that serves.
func dumpPage(s *dumper) {
	s.t.Helper()
	s.project("precious")
	for i, block := range fenced(s.t, "../docs/sidecars/db-dump.md", "bash") {
		block = strings.NewReplacer("inmanta-*.dump", s.name+"-*.dump", "exec inmanta-db", "exec "+s.db(), "-i inmanta-db", "-i "+s.db()).Replace(block)
		if i > 0 && strings.Contains(block, "inmanta_restored") {
			s.sql("delete from project") // the mistake to go back before
		}
		r := s.sh(block)
		if r.code != 0 {
			s.t.Fatalf("%s: exit code %d\n%s%s", block, r.code, r.stdout, r.stderr)
		}
		switch {
		case strings.Contains(block, "dump now"):
			s.says(r.stdout, "./db-dumps/"+s.name+"-20")
		case strings.Contains(block, "ls --json"):
			s.says(r.stdout, `"role": "primary"`, "dumps", "next: 20")
		case strings.Contains(block, " look"):
			s.says(r.stdout, ": OK", "TABLE DATA public project", " id ")
		}
	}
	s.keeps("precious")
}
