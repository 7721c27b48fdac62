package proof

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A book is a log that this test itself writes, with nobody else writing
// meanwhile, so that runs can be compared.
type book struct {
	t            *testing.T
	folder, name string
	flags        int
	file         *os.File // nil where it is closed after each line
	writer       string   // its identity
	lines        int
}

// keep opens a log, with these flags besides, and keeps it.
func keep(t *testing.T, folder, name string, flags int) *book {
	t.Helper()
	b := &book{t: t, folder: folder, name: name, flags: flags, writer: "w"}
	b.reopen()
	t.Cleanup(b.close)
	return b
}

// reopen opens it, as its writer does when it starts.
func (b *book) reopen() {
	b.t.Helper()
	file, err := os.OpenFile(filepath.Join(b.folder, b.name), b.flags|os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		err = file.Chown(owner, owner)
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekEnd)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.file = file
}

func (b *book) close() {
	if b.file != nil {
		b.file.Close()
		b.file = nil
	}
}

// write adds lines; where it is closed, it is opened for them.
func (b *book) write(lines int) {
	b.t.Helper()
	var text strings.Builder
	for range lines {
		b.lines++
		// Whole lines a block: what is left of a log that is counted anew are lines.
		text.WriteString(lineOf(b.writer, b.lines, 256))
	}
	if b.file == nil {
		b.reopen()
		defer b.close()
	}
	if _, err := b.file.WriteString(text.String()); err != nil {
		b.t.Fatal(err)
	}
}

// found counts its lines.
func (b *book) found() sum {
	b.t.Helper()
	return counted(b.t, b.folder, b.name, map[string]uint64{b.writer: uint64(b.lines)})
}

// begin removes its archives, and counts what is written from now on.
func (b *book) begin(writer string) {
	b.t.Helper()
	b.writer, b.lines = writer, 0
	all, err := pieces(b.folder, b.name)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, one := range all {
		if one.kind == archived && one.plain {
			b.t.Fatalf("%s is still aside", one.path)
		}
		if one.kind != live {
			if err := os.Remove(one.path); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

// A shelf has one book of each kind: one that is closed after each line, and two
// that are kept, with O_APPEND and without.
type shelf struct {
	t      *testing.T
	books  []*book
	rounds int
}

// stock begins the logs, and has a process find out who keeps them.
func stock(t *testing.T, what task) *shelf {
	t.Helper()
	s := &shelf{t: t, books: []*book{
		keep(t, what.Folder, "server.log", os.O_APPEND),
		keep(t, what.Folder, "callback.log", os.O_APPEND),
		keep(t, what.Folder, "policy_engine.log", 0),
	}}
	s.books[0].close()
	s.write(100)
	if found := s.mend(what); !found.perfect() {
		t.Fatal(found)
	}
	return s
}

func (s *shelf) write(lines int) {
	s.t.Helper()
	for _, one := range s.books {
		one.write(lines)
	}
}

// begin starts a new count; what was before is not asked for any more.
func (s *shelf) begin() {
	s.t.Helper()
	s.rounds++
	for _, one := range s.books {
		one.begin(fmt.Sprintf("w%d", s.rounds))
	}
}

// restart closes and opens what is kept, with something in between.
func (s *shelf) restart(meanwhile func()) {
	s.t.Helper()
	var kept []*book
	for _, one := range s.books {
		if one.file != nil {
			one.close()
			kept = append(kept, one)
		}
	}
	meanwhile()
	for _, one := range kept {
		one.reopen()
	}
}

// mend has a process bring everything to its end, and counts.
func (s *shelf) mend(what task) sum {
	s.t.Helper()
	var total sum
	p := rotates(s.t, what)
	// What a process before left aside; then who keeps the files that are there
	// now; then how they write to them.
	for range 3 {
		s.write(1)
		total.fail(p.must("rotate"))
		s.write(1)
		total.fail(p.must("settle"))
	}
	p.finish()
	for _, one := range s.books {
		total.add(one.found())
	}
	return total
}

func TestKilledBeforeEachChange(t *testing.T) {
	t.Parallel()
	for _, fs := range filesystems {
		if fs.name != "ext4" && !soaking {
			continue
		}
		t.Run(fs.name, func(t *testing.T) {
			t.Parallel()
			if fs.there(t) {
				killedBeforeEachChange(t, fs.mount(t))
			}
		})
	}
}

// A process is killed before its first change, the next one before its second,
// and so on, until one comes to its end; and so is the one that is to mend that,
// somewhere.
func killedBeforeEachChange(t *testing.T, folder string) {
	what := taskIn(t, folder)
	s := stock(t, what)
	var total sum
	for number := 1; ; number++ {
		s.begin()
		s.write(150)
		var last change
		_, err := traced(t, what, func(now int, next change) bool {
			last = next
			return now < number
		})
		if err == nil {
			t.Logf("%d changes: %v", number-1, total)
			if number < 30 {
				t.Errorf("only %d changes were seen", number-1)
			}
			return
		}
		_, _ = traced(t, what, func(now int, _ change) bool { return now <= number%7 })
		found := s.mend(what)
		total.add(found)
		if !found.perfect() {
			t.Fatalf("killed before change %d, %s: %v", number, last, found)
		}
	}
}
