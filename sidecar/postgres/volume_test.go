package postgres

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// fill makes files, by their path in the folder.
func fill(t *testing.T, folder string, content string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(folder, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// whole says whose cluster is in the place: all of it is of one.
func whole(t *testing.T, folder string) (content string, is bool) {
	t.Helper()
	version, err := os.ReadFile(filepath.Join(folder, versionFile))
	if err != nil {
		return "", false
	}
	for _, name := range []string{"base/1/2", "global/pg_control"} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || string(text) != string(version) {
			return "", false
		}
	}
	return string(version), true
}

// errCut stands for a process that ends there.
var errCut = errors.New("cut short")

// Cut short at any note of it, and after any number of moves, an installation is
// gone on with, and at no time is half a cluster taken for one.
func TestInstallCutShort(t *testing.T) {
	t.Parallel()
	for _, old := range []bool{true, false} {
		for cut := range 4 {
			v := volume(t.TempDir())
			if err := v.hold(); err != nil {
				t.Fatal(err)
			}
			if old {
				fill(t, string(v), "old", versionFile, "base/1/2", "global/pg_control", "only.in.old")
			}
			fill(t, v.staging(), "new", versionFile, "base/1/2", "global/pg_control")
			at, notes := settled, 0
			tell := func(p phase) error {
				if notes == cut {
					return errCut
				}
				at, notes = p, notes+1
				return nil
			}
			err := v.install(at, tell)
			if cut < 3 && !errors.Is(err, errCut) {
				t.Fatalf("cut %d: %v", cut, err)
			}
			if content, is := whole(t, string(v)); v.hasCluster() && !is {
				t.Errorf("cut %d: half a cluster (%s) is taken for one", cut, content)
			}
			if err := v.install(at, func(p phase) error { at = p; return nil }); err != nil && at != settled {
				t.Fatalf("cut %d, going on at %q: %v", cut, at, err)
			}
			if content, is := whole(t, string(v)); !is || content != "new" || at != settled {
				t.Errorf("cut %d: it ends at %q with %q", cut, at, content)
			}
			if _, err := os.Stat(filepath.Join(string(v), "only.in.old")); err == nil {
				t.Error("something of the old cluster is in the new one")
			}
			if content, is := whole(t, v.previous()); old && (!is || content != "old") {
				t.Errorf("cut %d: the old cluster is not kept", cut)
			}
		}
	}
}

func TestInstallNeedsAWholeCluster(t *testing.T) {
	t.Parallel()
	v := volume(t.TempDir())
	if err := v.hold(); err != nil {
		t.Fatal(err)
	}
	fill(t, string(v), "old", versionFile, "base/1/2", "global/pg_control")
	fill(t, v.staging(), "new", "base/1/2")
	if err := v.install(settled, func(phase) error { t.Error("it begins"); return nil }); err == nil {
		t.Error("half a cluster is installed")
	}
	if content, is := whole(t, string(v)); !is || content != "old" {
		t.Error("the old one is gone")
	}
}

func TestHold(t *testing.T) {
	t.Parallel()
	v := volume(t.TempDir())
	if err := v.hold(); err != nil {
		t.Fatal(err)
	}
	if err := v.hold(); !errors.Is(err, errInUse) {
		t.Errorf("held twice: %v", err)
	}
}

func TestRanAlone(t *testing.T) {
	t.Parallel()
	v := volume(t.TempDir())
	for text, want := range map[string]bool{
		`/usr/lib/postgresql/17/bin/postgres "-c" "jit=off"`:                                                   true,
		`/usr/lib/postgresql/17/bin/postgres "-c" "config_file=/run/inmanta-postgres/postgresql.conf" "-c" ""`: false,
	} {
		fill(t, string(v), text, "postmaster.opts")
		if v.ranAlone() != want {
			t.Errorf("%v for %s", !want, text)
		}
	}
}

func TestRecord(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if _, found, err := readRecord(folder); found || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
	r := Record{Node: FirstNode, Role: Primary, System: ours, Strict: true}
	if err := writeRecord(folder, r); err != nil {
		t.Fatal(err)
	}
	if got, found, err := readRecord(folder); got != r || !found || err != nil {
		t.Errorf("%+v %v %v", got, found, err)
	}
	for _, damaged := range []string{"", "{", `{"node": ""}`, `{"node": "db", "role": "king"}`, `{"node": "db", "role": "primary", "in_step": true}`, `{"node": "db", "role": "standby", "strict": true}`} {
		fill(t, folder, damaged, recordFile)
		if _, _, err := readRecord(folder); err == nil {
			t.Errorf("%q is taken for a record", damaged)
		}
	}
}

// A primary whose volume was emptied under it is fenced all the same, and holds
// what is left of the volume.
func TestANoteIsTakenInAVolumeThatWasEmptied(t *testing.T) {
	t.Parallel()
	a := &agent{config: Config{Node: FirstNode, Peer: SecondNode}, volume: volume(t.TempDir()), log: io.Discard}
	if err := a.volume.hold(); err != nil {
		t.Fatal(err)
	}
	if err := a.note(func(r *Record) { r.Role = Primary }); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(a.volume.own("")); err != nil {
		t.Fatal(err)
	}
	if err := a.fence(nil); err != nil {
		t.Fatal(err)
	}
	if r, found, err := readRecord(a.volume.own("")); err != nil || !found || r.Fenced == "" {
		t.Errorf("%v, %t: the note is %+v", err, found, r)
	}
	if err := a.volume.hold(); !errors.Is(err, errInUse) {
		t.Errorf("another one takes the volume: %v", err)
	}
}

// A primary that was copied over, and cut short in the middle of the
// installation, is no primary any more: else it would go on with a promotion
// that nobody asked for.
func TestACopyThatIsCutShortIsAStandby(t *testing.T) {
	t.Parallel()
	a := &agent{config: Config{Node: FirstNode, Peer: SecondNode}, volume: volume(t.TempDir()), log: io.Discard}
	if err := a.volume.hold(); err != nil {
		t.Fatal(err)
	}
	fill(t, string(a.volume), "old", versionFile, "base/1/2", "global/pg_control")
	if err := a.note(func(r *Record) { r.Role, r.Strict, r.Phase = Primary, true, making }); err != nil {
		t.Fatal(err)
	}
	fill(t, a.volume.staging(), "new", versionFile, "standby.signal", "base/1/2", "lost+found/x")
	fill(t, string(a.volume), "old", "lost+found/y") // which is in the way of the last step
	if err := a.settle(func(r *Record) { *r = Record{Node: FirstNode, Role: Standby, System: ours} }); err == nil {
		t.Fatal("it was not cut short")
	}
	if r, _, err := readRecord(a.volume.own("")); err != nil || r.Role != Standby || r.Strict || r.Phase != installing {
		t.Errorf("%v: the note is %+v", err, r)
	}
	if a.volume.hasCluster() {
		t.Error("half a cluster is taken for one")
	}
}

// What is being set aside is no cluster any more.
func TestSettingAsideThatIsCutShort(t *testing.T) {
	t.Parallel()
	v := volume(t.TempDir())
	fill(t, string(v), "old", versionFile, "AFTER_ITS_VERSION/x", "base/1/2")
	fill(t, v.previous(), "old", "AFTER_ITS_VERSION/in the way")
	if err := v.install(settingAside, func(phase) error { return nil }); err == nil {
		t.Fatal("it was not cut short")
	}
	if v.hasCluster() {
		t.Error("half a cluster is taken for one")
	}
}
