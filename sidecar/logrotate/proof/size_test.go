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

	"golang.org/x/sys/unix"
)

// A file as large as a file system lets one be, with lines in a few places of it
// and nothing between them: what nobody wrote costs neither time nor room.
func TestSparseFiles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		filesystem string
		size       int64
	}{{"ext4", 20 << 30}, {"xfs", 4 << 40}} {
		t.Run(c.filesystem, func(t *testing.T) {
			t.Parallel()
			fs := on(t, c.filesystem)
			if !fs.there(t) {
				return
			}
			folder := fs.mount(t)
			what := taskIn(t, folder)
			closed, kept := keep(t, folder, "server.log", 0), keep(t, folder, "callback.log", 0)
			for _, one := range []*book{closed, kept} {
				for _, at := range []int64{0, c.size / 3, c.size/2 - 100, c.size - 1<<20} {
					if _, err := one.file.Seek(at, 0); err != nil {
						t.Fatal(err)
					}
					one.write(100)
				}
			}
			closed.close()
			began := time.Now()
			p := rotates(t, what)
			p.well("rotate")
			kept.write(10)
			p.well("settle")
			kept.write(10)
			p.well("rotate")
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("that took %s", took)
			}
			p.finish()
			for _, one := range []*book{closed, kept} {
				found := one.found()
				found.zeros = 0 // between lines and the end of their block
				if !found.perfect() {
					t.Errorf("%s: %v", one.name, found)
				}
			}
			var is unix.Stat_t
			if err := unix.Stat(filepath.Join(folder, kept.name), &is); err != nil || is.Blocks*512 > 1<<20 {
				t.Errorf("what is kept takes %d bytes, %v", is.Blocks*512, err)
			}
		})
	}
}

// More than goes into one archive at a time, beneath a writer that goes on.
func TestMoreThanOnePiece(t *testing.T) {
	t.Parallel()
	fs := on(t, "ext4")
	fs.size = 1024
	if !fs.there(t) {
		return
	}
	folder := fs.mount(t)
	path := folder + "/callback.log"
	w := start(t, writer{ID: "f", Kind: "file", Path: path, Length: 4 << 20, Lines: 75})
	eventually(t, func() error {
		if written := w.acknowledged(path)["f"]; written < 75 {
			return fmt.Errorf("%d lines are written", written)
		}
		return nil
	})
	s := runs(t, taskIn(t, folder), map[string]string{"COMPRESSION": "zstd"})
	s.now()
	w.tell("restart", "f") // it goes on: with the same file where that has its name
	s.fine()
	w.stop()
	s.rest()
	t.Log(want(t, folder, "callback.log", w.acknowledged(path)))
}

// Lines of 50 MB, of writers that reopen and of such that keep their file.
func TestHugeLines(t *testing.T) {
	t.Parallel()
	fs := on(t, "ext4")
	fs.size = 2048
	if !fs.there(t) {
		return
	}
	folder := fs.mount(t)
	const length = 50 << 20
	w := start(t,
		writer{ID: "w", Kind: "watched", Path: folder + "/server.log", Length: length, Lines: 5},
		writer{ID: "f", Kind: "file", Path: folder + "/callback.log", Length: length, Lines: 5},
		writer{ID: "k", Kind: "kept", Path: folder + "/agent.out", Length: length, Lines: 5},
	)
	s := runs(t, taskIn(t, folder), map[string]string{"COMPRESSION": "zstd"})
	for done := false; !done; {
		s.fine()
		done = true
		for _, one := range w.all {
			done = done && w.acknowledged(one.Path)[one.ID] == 5
		}
	}
	w.stop()
	s.rest()
	t.Log(wantAll(t, w))
}

// What has no lines: zero bytes that were written, and text without an end. It
// is archived as it is, to the byte.
func TestNoLines(t *testing.T) {
	t.Parallel()
	folder, is := ext4(t)
	if !is {
		return
	}
	what := taskIn(t, folder)
	contents := map[string][]byte{
		"zeros.log":   make([]byte, 3_000_001),
		"endless.log": bytes.Repeat([]byte("no end "), 500_000),
		"one.log":     []byte("x"),
	}
	for _, name := range []string{"zeros.log", "endless.log", "one.log"} {
		for _, kept := range []bool{false, true} {
			content := contents[name]
			if kept {
				name = "kept-" + name
			}
			b := keep(t, folder, name, os.O_APPEND)
			if _, err := b.file.Write(content); err != nil {
				t.Fatal(err)
			}
			if !kept {
				b.close()
			}
		}
	}
	p := rotates(t, what)
	p.well("rotate")
	p.well("settle")
	p.finish()
	for name, content := range contents {
		for _, name := range []string{name, "kept-" + name} {
			all, err := pieces(folder, name)
			if err != nil {
				t.Fatal(err)
			}
			var text []byte
			for _, one := range all {
				tool := "cat"
				if !one.plain {
					tool = "zcat"
				}
				part, err := exec.Command(tool, one.path).Output()
				if err != nil {
					t.Fatal(err)
				}
				text = append(text, part...)
			}
			if !bytes.Equal(text, content) {
				t.Errorf("%s has %d bytes, want %d, in %v", name, len(text), len(content), all)
			}
		}
	}
}

// Five thousand environments, a hundred of which write meanwhile, with no more
// open files than a process is usually allowed.
func TestFiveThousandLogs(t *testing.T) {
	t.Parallel()
	folder, is := ext4(t)
	if !is {
		return
	}
	const logs, lines = 5000, 3
	acknowledged := map[string]uint64{}
	for i := range logs {
		id := fmt.Sprintf("e%d", i)
		var text strings.Builder
		for number := 1; number <= lines; number++ {
			text.WriteString(lineOf(id, number, 200))
		}
		acknowledged[id] = lines
		path := fmt.Sprintf("%s/resource-actions-%d.log", folder, i)
		put(t, path, []byte(text.String()))
		if err := os.Chown(path, owner, owner); err != nil {
			t.Fatal(err)
		}
	}
	var books []*book
	for i := range 100 {
		b := keep(t, folder, fmt.Sprintf("agent-%d.log", i), os.O_APPEND*(i%2))
		b.writer = fmt.Sprintf("k%d", i)
		b.write(50)
		books = append(books, b)
	}
	what := taskIn(t, folder)
	what.Files = 1024
	s := runs(t, what, nil)
	began := time.Now()
	s.now()
	for s.waiting() != "" {
		for _, b := range books {
			b.write(1)
		}
	}
	s.fine()
	t.Logf("%d logs in %s", logs+len(books), time.Since(began).Round(time.Millisecond))
	s.healthy()
	s.finish()
	for _, b := range books {
		if found := b.found(); !found.perfect() {
			t.Errorf("%s: %v", b.name, found)
		}
	}
	// One process reads them all: their lines say whose they are.
	archives, err := filepath.Glob(folder + "/resource-actions-*.gz")
	if err != nil || len(archives) != logs {
		t.Fatalf("%d archives, %v", len(archives), err)
	}
	text, err := exec.Command("zcat", archives...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var total sum
	writers := map[string]*seen{}
	for line := range bytes.Lines(text) {
		total.take(line, writers)
	}
	total.missing(acknowledged, writers)
	if total.lines != logs*lines || !total.perfect() {
		t.Error(total)
	}
}
