package sftp_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/inmanta/inmanta-docker/sidecar/filelog"
	"github.com/inmanta/inmanta-docker/sidecar/sftp"
)

// Whatever comes in, the session ends, each whole request has one answer, in
// order and under its id, and no more memory was taken than for what went
// over the wire.
func FuzzServe(f *testing.F) {
	all := attrs{
		size: just(uint64(3)), owner: &[2]uint32{0xffffffff, 0xffffffff}, mode: just(uint32(0o755)), times: &[2]uint32{1, 2},
		extra: [][2]string{{"a", "b"}},
	}
	const first, second = "\x00\x00\x00\x01", "\x00\x00\x00\x02"
	hello := packet(fxpInit, 3)
	seed := func(packets ...[]byte) {
		f.Add(false, slices.Concat(slices.Insert(packets, 0, hello)...))
		var bodies []byte
		for _, p := range packets {
			bodies = append(append(bodies, byte(len(p)-4)), p[4:]...)
		}
		f.Add(true, bodies)
	}
	seed()
	seed(packet(fxpOpen, 1, "f", fxfRead|fxfWrite|fxfCreat, all), packet(fxpWrite, 2, first, uint64(5), "data"),
		packet(fxpRead, 3, first, uint64(0), 100), packet(fxpFstat, 4, first), packet(fxpFsetstat, 5, first, all),
		packet(fxpExtended, 6, "fsync@openssh.com", first), packet(fxpExtended, 7, "fstatvfs@openssh.com", first),
		packet(fxpOpen, 8, "g", fxfWrite|fxfCreat|fxfExcl|fxfTrunc|fxfAppend, attrs{}),
		packet(fxpWrite, 9, second, uint64(1<<40), "far"), packet(fxpClose, 10, first), packet(fxpClose, 11, second))
	seed(packet(fxpMkdir, 1, "d", all), packet(fxpOpendir, 2, "."), packet(fxpReaddir, 3, first), packet(fxpReaddir, 4, first),
		packet(fxpRmdir, 5, "d"), packet(fxpClose, 6, first), packet(fxpRealpath, 7, ".."), packet(fxpStat, 8, "."),
		packet(fxpLstat, 9, "d"), packet(fxpSetstat, 10, "d", all), packet(fxpRemove, 11, "d"))
	seed(packet(fxpSymlink, 1, "t", "l"), packet(fxpReadlink, 2, "l"), packet(fxpRename, 3, "l", "m"),
		packet(fxpExtended, 4, "posix-rename@openssh.com", "m", "l"), packet(fxpExtended, 5, "hardlink@openssh.com", "l", "h"),
		packet(fxpExtended, 6, "lsetstat@openssh.com", "l", all), packet(fxpExtended, 7, "expand-path@openssh.com", "~root"))
	seed(packet(fxpExtended, 1, "limits@openssh.com"), packet(fxpExtended, 2, "statvfs@openssh.com", "."),
		packet(fxpExtended, 3, "home-directory", "root"), packet(99, 4, "?"),
		packet(fxpExtended, 5, "users-groups-by-id@openssh.com", "\x00\x00\x00\x00", "\x00\x00\x00\x01"))
	seed([]byte("\xff\xff\xff\xff\x05"), packet(fxpStat, 1, "."))
	seed([]byte("\x00\x00\x00\x00"))
	f.Add(false, []byte("\x00\x00\x00\x01\x03"))

	f.Fuzz(func(t *testing.T, framed bool, sent []byte) {
		if framed {
			sent = slices.Concat(hello, frame(sent))
		}
		// What is made up here must not reach the machine's files, nor copy
		// the sparse file of many terabytes that it is sure to come upon.
		// Without slashes, paths lead at most one level up.
		sent = bytes.ReplaceAll(sent, []byte("/"), []byte("_"))
		sent = bytes.ReplaceAll(sent, []byte("copy-data"), []byte("copy_data"))
		home := filepath.Join(t.TempDir(), "a", "b")
		must(t, os.MkdirAll(home, 0o755))
		t.Cleanup(func() { unlock(t, filepath.Dir(home)) })

		var out bytes.Buffer
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_ = sftp.Serve(bytes.NewReader(sent), &out, sftp.Options{Start: home, Audit: func(filelog.Event) {}})
		runtime.ReadMemStats(&after)
		if taken, most := after.TotalAlloc-before.TotalAlloc, uint64(2<<20+64*len(sent)+8*out.Len()); taken > most {
			t.Errorf("%d bytes of memory for %d bytes in and %d out", taken, len(sent), out.Len())
		}
		for _, id := range askedFor(sent) {
			r, err := readReply(&out)
			if err != nil {
				t.Fatalf("request %d: %v", id, err)
			}
			if r.id != id {
				t.Fatalf("request %d has the answer to %d", id, r.id)
			}
		}
		if out.Len() > 0 {
			t.Fatalf("%d bytes were answered to nothing", out.Len())
		}
	})
}

// frame makes packets of what is cut into pieces by one byte for the length of
// each: changes at random leave more packets whole than in what is sent.
func frame(pieces []byte) []byte {
	var packets []byte
	for len(pieces) > 0 {
		n := min(int(pieces[0]), len(pieces)-1)
		packets = append(binary.BigEndian.AppendUint32(packets, uint32(n)), pieces[1:1+n]...)
		pieces = pieces[1+n:]
	}
	return packets
}

// askedFor are the ids of the answers that what was sent has to have.
func askedFor(sent []byte) []uint32 {
	var ids []uint32
	for greeted := false; len(sent) >= 4; {
		length := binary.BigEndian.Uint32(sent)
		if length < 5 || length > 1<<18 || int(length) > len(sent)-4 {
			break
		}
		kind, id := sent[4], binary.BigEndian.Uint32(sent[5:])
		if kind == fxpInit {
			greeted, id = true, 3
		}
		if !greeted {
			break
		}
		ids = append(ids, id)
		sent = sent[4+length:]
	}
	return ids
}

// unlock makes all directories below dir ones that can be removed.
func unlock(t *testing.T, dir string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			err = os.Chmod(path, 0o700)
		}
		return err
	}))
}
