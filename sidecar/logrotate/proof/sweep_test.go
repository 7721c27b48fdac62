package proof

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// held are logs that this test itself writes: one that is closed after each line,
// and two that are kept, with O_APPEND and without. What was written is known,
// and nothing is written meanwhile, so that runs can be compared.
type held struct {
	t      *testing.T
	folder string
	files  map[string]*os.File
	lines  int
	rounds int
}

const (
	closedLog   = "server.log"
	appendedLog = "callback.log"
	keptLog     = "policy_engine.log"
)

var heldLogs = []string{closedLog, appendedLog, keptLog}

// hold begins the logs, and has a process find out who keeps them.
func hold(t *testing.T, what task) *held {
	t.Helper()
	h := &held{t: t, folder: what.Folder, files: map[string]*os.File{}}
	h.reopen()
	t.Cleanup(h.close)
	h.write(100)
	h.mend(what)
	return h
}

// mend has a process bring everything to its end, and checks that all lines are
// there, once.
func (h *held) mend(what task) sum {
	h.t.Helper()
	p := rotates(h.t, what)
	// What a process before left aside; then who keeps the files that are there
	// now; then how they write to them.
	for range 3 {
		h.write(1)
		p.well("rotate")
		h.write(1)
		p.well("settle")
	}
	p.finish()
	return h.wants()
}

// reopen opens the kept ones, as their writers do when they start.
func (h *held) reopen() {
	h.t.Helper()
	for name, flags := range map[string]int{appendedLog: os.O_APPEND, keptLog: 0} {
		file, err := os.OpenFile(filepath.Join(h.folder, name), flags|os.O_CREATE|os.O_WRONLY, 0o644)
		if err == nil {
			err = file.Chown(owner, owner)
		}
		if err == nil {
			_, err = file.Seek(0, 2)
		}
		if err != nil {
			h.t.Fatal(err)
		}
		h.files[name] = file
	}
}

func (h *held) close() {
	for _, file := range h.files {
		file.Close()
	}
}

// begin starts a new count; what was before is not asked for any more.
func (h *held) begin() {
	h.t.Helper()
	h.rounds, h.lines = h.rounds+1, 0
	for _, name := range heldLogs {
		all, err := pieces(h.folder, name)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, one := range all {
			if one.kind == archived && one.plain {
				h.t.Fatalf("%s is still aside", one.path)
			}
			if one.kind != live {
				if err := os.Remove(one.path); err != nil {
					h.t.Fatal(err)
				}
			}
		}
	}
}

// write adds lines to each log.
func (h *held) write(lines int) {
	h.t.Helper()
	var text strings.Builder
	for range lines {
		h.lines++
		// Whole lines a block: those of rounds before are whole or gone.
		text.WriteString(lineOf(fmt.Sprintf("w%d", h.rounds), h.lines, 256))
	}
	closed, err := os.OpenFile(filepath.Join(h.folder, closedLog), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		err = errors.Join(closed.Chown(owner, owner), func() error { _, err := closed.WriteString(text.String()); return err }(), closed.Close())
	}
	for _, file := range h.files {
		_, failed := file.WriteString(text.String())
		err = errors.Join(err, failed)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// wants checks that all lines are there, once.
func (h *held) wants() sum {
	h.t.Helper()
	var total sum
	for _, name := range heldLogs {
		total.add(want(h.t, h.folder, name, map[string]uint64{fmt.Sprintf("w%d", h.rounds): uint64(h.lines)}))
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
	h := hold(t, what)
	var total sum
	for number := 1; ; number++ {
		h.begin()
		h.write(150)
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
		found := h.mend(what)
		total.add(found)
		if !found.perfect() {
			t.Fatalf("killed before change %d: %s", number, last)
		}
	}
}
