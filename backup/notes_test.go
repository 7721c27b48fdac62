package backup

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestRecord(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, err := Remembered(dir)
	if err != nil || len(r.Backups) != 0 {
		t.Fatalf("of nothing: %+v, %v", r, err)
	}
	day := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	r.Note(Made{ID: "a", Created: day})
	r.Note(Made{ID: "b", Created: day.Add(time.Hour), Verified: &Verified{At: day.Add(2 * time.Hour), Problem: "it does not serve"}})
	r.Note(Made{ID: "a", Created: day, Verified: &Verified{At: day.Add(time.Hour)}})
	r.Halted = []string{"e"}
	noted := r
	if err := r.Change(dir, func(now *Record) { *now = noted }); err != nil {
		t.Fatal(err)
	}
	again, err := Remembered(dir)
	if err != nil || !reflect.DeepEqual(r, again) {
		t.Errorf("written %+v, read %+v, %v", r, again, err)
	}
	if len(r.Backups) != 2 || r.Backups[0].ID != "b" {
		t.Errorf("the backups are %+v", r.Backups)
	}
	if good, ok := r.LastVerified(); !ok || good.ID != "a" {
		t.Errorf("the last that was verified is %+v, %t", good, ok)
	}
	if files, err := os.ReadDir(filepath.Join(dir, Folder)); err != nil || len(files) != 1 {
		t.Errorf("there are %v, %v", files, err)
	}
	for n := range remembered + 5 {
		r.Note(Made{ID: fmt.Sprint(n), Created: day.AddDate(1, 0, n)})
	}
	if len(r.Backups) != remembered {
		t.Errorf("%d are remembered", len(r.Backups))
	}
}

// A backup and a verification may both be at work: neither undoes what the other has
// noted. Those of two deployments in one second are two.
func TestRecordOfTwoAtWork(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var backing, verifying Record
	if err := backing.Change(dir, func(r *Record) { r.Halted = []string{"e"} }); err != nil {
		t.Fatal(err)
	}
	began := time.Date(2026, 11, 27, 2, 0, 0, 0, time.UTC)
	if err := verifying.Change(dir, func(r *Record) {
		r.Note(Made{ID: "a", Project: "staging", Created: began, Where: "theirs", Verified: &Verified{At: began}})
	}); err != nil {
		t.Fatal(err)
	}
	if err := backing.Change(dir, func(r *Record) {
		r.Halted = nil
		r.Note(Made{ID: "a", Project: "inmanta", Created: began, Where: "ours"})
	}); err != nil {
		t.Fatal(err)
	}
	if len(verifying.Halted) != 1 || len(backing.Halted) != 0 || len(backing.Backups) != 2 {
		t.Errorf("noted are %+v and %+v", verifying, backing)
	}
	if ours, ok := backing.Find("inmanta", "a"); !ok || ours.Where != "ours" || ours.Verified != nil {
		t.Errorf("ours is %+v, %t", ours, ok)
	}
}

// What was damaged is refused and stays as it is, for somebody to look at.
func TestDamagedNotes(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no JSON": "oops", "something after it": "{} {}", "an unknown field": `{"bakcups": []}`, "empty": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for _, file := range []string{recordFile, journalFile} {
				if err := os.MkdirAll(filepath.Join(dir, Folder), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, Folder, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := Remembered(dir); err == nil || !strings.Contains(err.Error(), recordFile) {
				t.Errorf("error %v", err)
			}
			if _, _, err := UnderWay(dir); err == nil || !strings.Contains(err.Error(), journalFile) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, ok, err := UnderWay(dir); ok || err != nil {
		t.Fatalf("of nothing: %t, %v", ok, err)
	}
	j := Journal{ID: "a", Where: "/b/a", Began: time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC), Halted: []string{"e"}}
	for _, phase := range []Phase{Loading, Swapping, Starting, Keeping, PuttingBack} {
		if err := j.Enter(dir, phase); err != nil {
			t.Fatal(err)
		}
		read, ok, err := UnderWay(dir)
		if err != nil || !ok || !reflect.DeepEqual(read, j) || read.Phase != phase {
			t.Errorf("in %s: %+v, %t, %v", phase, read, ok, err)
		}
		if p := read.CutShort(); strings.HasSuffix(p.What, "while ") || !strings.Contains(p.Fix, "--continue") {
			t.Errorf("in %s it says %q", phase, p.What)
		}
	}
	j.Why = "it does not serve"
	if p := j.CutShort(); !strings.HasSuffix(p.What, "was put back (it does not serve)") {
		t.Errorf("why it is put back is not said: %q", p.What)
	}
	if err := j.Enter(dir, "dreaming"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := UnderWay(dir); err == nil {
		t.Error("a phase that there is not is taken for one")
	}
	for range 2 {
		if err := j.Over(dir); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok, err := UnderWay(dir); ok || err != nil {
		t.Errorf("when it is over: %t, %v", ok, err)
	}
}

func FuzzNotes(f *testing.F) {
	f.Add(`{"backups": [{"id": "a"}], "halted": ["e"]}`)
	f.Add(`{"id": "a", "where": "b", "phase": "loading", "began": "2026-11-27T00:00:00Z", "halted": null}`)
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, Folder), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{recordFile, journalFile} {
			if err := os.WriteFile(filepath.Join(dir, Folder, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if r, err := Remembered(dir); err == nil {
			if err := r.Change(dir, func(*Record) {}); err != nil {
				t.Fatal(err)
			}
			if again, err := Remembered(dir); err != nil || len(again.Backups) != len(r.Backups) {
				t.Errorf("%+v, and again %+v, %v", r, again, err)
			}
		}
		if j, ok, err := UnderWay(dir); ok && err == nil {
			_ = j.CutShort()
		}
	})
}
