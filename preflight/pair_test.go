package preflight

import (
	"archive/tar"
	"bytes"
	"testing"
	"time"

	inmantadocker "github.com/inmanta/inmanta-docker"
	"github.com/inmanta/inmanta-docker/topology"
)

// A pair is only parted where the database that stays is the primary.
func TestParted(t *testing.T) {
	then := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	refused := func(words string) []want {
		return []want{{"pair-parted", "the service db", words, "inmanta-docker db switchover"}}
	}
	for name, c := range map[string]struct {
		one, other PairRecord
		problems   []want
	}{
		"never a pair":      {},
		"the primary stays": {one: PairRecord{Role: "primary", Since: then}, other: PairRecord{Role: "standby", Since: then.Add(time.Hour)}},
		"the standby stays": {one: PairRecord{Role: "standby"}, other: PairRecord{Role: "primary"}, problems: refused("it is the standby of db-replica")},
		"a copy stays":      {one: PairRecord{Role: "standby", Phase: "making"}, problems: refused("only being made")},
		"it was superseded": {
			one: PairRecord{Role: "primary", Since: then}, other: PairRecord{Role: "primary", Since: then.Add(time.Minute)},
			problems: refused("db-replica has taken over"),
		},
		"it has superseded": {one: PairRecord{Role: "primary", Since: then.Add(time.Minute)}, other: PairRecord{Role: "primary", Since: then}},
		"it was fenced":     {one: PairRecord{Role: "primary", Fenced: "db-replica was made the primary"}, problems: refused("has taken over")},
		"it hands over":     {one: PairRecord{Role: "primary", Handover: true}, problems: refused("has taken over")},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			d, s := l.open()
			f := fine(s)
			if c.one.Role != "" {
				f.Pair = map[string]PairRecord{topology.Database: c.one, topology.Replica: c.other}
			}
			problems, warnings := Check(d, s, f)
			l.expect("problem", problems, c.problems...)
			l.expect("warning", warnings)
		})
	}
}

// Only a topology with one database, and no agent, has volumes of a pair to ask about.
func TestLeftByPair(t *testing.T) {
	for name, c := range map[string]struct {
		overlay string
		want    string
	}{
		"one database": {want: "lab_inmanta-db-replica-data"},
		"a pair":       {overlay: "docker-compose.db-replica.yml"},
		"half a pair":  {overlay: "docker-compose.db-primary.yml"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			if c.overlay != "" {
				extended, err := inmantadocker.Files.ReadFile("docker-compose.db-replica.yml")
				if err != nil {
					t.Fatal(err)
				}
				l.write(map[string]string{"docker-compose.db-replica.yml": string(extended)}).with(c.overlay)
			}
			_, s := l.open()
			if got := leftByPair(s.Project); got[topology.Replica] != c.want || c.want != "" && got[topology.Database] != "lab_inmanta-db-data" {
				t.Errorf("it asks about %v", got)
			}
		})
	}
}

// Going on alone is warned of, where there is a pair.
func TestDegrading(t *testing.T) {
	const setting = "INMANTA_DATABASE_WHEN_ALONE="
	for name, c := range map[string]struct {
		value, overlay string
		problems       []want
		warnings       []want
	}{
		"wait":     {value: "wait", overlay: "docker-compose.db-replica.yml"},
		"degrade":  {value: "degrade", overlay: "docker-compose.db-replica.yml", warnings: []want{{"degrade", ".env:1", "WHAT IS ACKNOWLEDGED THEN IS LOST", "INMANTA_DATABASE_WHEN_ALONE=wait"}}},
		"no pair":  {value: "degrade"},
		"nonsense": {value: "maybe", overlay: "docker-compose.db-replica.yml", problems: []want{{"setting-invalid", ".env:1", "neither wait nor degrade", "write wait"}}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t).write(map[string]string{".env": setting + c.value + "\n"})
			if c.overlay != "" {
				l.with(c.overlay)
			}
			d, s := l.open()
			problems, warnings := Static(d, s)
			l.expect("problem", problems, c.problems...)
			l.expect("warning", warnings, c.warnings...)
		})
	}
}

// archived is a tar archive of one file.
func archived(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "node.json", Mode: 0o600, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRecordIn(t *testing.T) {
	r, err := recordIn(bytes.NewReader(archived(t, []byte(`{"node":"db","role":"primary","strict":true,"since":"2026-11-27T11:38:30Z","phase":"making"}`))))
	if err != nil || r.Role != "primary" || r.Phase != "making" || r.Since.IsZero() {
		t.Errorf("read %+v, %v", r, err)
	}
	if _, err := recordIn(bytes.NewReader(archived(t, []byte("half of")))); err == nil {
		t.Error("a damaged record is read")
	}
}

func FuzzRecordIn(f *testing.F) {
	f.Add(archived(f, []byte(`{"role":"standby"}`)))
	f.Add([]byte("no archive"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		_, _ = recordIn(bytes.NewReader(archive)) // whatever it is, it is read or refused
	})
}
