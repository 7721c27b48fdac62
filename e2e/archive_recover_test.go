package e2e

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/backup"
)

// second is the second after this one, by the clock here, once it has begun and
// ended: what was done before it was called is before it, what is done after is
// after it.
func second() string {
	at := time.Now().Truncate(time.Second).Add(time.Second)
	time.Sleep(time.Until(at.Add(20 * time.Millisecond)))
	return at.Local().Format(time.DateTime)
}

// The lines of the page, from a deployment without an archive to one without again:
// the orchestrator shows what was there at the moment, and not what was before or
// after it, whatever kills the recovery.
func TestRecover(t *testing.T) {
	t.Parallel()
	s := &archiver{&dumper{newStack(t)}}
	s.must("init", s.dir)
	g := newGate(t)
	lines := map[string]string{}
	for _, block := range fenced(t, backupPage, "shell") {
		for _, line := range commands(block) {
			for _, word := range []string{"up -d", " ls", "recover", " rm ", "psql"} {
				if strings.Contains(line, word) {
					lines[word] = line
				}
			}
		}
	}
	page := func(word string, moment string) string {
		t.Helper()
		line := strings.ReplaceAll(lines[word], "2026-11-27 14:00:00", moment)
		if line == "" {
			t.Fatalf("the page has no line with %q", word)
		}
		return s.ok("cd " + s.dir + "; " + line)
	}
	s.fails(1, []string{"no archive of its database", "db-archive"}, "db", "recover", "--to", "latest")
	page("up -d", "")
	s.well()
	r := &rotator{stack: s.stack, beside: s.server()}
	r.environment("kept")
	kept := second()
	r.environment("later")
	later := second()
	s.says(page(" ls", ""), "base-20", "can be brought back", "next base backup")
	s.fails(1, []string{"later", "--replace"}, "db", "recover", "--to", later)
	for moment, words := range map[string][]string{
		"2020-01-01 00:00:00":  {"does not have 20", "it has what was from 20", "db-archive ls"},
		"2099-01-01T00:00:00Z": {"does not have 2099-01-01T00:00:00Z"},
		"yesterday":            {`"yesterday" is no moment`, "latest"},
	} {
		s.fails(1, words, "db", "recover", "--replace", "--to", moment)
	}
	s.has("refused,", "kept", "later")
	if got := decoded[struct{ Archive archiveState }](t, "status", s.must("status", "--json").stdout).Archive; !got.Healthy || !got.Streaming || len(got.Stretches) != 1 {
		t.Errorf("status says of the archive %+v", got)
	}

	page("recover", kept)
	s.has("at the moment,", "kept")
	if got := s.archive(); len(got.Stretches) != 1 {
		t.Errorf("after it there is a gap: %+v", got)
	}
	// What came after it is there all the same, for one that is killed and gone on with.
	phase := func(m moment, want backup.Phase, to string) {
		t.Helper()
		s.killed(g, m, "db", "recover", "--replace", "--to", to)
		if j, cutShort, err := backup.UnderWay(s.dir); err != nil || cutShort != (want != "") || j.Phase != want {
			t.Errorf("%s: it is cut short: %t, %s, %v, want %s", m.name, cutShort, j.Phase, err, want)
		}
	}
	phase(to("loading", "POST", `^/exec/\w+/start`, 8), backup.Loading, later)
	s.fails(1, []string{"bringing back the database", "--continue", "--put-back"}, "up")
	s.must("restore", "--continue")
	s.has("later,", "kept", "later")
	phase(to("replaying", "POST", `^/containers/create$`, 1), "", kept)
	s.has("not begun,", "kept", "later")
	phase(to("swapping", "POST", `^/exec/\w+/start`, 11), backup.Swapping, kept)
	s.must("restore", "--put-back")
	s.has("put back,", "kept", "later")
	phase(late(to("making the orchestrator", "POST", `^/containers/create\?name=`+s.server()+`$`, 0)), backup.Starting, kept)
	s.must("restore", "--continue")
	s.has("gone on with,", "kept")
	if got := s.docker("ps", "-aq", "--filter", "label=com.inmanta.docker.once="+s.name, "--filter", "status=running"); got != "" {
		t.Errorf("what was killed has left %s", got)
	}

	page(" rm ", "")
	page("psql", "")
	if got := s.sql("select count(*) from pg_replication_slots"); got != "0" {
		t.Errorf("there are %s slots", got)
	}
}

// A database that is lost with its volume is brought back from the archive alone.
func TestRecoverLost(t *testing.T) {
	t.Parallel()
	s := newArchiver(t)
	s.must("up")
	s.well()
	r := &rotator{stack: s.stack, beside: s.server()}
	r.environment("precious")
	s.archive()
	s.must("down", "-v")
	s.must("up")
	s.until("there is a second stretch", func() bool { all := s.archive().Stretches; return len(all) == 2 && !all[1].To.IsZero() })
	s.has("anew")
	s.must("db", "recover", "--to", s.archive().Stretches[0].To.Format(time.RFC3339Nano))
	s.has("brought back", "precious")
	if left, err := filepath.Glob(filepath.Join(s.dir, "db-archive", "*", "base-*.json")); err != nil || len(left) != 2 || !slices.IsSorted(left) || !regexp.MustCompile(regexp.QuoteMeta(s.name)+`-\d{8}T`).MatchString(left[0]) {
		t.Errorf("of base backups there are %v, %v", left, err)
	}
}
