package proof

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The state is missing, or is whatever a broken disk makes of it; and a process
// before died at some step. No line is lost or doubled for it. Where the notes
// are gone, a gap that a writer left may be archived: zero bytes, no lines.
func TestDamagedState(t *testing.T) {
	t.Parallel()
	folder, is := ext4(t)
	if !is {
		return
	}
	what := taskIn(t, folder)
	shelved := stock(t, what)
	damages := map[string]func(path string) error{
		"missing": os.Remove,
		"empty":   func(path string) error { return os.Truncate(path, 0) },
		"half": func(path string) error {
			is, err := os.Stat(path)
			if err != nil {
				return err
			}
			return os.Truncate(path, is.Size()/2)
		},
		"nonsense": func(path string) error { return os.WriteFile(path, []byte("\x00\xff{]"), 0o644) },
		"another":  func(path string) error { return os.WriteFile(path, []byte(`{"piece":"x","moves":7}`), 0o644) },
	}
	for damage, do := range damages {
		for _, step := range []string{"", "punch", "remove segment", "collapse", "put back"} {
			for _, notes := range [][]string{{"intent.json", "writers.json"}, {"intent.json"}, {"writers.json"}} {
				if damage == "missing" && len(notes) == 1 && notes[0] == "intent.json" {
					continue // that alone says that nothing was going on
				}
				shelved.begin()
				shelved.write(100)
				dying := what
				dying.DieAt, dying.DieNth = step, 1
				dies(t, dying)
				for _, note := range notes {
					path := filepath.Join(what.State, note)
					if _, err := os.Lstat(path); err != nil {
						continue // there is none at this step
					}
					if err := do(path); err != nil {
						t.Fatal(err)
					}
				}
				found := shelved.mend(what)
				found.zeros = 0
				if !found.perfect() {
					t.Fatalf("%q is %s after a death at %q: %v", notes, damage, step, found)
				}
			}
		}
	}
}

// What a process that was killed left behind: temporary files go. An archive that
// is cut off is left as it is, unless what it was made of is still there: then it
// is made again.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	folder, is := ext4(t)
	if !is {
		return
	}
	what := taskIn(t, folder)
	now := time.Now().UTC().Add(-time.Hour).Format("20060102T150405Z")
	cut, again := filepath.Join(folder, "server.log-20200101T000000Z.gz"), filepath.Join(folder, "server.log-"+now+".gz")
	for _, path := range []string{cut, again} {
		put(t, path, bytes.Repeat([]byte("what was archived\n"), 1000))
		if err := os.Truncate(path, 50); err != nil {
			t.Fatal(err)
		}
	}
	left := []string{".server.log-" + now + ".gz.tmp", ".server.log-" + now + "-1.gz.tmp", ".agent.log-20200101T000000Z.zst.tmp"}
	for _, name := range left {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b := keep(t, folder, "server.log", os.O_APPEND)
	b.write(100)
	b.close()
	segment := filepath.Join(folder, "server.log-"+now)
	if err := os.Rename(filepath.Join(folder, b.name), segment); err != nil {
		t.Fatal(err)
	}
	s := runs(t, what, nil)
	s.settled()
	b.write(100)
	b.close()
	s.fine()
	s.settled()
	s.finish()
	for _, name := range left {
		if _, err := os.Lstat(filepath.Join(folder, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	if is, err := os.Stat(cut); err != nil || is.Size() != 50 {
		t.Errorf("the archive that is cut off is another now: %v, %v", is, err)
	}
	if err := os.Remove(cut); err != nil {
		t.Fatal(err)
	}
	if found := b.found(); !found.perfect() {
		t.Error(found)
	}
}

// The process is killed while it compresses, again and again, and never gets to
// the end of it until it may.
func TestKilledWhileCompressing(t *testing.T) {
	t.Parallel()
	folder, is := ext4(t)
	if !is {
		return
	}
	what := taskIn(t, folder)
	books := stuffed(t, folder)
	for nth := 1; nth <= 10; nth++ {
		dying := what
		dying.DieAt, dying.DieNth = "fill archive", nth
		dies(t, dying)
	}
	runs(t, what, nil).mended(books)
	if left, err := filepath.Glob(folder + "/.*"); err != nil || len(left) > 0 {
		t.Errorf("%q stay, %v", left, err)
	}
}
