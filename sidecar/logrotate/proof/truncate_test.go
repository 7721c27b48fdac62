package proof

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A writer that begins with an empty file each time ends, again and again; what
// it wrote is saved before it starts anew.
func TestTruncatedAtItsWritersStart(t *testing.T) {
	t.Parallel()
	folder, is := ext4(t)
	if !is {
		return
	}
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
	s.rest()
	t.Log(wantAll(t, w))
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
	folder, is := ext4(t)
	if !is {
		return
	}
	path := filepath.Join(folder, "policy_engine.log")
	w := start(t, writer{ID: "k", Kind: "kept", Path: path, Rate: 3000})
	what := taskIn(t, folder)
	what.DoAt, what.Do = "sync punched", fmt.Sprintf("kill -9 %d", w.command.Process.Pid)
	s := runs(t, what, nil)
	w.wait(200)
	s.fine()
	saved(t, path)
	s.rest()
	t.Log(wantAll(t, w))
}

// A log is truncated beneath the sidecar, at every step of taking it, and written
// anew: a little, and more than there was. Whatever was written since is there,
// once. (What was truncated is its writer's to remove; the steps are those of a
// process that is stopped between any two.)
func TestTruncatedWhileItIsTaken(t *testing.T) {
	t.Parallel()
	folder, is := ext4(t)
	if !is {
		return
	}
	what := taskIn(t, folder)
	came := 0
	for _, step := range steps(t) {
		for _, lines := range []int{1, 1000} {
			t.Run(fmt.Sprintf("%s, %d lines", step, lines), func(t *testing.T) {
				b := kept(t, what)
				b.write(100)
				var text strings.Builder
				for number := 1; number <= lines; number++ {
					text.WriteString(lineOf("other", number, 256))
				}
				anew := filepath.Join(scratch(t), "lines")
				put(t, anew, []byte(text.String()))
				doing := what
				doing.DoAt = step
				doing.Do = fmt.Sprintf("for f in $(ls %[1]s/callback.log %[1]s/callback.log-*Z); do cat %[2]s > $f; touch %[3]s/came; break; done", folder, anew, what.State)
				once(t, doing)
				b.close()
				if os.Remove(filepath.Join(what.State, "came")) == nil {
					came++
				} else {
					lines = 0 // no such step comes by for this log
				}
				p := rotates(t, what)
				p.must("rotate")
				p.must("rotate")
				p.finish()
				found := counted(t, folder, b.name, map[string]uint64{"other": uint64(lines)})
				if found.lost+found.doubled > 0 {
					t.Error(found)
				}
				for _, one := range archivesOf(t, folder, b.name) {
					if err := os.Remove(one.path); err != nil {
						t.Fatal(err)
					}
				}
				_ = os.Remove(filepath.Join(folder, b.name))
			})
		}
	}
	if came < 20 {
		t.Errorf("it was truncated at %d steps only", came)
	}
	t.Logf("truncated at %d steps", came)
}

// Writers that are stopped between the look at their file's name and the line
// that they write to it: for less and for more than the second that lines on
// their way are given.
func TestStalledWriters(t *testing.T) {
	t.Parallel()
	folder, is := ext4(t)
	if !is {
		return
	}
	s := runs(t, taskIn(t, folder), nil)
	var all []*writers
	for i, stall := range []float64{0.05, 0.3, 1.3} {
		all = append(all, start(t, writer{ID: fmt.Sprint("s", i), Kind: "stalled", Path: fmt.Sprintf("%s/stalled%d.log", folder, i), Stall: stall}))
	}
	for range 10 {
		s.fine()
		time.Sleep(50 * time.Millisecond)
	}
	var total sum
	for _, w := range all {
		w.stop()
	}
	s.rest()
	for _, w := range all {
		total.add(wantAll(t, w))
	}
	t.Log(total)
}
