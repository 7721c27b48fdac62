package backup

import (
	"slices"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/bundle"
)

// taken is a backup that fits fitting.
func taken() (bundle.Header, bundle.Manifest) {
	h := bundle.Header{
		Topology:     []string{"docker-compose.yml"},
		Images:       map[string]bundle.Image{"server": {Reference: "ghcr.io/inmanta/orchestrator:9"}},
		Orchestrator: bundle.Orchestrator{Edition: "Open Source Edition", Version: "9.0", Schema: map[string]int64{"core": 202601010}},
		Database:     bundle.Server{Version: "16.4", Major: 16, Bytes: 100 << 20, Encoding: "UTF8"},
	}
	m := bundle.Manifest{
		Parts:   []bundle.Part{{Name: bundle.State}, {Name: bundle.Database}},
		Content: bundle.Content{State: bundle.Volume{Bytes: 10 << 20}},
	}
	return h, m
}

func fitting() Target {
	return Target{
		Where: "/srv/inmanta", Major: 16, Encoding: "UTF8", Edition: "Open Source Edition",
		Known: map[string]int64{"core": 202602020}, DatabaseFree: 1 << 30, StateFree: 1 << 30,
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(h *bundle.Header, m *bundle.Manifest, t *Target)
		want   []string // IDs
		says   string
	}{
		"it fits":                    {func(*bundle.Header, *bundle.Manifest, *Target) {}, nil, ""},
		"nothing is known of it yet": {func(_ *bundle.Header, _ *bundle.Manifest, t *Target) { *t = Target{DatabaseFree: -1, StateFree: -1} }, nil, ""},
		"another major version": {func(_ *bundle.Header, _ *bundle.Manifest, t *Target) { t.Major = 17 },
			[]string{"backup-postgresql"}, "it is of PostgreSQL 16.4, and the database in /srv/inmanta is of major version 17"},
		"another encoding": {func(_ *bundle.Header, _ *bundle.Manifest, t *Target) { t.Encoding = "SQL_ASCII" }, []string{"backup-encoding"}, "UTF8"},
		"another edition runs": {func(_ *bundle.Header, _ *bundle.Manifest, t *Target) { t.Edition = "Standard Edition" },
			[]string{"backup-edition"}, "the Standard Edition"},
		"of the service orchestrator": {func(h *bundle.Header, _ *bundle.Manifest, t *Target) {
			h.Topology, t.Edition = append(h.Topology, "docker-compose.iso.yml"), ""
		}, []string{"backup-edition"}, "has no docker-compose.iso.yml"},
		"into a service orchestrator": {func(_ *bundle.Header, _ *bundle.Manifest, t *Target) { t.Edition, t.Service = "", true }, []string{"backup-edition"}, "has docker-compose.iso.yml"},
		"a newer orchestrator": {func(h *bundle.Header, _ *bundle.Manifest, t *Target) { t.Known["core"] = 202512310 },
			[]string{"backup-schema"}, `the tables of "core" are of version 202601010, and the image of /srv/inmanta knows them up to 202512310`},
		"a part that it has not": {func(h *bundle.Header, _ *bundle.Manifest, t *Target) { h.Orchestrator.Schema["lsm"] = 1 }, []string{"backup-schema"}, `a part "lsm"`},
		"no state":               {func(_ *bundle.Header, m *bundle.Manifest, _ *Target) { m.Parts = m.Parts[1:] }, []string{"backup-incomplete"}, "state.tar.zst"},
		"no room for the database": {func(_ *bundle.Header, _ *bundle.Manifest, t *Target) { t.DatabaseFree = 50 << 20 },
			[]string{"backup-room"}, "has 50MiB free of the 100MiB"},
		"no room for the state": {func(_ *bundle.Header, _ *bundle.Manifest, t *Target) { t.StateFree = 0 }, []string{"backup-room"}, "0B free of the 74MiB"},
		"all at once": {func(h *bundle.Header, m *bundle.Manifest, t *Target) {
			t.Major, t.StateFree, t.Encoding, m.Parts = 17, 0, "LATIN1", nil
		}, []string{"backup-incomplete", "backup-incomplete", "backup-postgresql", "backup-encoding", "backup-room"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, m := taken()
			target := fitting()
			c.change(&h, &m, &target)
			list := Problems("b.inmanta-backup", h, m, target)
			var got []string
			for _, p := range list {
				got = append(got, p.ID)
				if p.Where != "b.inmanta-backup" || p.Fix == "" {
					t.Errorf("%+v says not where, or not what to do", p)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if !strings.Contains(list.Error(), c.says) {
				t.Errorf("it says %s", list)
			}
		})
	}
}

func TestDifferences(t *testing.T) {
	t.Parallel()
	want := []bundle.Table{{Schema: "public", Name: "a", Rows: 1, Hash: "1"}, {Schema: "public", Name: "b", Rows: 2, Hash: "2"}, {Schema: "lsm", Name: "b", Rows: 0, Hash: "0"}}
	if got := Differences(want, []bundle.Table{want[2], want[1], want[0]}); len(got) != 0 {
		t.Errorf("the same, in another order: %q", got)
	}
	got := Differences(want, []bundle.Table{{Schema: "public", Name: "a", Rows: 1, Hash: "9"}, {Schema: "public", Name: "b", Rows: 3, Hash: "2"}, {Schema: "public", Name: "c"}})
	if want := []string{
		"the rows of table public.a are others", "the table public.b has 3 rows, not 2", "the table lsm.b is missing", "there is a table public.c that the backup has not",
	}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSchemas(t *testing.T) {
	t.Parallel()
	const files = `997 995
/opt/inmanta/lib/python3.13/site-packages/inmanta/db/versions/v202603040.py
/opt/inmanta/lib/python3.13/site-packages/inmanta/db/versions/v202610150.py
/opt/inmanta/lib/python3.13/site-packages/inmanta/db/versions/v17.py
/opt/inmanta/lib/python3.13/site-packages/inmanta_lsm/db/versions/v7.py
/opt/inmanta/lib/python3.13/site-packages/other/db/versions/v9.py
/opt/inmanta/lib/python3.13/site-packages/inmanta/db/versions/vnext.py
/opt/inmanta/lib/python3.13/site-packages/inmanta/db/versions/__init__.py`
	got := Schemas(files)
	if len(got) != 2 || got["core"] != 202610150 || got["lsm"] != 7 {
		t.Errorf("got %v", got)
	}
}
