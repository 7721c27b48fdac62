package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// onPath are programs in the place of PostgreSQL's, each a script.
func onPath(t *testing.T, programs map[string]string) {
	t.Helper()
	folder := t.TempDir()
	for name, text := range programs {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
}

// says is a control file, as it is printed.
func says(system, state string) string {
	text := strings.Replace(controlText, "in archive recovery", state, 1)
	return "cat <<END\n" + strings.Replace(text, "7712813525923094591", system, 1) + "END"
}

// makes is what makes a cluster in a folder.
func makes(folder string) string {
	return "cd " + folder + " && mkdir -p base/1 global && for f in PG_VERSION base/1/2 global/pg_control; do printf new > $f; done"
}

// A copy that breaks off, or is of something else, leaves what was there. They run
// by themselves, with programs of their own.
func TestCopyPeer(t *testing.T) {
	for _, c := range []struct {
		name, system, after, failed string
	}{
		{"complete", ours, "", ""},
		{"broken off", ours, "; exit 1", "copying db: exit status 1"},
		{"of strangers", strangers, "", "what came is another cluster"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := standbyScene(t)
			v := s.agent.volume
			fill(t, string(v), "old", versionFile, "base/1/2", "global/pg_control")
			onPath(t, map[string]string{
				"pg_basebackup":  "mkdir " + v.staging() + " && " + makes(v.staging()) + c.after,
				"pg_controldata": says(c.system, "in production"),
			})
			s.done(s.agent.copyPeer(t.Context(), "it was asked for", ours), c.failed)
			want := map[bool]string{true: "new", false: "old"}[c.failed == ""]
			if content, is := whole(t, string(v)); !is || content != want {
				t.Errorf("%q is in its place, want %q", content, want)
			}
			if _, err := os.Stat(filepath.Join(string(v), "standby.signal")); (err == nil) != (c.failed == "") {
				t.Errorf("marked as a standby's: %v", err)
			}
			if r := s.agent.record; r.InStep || c.failed == "" && r.Role != Standby {
				t.Errorf("%+v", r)
			}
		})
	}
}

// A cluster whose making ended otherwise than it should is not used.
func TestInitialise(t *testing.T) {
	for _, c := range []struct{ name, state, after, failed string }{
		{"complete", "shut down", "", ""},
		{"its server crashed", "in production", "", "did not stop in its own time"},
		{"it failed", "shut down", "; exit 1", "exit status 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t, FirstNode, Record{Node: FirstNode})
			v := s.agent.volume
			onPath(t, map[string]string{entrypoint: makes(v.staging()) + c.after, "pg_controldata": says(ours, c.state)})
			s.done(s.agent.initialise(t.Context()), c.failed)
			if v.hasCluster() != (c.failed == "") || (s.agent.record.Role == Primary) != (c.failed == "") {
				t.Errorf("a cluster is in its place: %t, %+v", v.hasCluster(), s.agent.record)
			}
		})
	}
}
