package dbarchive

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/moments"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// When the log that the server has goes on where that of the archive ends.
func TestGoesOn(t *testing.T) {
	t.Parallel()
	needs := func(name string) moments.Segment { s, _, _ := moments.ParseSegment(name); return s }
	now := func(change func(*server)) server {
		s := server{system: "1", size: 16 << 20, hasSlot: true, needs: needs("000000010000000000000005")}
		if change != nil {
			change(&s)
		}
		return s
	}
	four := []string{"000000010000000000000003.gz", "000000010000000000000004.gz"}
	based := []moments.Backup{{Name: "base"}}
	for name, c := range map[string]struct {
		files []string
		bases []moments.Backup
		now   server
		gap   string
	}{
		"nothing yet":           {now: now(nil)},
		"nothing yet, no slot":  {now: now(func(s *server) { s.hasSlot = false })},
		"the next":              {files: four, now: now(nil)},
		"the same again":        {files: four, now: now(func(s *server) { s.needs = needs("000000010000000000000004") })},
		"one too far":           {files: four[:1], now: now(nil), gap: "after 000000010000000000000003 the database goes on with 000000010000000000000005"},
		"what grows is no end":  {files: []string{four[0], "000000010000000000000004.gz.partial"}, now: now(nil), gap: "after 000000010000000000000003"},
		"growing alone":         {files: []string{"000000010000000000000005.gz.partial"}, bases: based, now: now(nil)},
		"another database":      {files: four, now: now(func(s *server) { s.system = "2" }), gap: "another one"},
		"no slot":               {files: four, now: now(func(s *server) { s.hasSlot = false }), gap: "no replication slot"},
		"no slot, growing":      {files: []string{"000000010000000000000005.gz.partial"}, now: now(func(s *server) { s.hasSlot = false }), gap: "no replication slot"},
		"lost":                  {files: four, now: now(func(s *server) { s.lost = true }), gap: "removed"},
		"somebody took the log": {bases: based, now: now(nil), gap: "is gone"},
	} {
		err := goesOn(moments.Stretch{System: "1", Bases: c.bases}, c.files, c.now)
		if (err == nil) != (c.gap == "") || err != nil && !strings.Contains(err.Error(), c.gap) {
			t.Errorf("%s: %v, want %q", name, err, c.gap)
		}
	}
}

