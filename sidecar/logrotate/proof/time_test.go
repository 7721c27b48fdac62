package proof

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The clock is put forward and back, by a day and by a year, and is that of 1970
// at the start: names keep the order of the lines, each jump rotates at most
// once, and none keeps the next rotation from coming.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	folder, is := ext4(t)
	if !is {
		return
	}
	what := taskIn(t, folder)
	b := keep(t, folder, "server.log", os.O_APPEND)
	b.write(50)
	b.close()
	s := runs(t, what, map[string]string{"SCHEDULE": "daily"})
	now := time.Now()
	for _, jump := range []time.Duration{0, day, -day, 365 * day, -365 * day, 2 * day} {
		before := len(archivesOf(t, folder, b.name))
		now = now.Add(jump)
		s.must(fmt.Sprintf("advance %d", int(jump/time.Second)))
		b.write(50)
		s.fine()
		s.settled()
		if made := len(archivesOf(t, folder, b.name)) - before; made > 2 {
			t.Errorf("a jump by %s made %d archives", jump, made)
		}
		next := s.state().Next
		if wait := next.Sub(now); wait < -time.Minute || wait > 25*time.Hour {
			t.Errorf("after a jump by %s the next rotation is in %s", jump, wait)
		}
	}
	s.finish()
	what.Clock = 1
	s = runs(t, what, nil)
	for range 2 {
		b.write(50)
		s.fine()
		s.settled()
	}
	s.finish()
	if found := b.found(); !found.perfect() {
		t.Error(found)
	} else {
		t.Log(found)
	}
}

const day = 24 * time.Hour

func archivesOf(t *testing.T, folder, name string) []piece {
	t.Helper()
	all, err := pieces(folder, name)
	if err != nil {
		t.Fatal(err)
	}
	for i, one := range all {
		if one.kind == live {
			return append(all[:i:i], all[i+1:]...)
		}
	}
	return all
}

// Midnight after midnight, with a clock that is put to just before each: every
// log is rotated once a day, by itself.
func TestRotatesAtMidnight(t *testing.T) {
	t.Parallel()
	folder, is := ext4(t)
	if !is {
		return
	}
	what := taskIn(t, folder)
	// The night in which clocks go back in Brussels, and the days around it.
	brussels, err := time.LoadLocation("Europe/Brussels")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2027, 10, 30, 12, 0, 0, 0, brussels)
	what.Clock = at.Unix()
	b := keep(t, folder, "server.log", os.O_APPEND)
	b.close()
	s := runs(t, what, map[string]string{"SCHEDULE": "daily", "TIMEZONE": "Europe/Brussels"})
	for day := 1; day <= 3; day++ {
		b.write(10)
		midnight := time.Date(2027, 10, 30+day, 0, 0, 0, 0, brussels)
		s.now("nothing.log") // whatever was closed has been looked at
		if made := len(archivesOf(t, folder, b.name)); made != day-1 {
			t.Fatalf("before midnight %d there are %d archives", day, made)
		}
		s.must(fmt.Sprintf("advance %d", int(midnight.Sub(at)/time.Second)+1))
		at = midnight.Add(time.Second)
		s.now("nothing.log")
		eventually(t, func() error {
			if made := len(archivesOf(t, folder, b.name)); made != day {
				return fmt.Errorf("after midnight %d there are %d archives", day, made)
			}
			return nil
		})
	}
	s.finish()
	if found := b.found(); !found.perfect() {
		t.Error(found)
	}
}

// An environment is deleted, with its logs, and another one of the same name
// made, whose writer writes in another way into what may be the same inode.
func TestDeletedAndMadeAgain(t *testing.T) {
	t.Parallel()
	folder, is := ext4(t)
	if !is {
		return
	}
	what := taskIn(t, folder)
	s := runs(t, what, nil)
	same := map[uint64]bool{}
	again := 0
	var total sum
	for round, flags := range []int{os.O_APPEND, 0, os.O_APPEND, 0} {
		b := keep(t, folder, "agent.log", flags)
		b.writer = fmt.Sprint("w", round)
		for range 4 {
			b.write(100)
			s.fine()
			b.write(1)
			s.fine()
		}
		if number := inode(t, filepath.Join(folder, b.name)); same[number] {
			again++
		} else {
			same[number] = true
		}
		if found := b.found(); !found.perfect() {
			t.Fatalf("round %d: %v", round, found)
		} else {
			total.add(found)
		}
		for _, one := range append(archivesOf(t, folder, b.name), piece{path: filepath.Join(folder, b.name)}) {
			_ = os.Remove(one.path)
		}
		b.close()
	}
	s.finish()
	if again == 0 {
		t.Error("no inode came again: this shows nothing")
	}
	t.Logf("%d of 4 had an inode that another had before: %v", again, total)
}

// One that reopens its log, but writes nothing through eleven rotations: its old
// file is kept as long as that takes, however many archives are kept.
func TestIdleThroughElevenRotations(t *testing.T) {
	t.Parallel()
	fs := on(t, "ext4")
	if !fs.there(t) {
		return
	}
	for _, compression := range []string{"gzip", "none"} {
		t.Run(compression, func(t *testing.T) {
			t.Parallel()
			folder := fs.mount(t)
			w := start(t, writer{ID: "i", Kind: "watched", Path: folder + "/idle.log", Rate: 2000})
			busy := keep(t, folder, "busy.log", os.O_APPEND)
			busy.close()
			s := runs(t, taskIn(t, folder), map[string]string{"SCHEDULE": "daily", "KEEP": "10", "COMPRESSION": compression})
			w.wait(100)
			w.tell("pause")
			s.now()
			for range 11 {
				s.must("advance 86400")
				busy.write(10)
				s.fine("busy.log")
			}
			idle := folder + "/idle.log"
			if found := counted(t, folder, "idle.log", w.acknowledged(idle)); !found.perfect() {
				t.Error(found)
			}
			w.tell("resume")
			w.wait(100)
			w.stop()
			s.settled()
			if made := len(archivesOf(t, folder, busy.name)); made != 10 {
				t.Errorf("%d archives of the other log are kept", made)
			}
			s.finish()
			t.Log(want(t, folder, "idle.log", w.acknowledged(idle)))
		})
	}
}
