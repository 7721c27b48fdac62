package e2e

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/bundle"
)

// rewritten is a backup with another header or manifest, whole and with checksums
// that are right: as a liar would make it.
func rewritten(t *testing.T, from string, change func(h *bundle.Header, c *bundle.Content)) []byte {
	t.Helper()
	file, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := bundle.NewReader(file, from)
	if err != nil {
		t.Fatal(err)
	}
	parts, order := map[string][]byte{}, []string{}
	for {
		name, part, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if parts[name], err = io.ReadAll(part); err != nil {
			t.Fatal(err)
		}
		order = append(order, name)
	}
	m, err := r.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	h := r.Header()
	change(&h, &m.Content)
	var made bytes.Buffer
	w, err := bundle.NewWriter(&made, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range order {
		part, err := w.Part(name)
		if err == nil {
			_, err = part.Write(parts[name])
		}
		if err == nil {
			err = part.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(m.Content); err != nil {
		t.Fatal(err)
	}
	return made.Bytes()
}

// What does not fit, or is not whole, is refused before anything is touched; what
// turns out to be something else than it says, before it is used.
func TestRestoreRefused(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	s.must("up")
	r := &rotator{stack: s, beside: s.server()}
	r.environment("precious")
	made := s.backedUp()
	good, err := os.ReadFile(made.Where)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	lie := func(change func(h *bundle.Header, c *bundle.Content)) []byte { return rewritten(t, made.Where, change) }
	started := s.docker("inspect", "-f", "{{.State.StartedAt}}", s.server(), s.db())
	for _, c := range []struct {
		name string
		text []byte
		says []string
	}{
		{"truncated", good[:len(good)*2/3], []string{"backup"}},
		{"a bit flipped", flipped, []string{"damaged"}},
		{"something else", []byte(strings.Repeat("no backup at all ", 1000)), []string{"no backup of inmanta-docker"}},
		{"empty", nil, []string{"backup"}},
		{"another major version", lie(func(h *bundle.Header, _ *bundle.Content) { h.Database.Major, h.Database.Version = 15, "15.3" }), []string{"PostgreSQL 15.3", "POSTGRESQL_VERSION=15"}},
		{"another edition", lie(func(h *bundle.Header, _ *bundle.Content) { h.Orchestrator.Edition = "Standard Edition" }), []string{"of the Standard Edition"}},
		{"of a service orchestrator", lie(func(h *bundle.Header, _ *bundle.Content) { h.Topology = append(h.Topology, "docker-compose.iso.yml") }), []string{"docker-compose.iso.yml"}},
		{"a newer orchestrator", lie(func(h *bundle.Header, _ *bundle.Content) { h.Orchestrator.Schema["core"] = 999901010 }), []string{"its orchestrator is newer"}},
		{"too large", lie(func(h *bundle.Header, _ *bundle.Content) { h.Database.Bytes = 1 << 50 }), []string{"free of the"}},
		{"other rows than it says", lie(func(_ *bundle.Header, c *bundle.Content) { c.Tables[3].Hash = "1" }), []string{"the rows of table", "are others", "nothing was replaced"}},
		{"other files than it says", lie(func(_ *bundle.Header, c *bundle.Content) { c.State.Files++ }), []string{"the state volume has"}},
	} {
		s.write("bad.inmanta-backup", string(c.text))
		t.Run(c.name, func(t *testing.T) {
			in := *s
			in.t = t
			in.fails(1, c.says, "restore", "--replace", filepath.Join(s.dir, "bad.inmanta-backup"))
		})
		s.has(c.name+":", "precious")
	}
	if now := s.docker("inspect", "-f", "{{.State.StartedAt}}", s.server(), s.db()); now != started {
		t.Errorf("something was restarted: %s, and before %s", now, started)
	}
	s.complete()
	if got := s.docker("exec", s.db(), "psql", "-XAtU", "inmanta", "-c", "select count(*) from pg_database"); got != "4" {
		t.Errorf("there are %s databases", got)
	}
	// A deployment whose name is that of a stack to verify backups keeps its data.
	volume, project := s.name+"-verify_inmanta-db-data", "com.docker.compose.project="+s.name+"-verify"
	s.docker("volume", "create", "--label", project, "--label", "com.docker.compose.volume=inmanta-db-data", volume)
	t.Cleanup(func() { s.docker("volume", "rm", volume) })
	s.fails(1, []string{"a deployment has the name", volume}, "backup", "verify", made.Where)
	s.docker("volume", "inspect", volume)
	s.fails(1, []string{"names no backup"}, "restore", s.dir)
	s.fails(1, []string{"no restore was cut short"}, "restore", "--continue")
	s.fails(1, []string{"--recipient", "key"}, "backup", "--recipient", "nobody")
}
