package proof

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Each file system has another way to compress, so that all are there.
var compressions = map[string]string{
	"ext4": "gzip", "bigalloc": "zstd", "xfs": "zstd:9", "btrfs": "gzip:1", "tmpfs": "none", "overlay": "gzip:9",
}

// Every kind of writer, on every file system, while the sidecar rotates all the
// time: as fast as they can, slowly, with pauses, in short lines and long ones.
func TestEveryWriterOnEveryFileSystem(t *testing.T) {
	t.Parallel()
	for _, fs := range filesystems {
		t.Run(fs.name, func(t *testing.T) {
			t.Parallel()
			if fs.there(t) {
				everyWriter(t, fs.mount(t), compressions[fs.name])
			}
		})
	}
}

func everyWriter(t *testing.T, folder, compression string) {
	s := runs(t, taskIn(t, folder), map[string]string{"COMPRESSION": compression})
	fast := start(t, everyKind(folder, 0)...)
	slow := start(t,
		writer{ID: "ws", Kind: "watched", Path: folder + "/slow.log", Rate: 50},
		writer{ID: "wl", Kind: "watched", Path: folder + "/long.log", Rate: 40, Length: 100_000},
		writer{ID: "ks", Kind: "kept", Path: folder + "/slow.out", Rate: 50},
		writer{ID: "fl", Kind: "file", Path: folder + "/kept-long.log", Rate: 40, Length: 100_000},
		writer{ID: "wi", Kind: "watched", Path: folder + "/idle.log", Rate: 100, Lines: 10},
		writer{ID: "ki", Kind: "kept", Path: folder + "/idle.out", Rate: 100, Lines: 10},
	)
	stalled := start(t, writer{ID: "st", Kind: "stalled", Path: folder + "/stalled.log", Stall: 0.3})
	s.fine()
	// Not those that are idle: there is nothing to wait for.
	written := []string{
		"server.log", "callback.log", "agent.log", "policy_engine.log", "agent.out",
		"slow.log", "long.log", "slow.out", "kept-long.log", "stalled.log",
	}
	for range 4 {
		s.fine(written...)
	}
	slow.tell("pause")
	s.fine("server.log", "callback.log", "agent.log", "policy_engine.log", "agent.out")
	slow.tell("resume")
	s.fine(written...)
	for _, one := range []string{"agent.log", "callback.log", "policy_engine.log", "agent.out"} {
		wantGivenBack(t, filepath.Join(folder, one))
	}
	var total sum
	for _, w := range []*writers{fast, slow, stalled} {
		w.stop()
	}
	s.settled()
	s.healthy()
	s.rest()
	for _, w := range []*writers{fast, slow, stalled} {
		total.add(wantAll(t, w))
	}
	t.Log(total)
}

// wantGivenBack checks that a kept log takes no more room than what was written
// since it was rotated may.
func wantGivenBack(t *testing.T, path string) {
	t.Helper()
	var is unix.Stat_t
	if err := unix.Stat(path, &is); err != nil {
		t.Error(err)
		return
	}
	if taken := is.Blocks * 512; taken > 64<<20 {
		t.Errorf("%s takes %d MiB", path, taken>>20)
	}
}