// Up to which moment the archive has everything is never said too early, and is
// said although the database writes all the time.
func TestCovered(t *testing.T) {
	t.Parallel()
	at := func(second int) time.Time { return noon.Add(time.Duration(second) * time.Second) }
	for name, c := range map[string]struct {
		was, is   mark
		stored    int64
		receiving bool
		until     time.Time
		pending   mark
	}{
		"all of it":              {is: mark{at(2), 100}, stored: 100, receiving: true, until: at(2)},
		"not yet":                {is: mark{at(2), 100}, stored: 90, receiving: true, pending: mark{at(2), 100}},
		"what was waited for":    {was: mark{at(0), 80}, is: mark{at(2), 100}, stored: 90, receiving: true, until: at(0), pending: mark{at(2), 100}},
		"still not":              {was: mark{at(0), 95}, is: mark{at(2), 100}, stored: 90, receiving: true, pending: mark{at(0), 95}},
		"nobody receives":        {is: mark{at(2), 100}, stored: 100, pending: mark{at(2), 100}},
		"nobody received before": {was: mark{at(0), 50}, is: mark{at(2), 100}, stored: 100, pending: mark{at(0), 50}},
	} {
		until, pending := covered(c.was, c.is, server{receiving: c.receiving, stored: c.stored})
		if !until.Equal(c.until) || pending != c.pending {
			t.Errorf("%s: %s and %v, want %s and %v", name, until, pending, c.until, c.pending)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	window := StretchState{Stretch: moments.Stretch{Name: "s", Bases: []moments.Backup{{Name: "b"}}}, From: noon, To: noon.Add(time.Hour)}
	fine := State{Folder: "./a", FreeBytes: 2, NeededBytes: 1, Streaming: true, Stretches: []StretchState{window}}
	with := func(change func(*State)) State { s := fine; change(&s); return s }
	for name, c := range map[string]struct {
		s     State
		m     moment
		words []string
	}{
		"fine":     {s: fine},
		"behind":   {s: with(func(s *State) { s.BehindSeconds, s.BehindBytes = 61, 5<<20 }), words: []string{"5.0 MiB behind, since 61 seconds"}},
		"a moment": {s: with(func(s *State) { s.BehindSeconds = 30 })},
		"held":     {s: with(func(s *State) { s.HeldBytes = 2 << 30 }), words: []string{"keeps 2.0 GiB", slot}},
		"stopped": {s: fine, m: moment{stopped: errors.New("could not write 8192 bytes: No space left on device")},
			words: []string{"nothing is archived", "what was until 2026-11-27T13:00:00Z can be brought back", "make room in ./a"}},
		"no answer":       {s: fine, m: moment{unanswered: errors.New("the database does not answer: refused")}, words: []string{"nothing is archived", "inmanta-docker up"}},
		"barred":          {s: fine, m: moment{barred: errors.New("permission denied")}, words: []string{"cannot be read and written", "restart db-archive"}},
		"no room":         {s: with(func(s *State) { s.FreeBytes = 0 }), words: []string{"0 B free", "INMANTA_DB_ARCHIVE_KEEP"}},
		"no base":         {s: with(func(s *State) { s.Stretches = nil }), words: []string{"there is no base backup yet"}},
		"one is made":     {s: with(func(s *State) { s.Stretches, s.Running = nil, noon })},
		"behind a gap":    {s: fine, m: moment{current: "other"}, words: []string{"there is no base backup yet"}},
		"one that failed": {s: with(func(s *State) { s.Last = &Attempt{Begun: noon, Error: "permission denied"} }), words: []string{"the base backup of 2026-11-27 12:00Z failed"}},
	} {
		if c.m.current == "" {
			c.m.current = "s"
		}
		got := strings.Join(judge(c.s, c.m), "\n")
		if (got == "") != (len(c.words) == 0) {
			t.Errorf("%s: %q", name, got)
		}
		for _, word := range c.words {
			if !strings.Contains(got, word) {
				t.Errorf("%s: %q does not say %q", name, got, word)
			}
		}
	}
}

func TestSentence(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"": "",
		"pg_receivewal: starting log streaming\npg_receivewal: error: could not write\npg_receivewal: hint: x":                                                "could not write",
		"FATAL:  the database system is starting up\n2026 [2] FATAL:  recovery ended\nLOG: x\nFATAL:  the database system is not yet accepting connections\n": "recovery ended",
		"cp: cannot stat\n": "cp: cannot stat",
	} {
		if got := sentence(said); got != want {
			t.Errorf("%q: %q, want %q", said, got, want)
		}
	}
	if got := sentence(strings.Repeat("ü", 1000)); len(got) > 520 {
		t.Errorf("it has %d bytes", len(got))
	}
}

func TestSettingsOfRecovery(t *testing.T) {
	t.Parallel()
	text := settings("/a b/it's", "/wal", noon.Add(time.Millisecond))
	for _, want := range []string{`restore_command = '''/a b/it''\\''''s'' db-archive fetch ''/wal'' "%f" "%p"'`, "recovery_target_time = '2026-11-27 12:00:00.001+00'", "hot_standby = off"} {
		if !strings.Contains(text, want) {
			t.Errorf("without %s:\n%s", want, text)
		}
	}
	if text := settings("/a", "/wal", moments.Latest); strings.Contains(text, "recovery_target_time") {
		t.Errorf("the latest has a target:\n%s", text)
	}
}

// What an archive has is read back as it was written, and what is cut short is
// nothing.
func TestStretches(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s, err := newStretch(folder, "lab", "7", noon)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeNote(filepath.Join(folder, s.Name, moments.About), about{System: "7", Until: noon.Add(time.Hour)}, false); err != nil {
		t.Fatal(err)
	}
	whole, cut := moments.BaseName(noon), moments.BaseName(noon.Add(time.Second))
	for _, name := range []string{whole, cut, moments.Partial(cut)} {
		if err := os.Mkdir(filepath.Join(folder, s.Name, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	made := moments.Backup{Name: whole, Begun: noon, Ended: noon.Add(time.Minute), Bytes: 5, Segment: "000000010000000000000002", Server: "17.6"}
	if err := writeNote(filepath.Join(folder, s.Name, moments.Note(whole)), made, true); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"before", "after"} {
		all, err := readStretches(folder, "lab")
		if err != nil || len(all) != 1 || all[0].System != "7" || !all[0].Until.Equal(noon.Add(time.Hour)) || len(all[0].Bases) != 1 || all[0].Bases[0] != made {
			t.Errorf("%s what was cut short is removed there is %+v, %v", when, all, err)
		}
		if err := sweep(Config{Folder: folder, Deployment: "lab"}); err != nil {
			t.Fatal(err)
		}
	}
	left, err := filepath.Glob(filepath.Join(folder, s.Name, "*base*"))
	if err != nil || len(left) != 2 {
		t.Errorf("left is %v", left)
	}
	if others, err := readStretches(folder, "lab2"); err != nil || len(others) != 0 {
		t.Errorf("of another deployment there is %v, %v", others, err)
	}
}

func FuzzParseMoment(f *testing.F) {
	for _, seed := range []string{"latest", "2026-11-27T14:00:00Z", "2026-11-27T14:00:00.5+01:00", "0001-01-01T00:00:00Z", "now"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		moment, err := ParseMoment(text)
		if err == nil && moment.IsZero() != (text == Latest) {
			t.Errorf("%q is %s", text, moment)
		}
	})
}
