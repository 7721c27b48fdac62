package sftp_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/inmanta/inmanta-docker/sidecar/filelog"
	"github.com/inmanta/inmanta-docker/sidecar/sftp"
)

func TestWhatIsAudited(t *testing.T) {
	t.Parallel()
	dir := resolved(t, t.TempDir())
	put(t, filepath.Join(dir, "old"), "0123456789")
	put(t, filepath.Join(dir, "full"), "")
	var events []filelog.Event
	c := connectWith(t, sftp.Options{Start: dir, Audit: func(e filelog.Event) { events = append(events, e) }})
	at := func(name string) string { return filepath.Join(dir, name) }

	r := c.open("old", fxfRead, attrs{})
	c.ok(fxpRead, r, uint64(0), 4)
	c.ok(fxpRead, r, uint64(2), 4)
	c.want(fxEOF, fxpRead, r, uint64(10), 4)
	w := c.open(dir+"/./new", fxfWrite|fxfCreat, attrs{})
	c.ok(fxpWrite, w, uint64(0), "abc")
	c.want(fxNoSuchFile, fxpRead, w, uint64(0), 4)
	c.ok(fxpExtended, "copy-data", r, uint64(0), uint64(5), w, uint64(3))
	c.ok(fxpClose, w)
	c.ok(fxpClose, r)
	c.ok(fxpRename, "old", "middle")
	c.want(fxFailure, fxpRename, "middle", "new")
	c.ok(fxpExtended, "posix-rename@openssh.com", "middle", "new")
	c.want(fxNoSuchFile, fxpRemove, "old")
	c.ok(fxpRemove, "new")
	c.ok(fxpMkdir, "d", attrs{})
	c.list("d")
	c.ok(fxpRmdir, "d")
	c.open("full", fxfRead|fxfWrite, attrs{})
	must(t, c.hangUp())

	want := []filelog.Event{
		{Operation: filelog.Transfer, Path: at("new"), Written: 8},
		{Operation: filelog.Transfer, Path: at("old"), Read: 13},
		{Operation: filelog.Rename, Path: at("old"), To: at("middle")},
		{Operation: filelog.Rename, Path: at("middle"), To: at("new")},
		{Operation: filelog.Remove, Path: at("new")},
		{Operation: filelog.Remove, Path: at("d")},
		{Operation: filelog.Transfer, Path: at("full"), Cut: true},
	}
	if !slices.Equal(events, want) {
		t.Fatalf("audited\n%+v, want\n%+v", events, want)
	}
	line, err := json.Marshal(filelog.Event{Operation: filelog.Transfer, Path: "/a", Read: 1})
	must(t, err)
	if string(line) != `{"operation":"transfer","path":"/a","read":1}` {
		t.Fatalf("%s", line)
	}
}

// The event is told before the answer is sent, not after it.
func TestAuditedBeforeAnswered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	told := make(chan filelog.Event, 1)
	c := connectWith(t, sftp.Options{Start: dir, Audit: func(e filelog.Event) { told <- e }})
	for range 100 {
		must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o644))
		c.ok(fxpRemove, "file")
		select {
		case <-told:
		default:
			t.Fatal("answered before it was told")
		}
	}
}
