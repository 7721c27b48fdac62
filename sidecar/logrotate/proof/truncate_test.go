package proof

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A writer that begins with an empty file each time ends, again and again; what
// it wrote is saved before it starts anew.
func TestTruncatedAtItsWritersStart(t *testing.T) {
	t.Parallel()
	fs := on(t, "ext4")
	if !fs.there(t) {
		return
	}
	folder := fs.mount(t)
	s := runs(t, taskIn(t, folder), nil)
	all := []writer{
		{ID: "k", Kind: "kept", Path: folder + "/policy_engine.log", Rate: 3000},
		{ID: "i", Kind: "inherited", Path: folder + "/agent-x.out", Rate: 1000},
		{ID: "e", Kind: "kept", Path: folder + "/agent-x.err", Rate: 1000},
	}
	w := start(t, all...)
	for round := range 5 {
		w.wait(200)
		if round == 3 {
			s.fine() // some of it was taken while it was written
			w.wait(200)
		}
		for _, one := range all {
			w.tell("close", one.ID)
			saved(t, one.Path)
			w.tell("restart", one.ID)
		}
	}
	w.wait(200)
	w.stop()
	s.settled()
	t.Log(wantAll(t, w))
	s.finish()
}

// saved waits until a log has been set aside, as it is when its writer has ended.
func saved(t *testing.T, path string) {
	t.Helper()
	eventually(t, func() error {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s is not saved", path)
		}
		return nil
	})
}

// A writer is killed while its log is aside, to be taken beneath it. When the log
// has its name back, that is seen, too.
func TestWriterEndsWhileItsLogIsTaken(t *testing.T) {
	t.Parallel()
	fs := on(t, "ext4")
	if !fs.there(t) {
		return
	}
	folder := fs.mount(t)
	path := filepath.Join(folder, "policy_engine.log")
	w := start(t, writer{ID: "k", Kind: "kept", Path: path, Rate: 3000})
	what := taskIn(t, folder)
	what.DoAt, what.Do = "sync punched", fmt.Sprintf("kill -9 %d", w.command.Process.Pid)
	s := runs(t, what, nil)
	w.wait(200)
	s.fine()
	saved(t, path)
	s.settled()
	t.Log(wantAll(t, w))
	s.finish()
}
