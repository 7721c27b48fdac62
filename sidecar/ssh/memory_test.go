package ssh

import (
	"io"
	"runtime"
	"strings"
	"testing"
)

// The memory is the whole process's, so none of these tests is parallel.

func TestMemoryIsLimited(t *testing.T) {
	runtime.GC()
	s, key := serveOne(t, "", limited(func(l *Limits) { l.Memory = heap() + 24<<20 }))
	before, busy := s.dial(t, key), s.dial(t, key)
	// One that sends more than all others, and whose program takes it.
	upload := open(t, busy)
	input, err := upload.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := upload.Start("cat >/dev/null"); err != nil {
		t.Fatal(err)
	}
	uploaded := make(chan struct{})
	go func() {
		defer close(uploaded)
		_, _ = io.CopyN(input, zeros{}, 200<<20)
		_ = input.Close()
	}()
	w := enter(t, s, key)
	for n := range uint32(40) {
		channel, err := w.open("session", n, 1<<20, nil)
		if err != nil {
			break
		}
		if ok, _ := w.request(channel, "exec", textOf("exec sleep 1000")); !ok {
			break
		}
		// As much as its window lets it.
		if w.sendAll(repeat(channelData(channel, make([]byte, 32<<10)), 60)...) != nil {
			break
		}
		unharmed(t, before)
	}
	if !w.gone() {
		t.Error("the connection goes on")
	}
	s.log.await(t, "why", func(e Event) bool {
		return e.Event == EventDisconnected && e.Connection == 3 && strings.Contains(e.Reason, "nothing has taken")
	})
	within(t, uploaded, "the other client's upload")
	if err := upload.Wait(); err != nil {
		t.Error(err)
	}
	unharmed(t, before)
	if n := s.log.count(reason(EventDisconnected, "nothing has taken")); n != 1 {
		t.Errorf("%d connections are ended for it, want 1", n)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// What a client has sent long ago and was taken does not count.
func TestUnreadIsSinceAllWasWell(t *testing.T) {
	s, key := serveOne(t, "", limited(func(l *Limits) { l.Memory = 1 << 40 }))
	client := s.dial(t, key)
	session := open(t, client)
	session.Stdin = io.LimitReader(zeros{}, 20<<20)
	if err := session.Run("cat >/dev/null"); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if _, _, err := client.SendRequest("none", true, make([]byte, 10<<10)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all is well", func() bool {
		s.server.mu.Lock()
		defer s.server.mu.Unlock()
		for c := range s.server.connections {
			if c.unread() > 2*weighingStep {
				return false
			}
		}
		return true
	})
}
