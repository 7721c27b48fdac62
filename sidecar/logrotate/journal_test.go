package logrotate

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lines counts the writes that it gets, and the lines in them.
type lines struct {
	mu     sync.Mutex
	text   bytes.Buffer
	writes int
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes++
	return l.text.Write(p)
}

func (l *lines) count() (writes, lines int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writes, strings.Count(l.text.String(), "\n")
}

func TestLinesThatAreGatheredAreWrittenTogetherAndSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lines
		j := &journal{out: &out, now: time.Now}
		expect := func(when string, writes, lines int) {
			t.Helper()
			synctest.Wait()
			if w, l := out.count(); w != writes || l != lines {
				t.Errorf("%s: %d lines in %d writes, want %d in %d", when, l, w, lines, writes)
			}
		}
		j.write(Event{Event: EventStarted})
		expect("one by itself", 1, 1)
		j.gather(func() {
			for range 10 {
				j.write(Event{Event: EventRotated})
			}
			expect("ten, while more may come", 1, 1)
			time.Sleep(longestHeld)
			expect("a second later", 2, 11)
			j.write(Event{Event: EventRotated})
			for range 2 * mostHeld / len(`{"time":"2000-01-01T00:00:00Z","event":"rotated"}`) {
				j.write(Event{Event: EventRotated})
			}
			if writes, _ := out.count(); writes < 3 {
				t.Error("more than is held for at most was not written")
			}
		})
		writes, before := out.count()
		time.Sleep(2 * longestHeld)
		expect("after the end nothing is left", writes, before)
		j.write(Event{Event: EventStopping})
		expect("one by itself again", writes+1, before+1)
	})
}
