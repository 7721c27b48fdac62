package proof

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
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

// `tail -F` follows a log across rotations, to its last line. Of a writer that
// reopens it says no line twice; it goes on to the new file when it sees one, and
// may leave what was just written to the old one unsaid. Of a log that is taken
// beneath its writer it begins anew with what is left, so that it says some lines
// twice, and those that went into an archive before it came by not at all. In the
// archives and the log they all are.
func TestTailFollows(t *testing.T) {
	t.Parallel()
	t.Log("NOT RUN: fluent-bit and vector, which no package registry has")
	fs := on(t, "ext4")
	if !fs.there(t) {
		return
	}
	for _, kind := range []string{"watched", "append"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			folder := fs.mount(t)
			path := filepath.Join(folder, "server.log")
			w := start(t, writer{ID: "w", Kind: kind, Path: path, Rate: 500})
			var said bytes.Buffer
			tail := exec.Command("tail", "-n", "+1", "-s", "0.1", "-F", path)
			tail.Stdout = &said
			if err := tail.Start(); err != nil {
				t.Fatal(err)
			}
			s := runs(t, taskIn(t, folder), nil)
			const rotations = 6
			for range rotations {
				w.wait(200)
				s.fine()
			}
			w.wait(100)
			w.tell("pause")
			time.Sleep(500 * time.Millisecond) // it looks ten times a second
			_ = tail.Process.Kill()
			_ = tail.Wait()
			w.stop()
			s.rest()
			want(t, folder, "server.log", w.acknowledged(path))

			var total sum
			writers := map[string]*seen{}
			for line := range bytes.Lines(said.Bytes()) {
				total.take(bytes.Trim(line, "\x00"), writers)
			}
			total.missing(w.acknowledged(path), writers)
			total.examples = nil
			t.Logf("tail -F, %s: %v", kind, total)
			if kind == "watched" && (total.lost*20 > total.lines || total.doubled > 0) {
				t.Error(total)
			}
			if last := w.acknowledged(path)["w"]; writers["w"] == nil || writers["w"].last != last {
				t.Errorf("it did not say the last line, %d", last)
			}
		})
	}
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
