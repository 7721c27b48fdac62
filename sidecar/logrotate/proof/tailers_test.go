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

// rsyslog's imfile follows a log across rotations, as it does where logs are sent
// elsewhere. Of a writer that reopens it misses no line and says none twice. Of a log
// that is taken beneath its writer it may miss and repeat some, as tail does.
func TestRsyslogFollows(t *testing.T) {
	t.Parallel()
	root := rsyslog(t)
	fs := on(t, "ext4")
	if root == "" || !fs.there(t) {
		return
	}
	for _, kind := range []string{"watched", "append"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			folder, work := fs.mount(t), scratch(t)
			path, out, config := filepath.Join(folder, "server.log"), filepath.Join(work, "said"), filepath.Join(work, "conf")
			put(t, config, fmt.Appendf(nil, `global(workDirectory="%s")
module(load="imfile")
template(name="line" type="string" string="%%msg%%\n")
ruleset(name="out") { action(type="omfile" file="%s" template="line" asyncWriting="off" flushOnTXEnd="on") }
input(type="imfile" file="%s" tag="log" ruleset="out" reopenOnTruncate="on" escapeLF="off")
`, work, out, path))
			libraries := filepath.Join(root, "usr/lib", multiarch(t, root))
			follower := exec.Command(filepath.Join(root, "usr/sbin/rsyslogd"), "-n", "-f", config, "-i", filepath.Join(work, "pid"), "-M", filepath.Join(libraries, "rsyslog"))
			follower.Env = append(os.Environ(), "LD_LIBRARY_PATH="+libraries)
			var complaints bytes.Buffer
			follower.Stdout, follower.Stderr = &complaints, &complaints
			if err := follower.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = follower.Process.Kill(); _ = follower.Wait() })
			w := start(t, writer{ID: "w", Kind: kind, Path: path, Rate: 500})
			s := runs(t, taskIn(t, folder), nil)
			for range 6 {
				w.wait(200)
				s.fine()
			}
			w.wait(100)
			w.stop()
			acknowledged := w.acknowledged(path)
			var total sum
			follow := func() error {
				text, err := os.ReadFile(out)
				if err != nil {
					return fmt.Errorf("%w: %s", err, &complaints)
				}
				total = sum{}
				writers := map[string]*seen{}
				for line := range bytes.Lines(text) {
					total.take(bytes.Trim(line, "\x00"), writers)
				}
				if last := acknowledged["w"]; writers["w"] == nil || writers["w"].last != last {
					return fmt.Errorf("it did not say the last line, %d: %s", last, &complaints)
				}
				total.missing(acknowledged, writers)
				return nil
			}
			eventually(t, follow)
			s.rest()
			want(t, folder, "server.log", acknowledged)
			t.Logf("rsyslog, %s: %v", kind, total)
			if kind == "watched" && !total.perfect() {
				t.Error(total)
			}
		})
	}
}

// rsyslog is where it was unpacked; empty, and said, where it is not.
func rsyslog(t *testing.T) string {
	t.Helper()
	output, err := exec.Command("./needs", "rsyslog").CombinedOutput()
	if err != nil {
		t.Logf("NOT RUN: %s", output)
		return ""
	}
	return strings.TrimSpace(string(output))
}

// multiarch is the folder that Debian has this machine's libraries in.
func multiarch(t *testing.T, root string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, "usr/lib/*/rsyslog"))
	if err != nil || len(found) != 1 {
		t.Fatalf("rsyslog's modules are in %q, %v", found, err)
	}
	return filepath.Base(filepath.Dir(found[0]))
}
