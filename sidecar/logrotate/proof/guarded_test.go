package proof

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What happens in these is what each of the safeguards is there for. Each ends
// with what is wrong then, or nothing.

// on puts a task into a folder of its own.
func (what task) on(t *testing.T, name string) task {
	t.Helper()
	return what.in(t, on(t, name).mount(t))
}

// kept begins a log whose writer is known to keep it, and to append.
func kept(t *testing.T, what task) *book {
	t.Helper()
	b := keep(t, what.Folder, "callback.log", os.O_APPEND)
	b.write(100)
	p := rotates(t, what)
	for range 2 {
		p.must("rotate")
		b.write(1)
		p.must("settle")
		b.write(1)
	}
	p.finish()
	return b
}

// rest brings what is left to its end, after its writer's.
func (b *book) rest(what task) sum {
	b.t.Helper()
	b.close()
	what.DoAt, what.DieAt = "", ""
	p := rotates(b.t, what)
	var total sum
	total.fail(p.must("rotate"))
	total.fail(p.must("rotate"))
	p.finish()
	total.add(b.found())
	return total
}

// once rotates once, whatever comes of it.
func once(t *testing.T, what task) {
	t.Helper()
	p := launch(t, what)
	if _, err := p.answered(); err == nil {
		_, _ = p.tell("rotate")
	}
	p.kill()
}

// lineIn puts a line of another writer into a file that the logs' owner can read.
func lineIn(t *testing.T, writer string) string {
	t.Helper()
	path := filepath.Join(scratch(t), "line")
	put(t, path, []byte(lineOf(writer, 1, 256)))
	return path
}

// A log is rotated while its writer keeps it.
func heldByItsWriter(t *testing.T, what task) string {
	what = what.on(t, "ext4")
	b := keep(t, what.Folder, "callback.log", os.O_APPEND)
	p := rotates(t, what)
	for range 3 {
		b.write(100)
		p.must("rotate")
	}
	p.finish()
	return b.rest(what).wrong()
}

// While a log is aside, the file is made anew by another writer.
func madeAnewMeanwhile(t *testing.T, what task) string {
	what = what.on(t, "ext4")
	b := kept(t, what)
	b.write(100)
	what.DoAt, what.Do = "put back", fmt.Sprintf("cat %s >> %s/%s", lineIn(t, "other"), what.Folder, b.name)
	once(t, what)
	b.write(100)
	found := b.rest(what)
	found.add(counted(t, what.Folder, b.name, map[string]uint64{"other": 1}))
	return found.wrong()
}

// Somebody opens a segment when its archive is complete, and writes a line.
func openedAtTheLastMoment(t *testing.T, what task) string {
	what = what.on(t, "ext4")
	b := keep(t, what.Folder, "server.log", os.O_APPEND)
	b.write(100)
	b.close()
	what.DoAt = "remove segment"
	what.Do = fmt.Sprintf("(cat %s >> $(ls %s/server.log-*Z)) >/dev/null 2>&1 & sleep 0.2", lineIn(t, "other"), what.Folder)
	once(t, what)
	found := b.rest(what)
	found.add(counted(t, what.Folder, b.name, map[string]uint64{"other": 1}))
	return found.wrong()
}

// The process is killed between an archive's name and the end of what it holds.
func killedBetween(step string) func(t *testing.T, what task) string {
	return func(t *testing.T, what task) string {
		what = what.on(t, "ext4")
		s := stock(t, what)
		s.begin()
		s.write(150)
		dying := what
		dying.DieAt, dying.DieNth = step, 1
		if dies(t, dying) != 1 {
			t.Errorf("it did not die at %q", step)
		}
		return s.mend(what).wrong()
	}
}

