package rsync

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/sidecar/filelog"
)

// tellTo names the file to which a server under test writes what it did.
const tellTo = "RSYNC_TELL_TO"

// teller writes events to the file that the environment names; nil where it names none.
func teller() func(filelog.Event) {
	path := os.Getenv(tellTo)
	if path == "" {
		return nil
	}
	return func(e filelog.Event) {
		line, err := json.Marshal(e)
		if err != nil {
			panic(err)
		}
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			panic(err)
		}
		defer file.Close()
		if _, err := file.Write(append(line, '\n')); err != nil {
			panic(err)
		}
	}
}

// What goes to a client, comes from it or is deleted for it is told, each file
// once; what stays as it is, is not.
func TestFilesAreTold(t *testing.T) {
	top := t.TempDir()
	told := filepath.Join(top, "told")
	t.Setenv(tellTo, told)
	for name, text := range map[string]string{
		"here/changes": "new", "here/d/arrives": strings.Repeat("x", 10_000), "here/same": "same",
		"there/changes": "older", "there/same": "same", "there/goes": "x", "there/gone.d/too": "x",
	} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(top, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(top, name), []byte(text), 0o644))
	}
	heard := func() (all []string) {
		t.Helper()
		text, err := os.ReadFile(told)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		_ = os.Remove(told)
		for line := range strings.Lines(string(text)) {
			var e filelog.Event
			must(t, json.Unmarshal([]byte(line), &e))
			way := ""
			if e.Read > 0 {
				way += " read"
			}
			if e.Written > 0 {
				way += " written"
			}
			if e.Cut {
				way += " cut"
			}
			name, ok := strings.CutPrefix(e.Path, top+"/")
			if !ok {
				t.Errorf("%q is not absolute", e.Path)
			}
			all = append(all, string(e.Operation)+" "+name+way)
		}
		slices.Sort(all)
		return all
	}
	for _, turn := range []struct {
		args []string
		want []string
	}{
		{[]string{"-rcn", "--delete", "here/", "host:" + top + "/there/"}, nil}, // a dry run
		{[]string{"-rc", "--delete", "here/", "host:" + top + "/there/"}, []string{
			"remove there/goes", "remove there/gone.d", "remove there/gone.d/too",
			"transfer there/changes written", "transfer there/d/arrives written",
		}},
		{[]string{"-rc", "host:" + top + "/there/", "back/"}, []string{
			"transfer there/changes read", "transfer there/d/arrives read", "transfer there/same read",
		}},
		{[]string{"-rc", "host:" + top + "/there/", "back/"}, nil},
		{[]string{"-r", "--remove-source-files", "host:" + top + "/there/same", "back/moved"}, []string{
			"remove there/same", "transfer there/same read",
		}},
		{[]string{"here/same", "host:" + top + "/there/under-another-name"}, []string{"transfer there/under-another-name written"}},
	} {
		if got := transfer(t, top, ours(t), turn.args...); got.code != 0 {
			t.Fatalf("%v: exit code %d: %s", turn.args, got.code, got.stderr)
		}
		if got := heard(); !slices.Equal(got, turn.want) {
			t.Errorf("of %v is told\n%q, want\n%q", turn.args, got, turn.want)
		}
	}
}
