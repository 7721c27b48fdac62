package proof

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A second sidecar on the same logs says so and waits; when the first is killed,
// which leaves its lock to nobody, it takes over.
func TestTwoSidecars(t *testing.T) {
	t.Parallel()
	folder, is := ext4(t)
	if !is {
		return
	}
	w := start(t, everyKind(folder, 500)...)
	first := runs(t, taskIn(t, folder), nil)
	second := runs(t, taskIn(t, folder), nil)
	for range 3 {
		first.fine()
		if failed := second.failures(); !strings.Contains(fmt.Sprint(failed), "another process rotates the logs") {
			t.Errorf("the second one says %q", failed)
		}
	}
	if second.reason("another process rotates the logs") == "" {
		t.Errorf("the second one does not say why it is unhealthy: %q", second.state().Reasons)
	}
	first.kill()
	second.healthy()
	second.fine()
	w.stop()
	second.rest()
	found := countedAll(t, w)
	found.zeros = 0 // it has a state of its own, so it does not know of the first one's gaps
	if !found.perfect() {
		t.Error(found)
	}
	t.Log(found)
}

// Debian's logrotate is at the same logs, too, in the way that upstream sets it
// up: it renames, and compresses one rotation later. What it does is its own, so
// lines may be out of order between its files and ours; none is lost or doubled.
func TestLogrotateAlsoRunning(t *testing.T) {
	t.Parallel()
	folder, is := ext4(t)
	if !is {
		return
	}
	w := start(t,
		writer{ID: "a", Kind: "watched", Path: folder + "/server.log", Rate: 3000},
		writer{ID: "b", Kind: "watched", Path: folder + "/agent.log", Rate: 3000},
	)
	s := runs(t, taskIn(t, folder), nil)
	config := filepath.Join(scratch(t), "conf")
	put(t, config, fmt.Appendf(nil, `%s/*.log {
 su root root
 rotate 1000
 missingok
 notifempty
 compress
 delaycompress
 nocreate
}
`, folder))
	for range 8 {
		w.wait(300)
		output, err := exec.Command("logrotate", "--force", "--state", config+".state", config).CombinedOutput()
		if err != nil {
			// A log that we have just renamed: it says so and goes on.
			t.Logf("logrotate: %v: %s", err, output)
		}
		w.wait(300)
		s.now()
	}
	w.stop()
	s.rest()
	total := countedAll(t, w)
	total.displaced = 0
	if !total.perfect() {
		t.Error(total)
	}
	t.Log(total)
}

// Whoever writes through FUSE: what cannot be had there is not done.
func TestOnFUSE(t *testing.T) {
	t.Parallel()
	below := on(t, "ext4")
	if !below.there(t) || !(filesystem{name: "fuse"}).there(t) {
		return
	}
	source := below.mount(t)
	folder := filepath.Join(scratch(t), "logs")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "bindfs", "-o", "allow_other", source, folder)
	t.Cleanup(func() { run(t, "umount", "-l", folder) })
	w := start(t, everyKind(folder, 500)...)
	s := runs(t, taskIn(t, folder), nil)
	for range 4 {
		w.wait(100)
		s.now()
	}
	w.stop()
	s.now()
	state := s.state()
	s.finish()
	t.Logf("%v, notes: %q, reasons: %q", wantAll(t, w), state.Notes, state.Reasons)
}
