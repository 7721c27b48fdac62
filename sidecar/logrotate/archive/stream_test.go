package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// folder makes a folder with these files.
func folder(t *testing.T, files map[string][]byte) *os.File {
	t.Helper()
	path := t.TempDir()
	for base, text := range files {
		if err := os.WriteFile(path+"/"+base, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// show is what a stream delivers, what it reports, and how it ends.
func show(t *testing.T, f *os.File, log string, o Options) (string, []string, error) {
	t.Helper()
	var reports []string
	o.Report = func(err error) { reports = append(reports, err.Error()) }
	s, err := Open(f, log, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all, err := io.ReadAll(s)
	return string(all), reports, err
}

func TestAllInOrder(t *testing.T) {
	t.Parallel()
	f := folder(t, map[string][]byte{
		"server.log.3.gz":                      compress(t, Gzip, []byte("1 ")),
		"server.log.2":                         []byte("2 "),
		"server.log-20251231.zst":              compress(t, Zstd, []byte("3 ")),
		"server.log-2026010105":                []byte("4 "),
		"server.log-20260102T000000Z.gz":       compress(t, Gzip, []byte("5 "), []byte("6 ")),
		"server.log-20260103T000000Z-1.zst":    compress(t, Zstd, []byte("7 "), []byte("8 ")),
		"server.log-20260103T000000Z-2.gz":     compress(t, Gzip, []byte("9 ")),
		"server.log-20260103T000000Z":          []byte("10 "),
		"server.log-20260104T000000Z.gz":       compress(t, Gzip, []byte{}),
		"server.log-20260105T000000Z-1":        []byte("11 "),
		"server.log-20260105T000000Z.gz":       compress(t, Gzip, []byte("12 ")),
		"server.log":                           []byte("13\n"),
		".server.log-20260106T000000Z.gz.tmp":  []byte("no"),
		"server.log.bak":                       []byte("no"),
		"server.log-20260103T000000Z.gz.1":     []byte("no"),
		"other-server.log-20260103T000000Z.gz": []byte("no"),
	})
	got, reports, err := show(t, f, "server.log", Options{})
	if err != nil || len(reports) > 0 || got != "1 2 3 4 5 6 7 8 9 10 11 12 13\n" {
		t.Errorf("%q, %q, %v", got, reports, err)
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	text := logText(2000)
	whole := compress(t, Gzip, text)
	f := folder(t, map[string][]byte{
		"server.log.2.xz":                 []byte("an archive"),
		"server.log-20260101T000000Z.gz":  whole[:len(whole)/2],
		"server.log-20260102T000000Z.zst": []byte("not zstd at all"),
		"server.log-20260103T000000Z.gz":  {},
		"server.log-20260104T000000Z.gz":  compress(t, Gzip, []byte("good\n")),
		"server.log":                      []byte("live\n"),
		"secret":                          []byte("secret\n"),
	})
	for from, to := range map[string]string{"secret": "server.log-20260105T000000Z", ".": "server.log-20260106T000000Z"} {
		if err := os.Symlink(from, f.Name()+"/"+to); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(f.Name()+"/server.log-20260107T000000Z", 0o700); err != nil {
		t.Fatal(err)
	}
	got, reports, err := show(t, f, "server.log", Options{})
	rest, is := strings.CutSuffix(got, "good\nlive\n")
	if !is || len(rest) < 1000 || !strings.HasPrefix(string(text), rest) {
		t.Errorf("%d bytes are delivered before the rest, which is there: %t", len(rest), is)
	}
	var incomplete *Incomplete
	if !errors.As(err, &incomplete) || incomplete.Files != 7 || !strings.Contains(err.Error(), "7 of its files") {
		t.Errorf("it ends with %v", err)
	}
	for i, want := range []string{
		"server.log.2.xz: nothing of it can be read: xz cannot be read here",
		fmt.Sprintf("server.log-20260101T000000Z.gz: after %d bytes, nothing more of it can be read: unexpected EOF", len(rest)),
		"server.log-20260102T000000Z.zst: nothing of it can be read: ",
		"server.log-20260103T000000Z.gz: nothing of it can be read: unexpected EOF",
		"server.log-20260105T000000Z: nothing of it can be read: it is a symbolic link",
		"server.log-20260106T000000Z: nothing of it can be read: it is a symbolic link",
		"server.log-20260107T000000Z: nothing of it can be read: it is not a regular file",
	} {
		if i >= len(reports) || !strings.HasPrefix(reports[i], want) {
			t.Errorf("report %d of %q is not %q", i, reports, want)
		}
	}
}

func TestNoSuchLog(t *testing.T) {
	t.Parallel()
	f := folder(t, map[string][]byte{"server.log": nil})
	if _, err := Open(f, "agent.log", Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a log that is not there: %v", err)
	}
	if _, err := Open(f, "../server.log", Options{}); err == nil {
		t.Error("a log of another folder is read")
	}
}

// A writer that starts anew truncates its file while it is read.
func TestTruncatedWhileItIsRead(t *testing.T) {
	t.Parallel()
	for _, again := range []string{"", "new\n", strings.Repeat("new line\n", 2000)} {
		f := folder(t, map[string][]byte{
			"agent.out-20260101T000000Z.gz": compress(t, Gzip, []byte("archive\n")),
			"agent.out-20260102T000000Z":    []byte("segment\n"),
			"agent.out":                     []byte(strings.Repeat("old line\n", 1000)),
		})
		var reports []error
		s, err := Open(f, "agent.out", Options{Report: func(err error) { reports = append(reports, err) }})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		const size = 1000
		truncated := false
		var got []byte
		s.buffer = s.buffer[:size]
		for p := make([]byte, size); err == nil; {
			var n int
			n, err = s.Read(p)
			if got = append(got, p[:n]...); len(got) > 3*size && !truncated {
				truncated = true
				if err := os.WriteFile(f.Name()+"/agent.out", []byte(again), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		rest, is := strings.CutPrefix(string(got), "archive\nsegment\n")
		old := strings.TrimSuffix(rest, again)
		var gone *Gone
		if err != io.EOF || !is || len(reports) != 1 || !errors.As(reports[0], &gone) ||
			len(old)+len(again) != len(rest) || !strings.HasPrefix(strings.Repeat("old line\n", 1000), old) {
			t.Errorf("%d bytes old, %d new; reports %q; %v", len(old), len(again), reports, err)
		}
	}
}

// logrotate renames its archives while they are read.
func TestForeignArchivesAreRenamed(t *testing.T) {
	t.Parallel()
	f := folder(t, map[string][]byte{
		"server.log.2": []byte(strings.Repeat("2", 300)), "server.log.1": []byte(strings.Repeat("1", 300)), "server.log": []byte("0"),
	})
	s, err := Open(f, "server.log", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	turn := 3
	got, err := readAll(s, 100, func() {
		if turn--; turn != 0 {
			return
		}
		for _, n := range []int{2, 1} {
			if err := os.Rename(fmt.Sprintf("%s/server.log.%d", f.Name(), n), fmt.Sprintf("%s/server.log.%d", f.Name(), n+1)); err != nil {
				t.Fatal(err)
			}
		}
	})
	if want := strings.Repeat("2", 300) + strings.Repeat("1", 300) + "0"; err != io.EOF || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}

// at does something the nth time that the reader waits for the lock.
func at(n int, do func()) *between {
	return &between{do: func() {
		if n--; n == 0 {
			do()
		}
	}}
}

// A writer that had looked before its file was set aside writes one more line to
// it, and then goes on in the new one.
func TestALateLine(t *testing.T) {
	t.Parallel()
	const segment = "server.log-20260101T000000Z"
	for n := 1; n < 8; n++ {
		f := folder(t, map[string][]byte{segment: []byte("early\n")})
		got, reports, err := show(t, f, "server.log", Options{Lock: at(n, func() {
			if err := errors.Join(
				os.WriteFile(f.Name()+"/"+segment, []byte("early\nlate\n"), 0o600),
				os.WriteFile(f.Name()+"/server.log", []byte("new\n"), 0o600),
			); err != nil {
				t.Error(err)
			}
		})})
		if err != nil || len(reports) > 0 || got != "early\nlate\nnew\n" && (n < 5 || got != "early\n") {
			t.Errorf("at lock %d: %q, %q, %v", n, got, reports, err)
		}
	}
}

// A hole at the beginning is removed from a file whose lines are all the same,
// and it grows again.
func TestCollapsedWhereAllIsTheSame(t *testing.T) {
	t.Parallel()
	f := folder(t, map[string][]byte{"server.log": nil})
	path := f.Name() + "/server.log"
	text := bytes.Repeat([]byte(strings.Repeat("x", 63)+"\n"), 10*block/64)
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt(text, 4*block); err != nil {
		t.Fatal(err)
	}
	s, err := Open(f, "server.log", Options{Lock: at(5, func() {
		// As FALLOC_FL_COLLAPSE_RANGE does, which not every file system has.
		_, err := file.WriteAt(append(text, text...), 0)
		if err != nil {
			t.Error(err)
		}
	})})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got, err := readAll(s, block, func() {})
	if err != io.EOF || len(got) != 2*len(text) {
		t.Errorf("%d bytes of %d, %v", len(got), 2*len(text), err)
	}
}

// Somebody else rotates the live file while it is read.
func TestAnotherFileInItsPlace(t *testing.T) {
	t.Parallel()
	f := folder(t, map[string][]byte{"server.log": bytes.Repeat([]byte("old\n"), chunk)})
	got, reports, err := show(t, f, "server.log", Options{Lock: at(4, func() {
		if err := errors.Join(
			os.Rename(f.Name()+"/server.log", f.Name()+"/server.log.1"),
			os.WriteFile(f.Name()+"/server.log", []byte("new\n"), 0o600),
		); err != nil {
			t.Error(err)
		}
	})})
	if err != nil || len(reports) > 0 || got != strings.Repeat("old\n", chunk)+"new\n" {
		t.Errorf("%d bytes, %q, %v", len(got), reports, err)
	}
}

// One archive is removed while it is read, which it goes on being; the next one
// is there.
func TestRemovedWhileItIsRead(t *testing.T) {
	t.Parallel()
	const first = "server.log-20260101T000000Z.gz"
	f := folder(t, map[string][]byte{
		first: compress(t, Gzip, []byte("1")), "server.log-20260102T000000Z.gz": compress(t, Gzip, []byte("2")), "server.log": []byte("3"),
	})
	got, reports, err := show(t, f, "server.log", Options{Lock: at(3, func() {
		if err := os.Remove(f.Name() + "/" + first); err != nil {
			t.Error(err)
		}
	})})
	if err != nil || len(reports) > 0 || got != "123" {
		t.Errorf("%q, %q, %v", got, reports, err)
	}
}

// A file that is another one each time it is looked at does not keep a reader
// for ever.
func TestMovedForEver(t *testing.T) {
	t.Parallel()
	names := []string{"server.log", "server.log-20260101T000000Z"}
	f := folder(t, map[string][]byte{names[0]: []byte("x")})
	_, reports, err := show(t, f, "server.log", Options{Lock: &between{do: func() {
		if err := os.Rename(f.Name()+"/"+names[0], f.Name()+"/"+names[1]); err != nil {
			t.Error(err)
		}
		slices.Reverse(names)
	}}})
	var incomplete *Incomplete
	if !errors.As(err, &incomplete) || len(reports) == 0 {
		t.Errorf("%q, %v", reports, err)
	}
}

// A change that comes within the resolution of the file system's clock does not
// show in the folder's time.
func TestAFolderThatWasJustChangedIsListedAgain(t *testing.T) {
	t.Parallel()
	f := folder(t, map[string][]byte{"server.log": nil})
	l, err := list(f, "server.log")
	if err != nil || l.current(f) {
		t.Errorf("what was listed right after a change is trusted, %v", err)
	}
}

// The folder of a log is not listed again for each part of it that is read, once
// it is certain that a change would show.
func TestAQuietFolderIsListedOnce(t *testing.T) {
	t.Parallel()
	f := folder(t, map[string][]byte{"server.log": bytes.Repeat([]byte("x"), 10<<20)})
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(f.Name(), past, past); err != nil {
		t.Fatal(err)
	}
	s, err := Open(f, "server.log", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p := make([]byte, chunk)
	if _, err := s.Read(p); err != nil {
		t.Fatal(err)
	}
	first := s.listed.items
	if _, err := s.Read(p); err != nil || &first[0] != &s.listed.items[0] {
		t.Errorf("it was listed again, %v", err)
	}
	// And a change does show.
	if err := os.Rename(f.Name()+"/server.log", f.Name()+"/server.log-20260101T000000Z"); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(s)
	if err != nil || len(rest) != 10<<20-2*chunk || slices.Equal(first, s.listed.items) {
		t.Errorf("%d bytes follow, %v", len(rest), err)
	}
}

// Of what is a hole or a gap nothing is delivered, NULs that were written are.
func TestHolesAndGaps(t *testing.T) {
	t.Parallel()
	f := folder(t, map[string][]byte{"a.out": nil})
	file, err := os.OpenFile(f.Name()+"/a.out", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	// A whole block of NULs was written, as well.
	text := "one\x00" + strings.Repeat("\x00", 500) + "two\n"
	text += strings.Repeat("\x00", 2*block-len(text))
	for at, text := range map[int64]string{10 * block: text, 1 << 40: strings.Repeat("three", block)} {
		if _, err := file.WriteAt([]byte(text), at); err != nil {
			t.Fatal(err)
		}
	}
	gaps := []Range{{1<<40 + 5, 1<<40 + 10}, {10*block + 4, 10*block + 100}, {10*block + 90, 10*block + 504}, {1<<40 + 5*(block-1), 1 << 42}}
	got, reports, err := show(t, f, "a.out", Options{Gaps: func(*os.File) ([]Range, error) { return gaps, nil }})
	want := "one\x00" + text[504:] + strings.Repeat("three", block-2)
	if err != nil || len(reports) > 0 || got != want {
		t.Errorf("%d bytes, want %d; %q; %v", len(got), len(want), reports, err)
	}
}