// The power goes when one archive, or the next, is done with: what was removed is
// gone for good then.
func powerCutAfterIt(closed int) func(t *testing.T, what task) string {
	return func(t *testing.T, what task) string {
		d, folder := on(t, "ext4").plug(t)
		what = what.in(t, folder)
		what.State = owned(t, filepath.Join(d.at, "state"))
		s := stock(t, what)
		for i := range closed {
			one := keep(t, what.Folder, fmt.Sprintf("agent-%d.log", i), os.O_APPEND)
			one.close()
			s.books = append(s.books, one)
		}
		for number := 1; ; number++ {
			s.begin()
			s.write(150)
			d.sync()
			done := 0
			_, err := traced(t, what, func(_ int, next change) bool {
				if next.call != "unlink" || next.path != "intent.json" {
					return true
				}
				if done++; done < number {
					return true
				}
				d.commit()
				d.cut()
				return false
			})
			if err == nil {
				return ""
			}
			s.restart(d.back)
			if wrong := s.mend(what).wrong(); wrong != "" {
				return wrong
			}
		}
	}
}

// A writer with an offset of its own goes on after its log became shorter.
func offsetOfItsOwn(t *testing.T, what task) string {
	what = what.on(t, "ext4")
	b := keep(t, what.Folder, "agent.out", 0)
	p := rotates(t, what)
	for range 4 {
		b.write(100)
		p.must("rotate")
		b.write(1)
		p.must("settle")
	}
	p.finish()
	return b.rest(what).wrong()
}

// A log is truncated by its writer when it has been read, and written to.
func truncatedByItsWriter(t *testing.T, what task) string {
	what = what.on(t, "ext4")
	b := kept(t, what)
	b.write(100)
	what.DoAt = "sync piece"
	what.Do = fmt.Sprintf("cat %s > $(ls %s/callback.log-*Z)", lineIn(t, "other"), what.Folder)
	once(t, what)
	b.close()
	// What its writer removed is not asked for.
	return counted(t, what.Folder, b.name, map[string]uint64{"other": 1}).wrong()
}

// The clock goes back a day between two rotations.
func clockGoesBack(t *testing.T, what task) string {
	what = what.on(t, "ext4")
	b := keep(t, what.Folder, "server.log", os.O_APPEND)
	b.close()
	p := rotates(t, what)
	for _, seconds := range []string{"0", "-86400", "86400", "-31536000", "3"} {
		p.must("advance " + seconds)
		b.write(50)
		p.must("rotate")
	}
	p.finish()
	return b.found().wrong()
}

// A second process is to rotate the same logs, with a state of its own.
func twoAtOnce(t *testing.T, what task) string {
	what = what.on(t, "ext4")
	first := rotates(t, what)
	defer first.kill()
	what.State = owned(t, filepath.Join(scratch(t), "state"))
	_, err := launch(t, what).answered()
	if err == nil {
		return "two processes rotate the same logs"
	}
	if errors.Is(err, errDied) || !strings.Contains(err.Error(), "another process rotates the logs of this folder") {
		t.Errorf("the second process says: %v", err)
	}
	return ""
}

// A file that is somewhere else as well is no log, whatever it is called here.
func secondName(t *testing.T, what task) string {
	what = what.on(t, "ext4")
	victim := keep(t, filepath.Dir(what.Folder), "victim", os.O_APPEND)
	victim.write(100)
	if err := os.Link(filepath.Join(victim.folder, victim.name), filepath.Join(what.Folder, "x.log")); err != nil {
		t.Fatal(err)
	}
	p := rotates(t, what)
	for range 3 {
		p.must("rotate")
		victim.write(10)
		p.must("settle")
	}
	p.finish()
	return victim.found().wrong()
}

// A segment is replaced by a link to another log when it has been looked at.
func linkInItsPlace(t *testing.T, what task) string {
	what = what.on(t, "ext4")
	b := kept(t, what)
	b.write(100)
	segment := filepath.Join(what.Folder, "x.log-20200101T000000Z")
	put(t, segment, nil)
	what.DoAt, what.Do = stepLooked, fmt.Sprintf("ln -sf %s/%s %s", what.Folder, b.name, segment)
	p := rotates(t, what)
	p.must("settle")
	p.finish()
	return b.found().wrong()
}
