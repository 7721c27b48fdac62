package rotation

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzNotes puts anything into the place of the notes: the next process finds
// out again what they said, and no line is lost or doubled for it.
func FuzzNotes(f *testing.F) {
	for _, seed := range []struct{ intent, writers string }{
		{"", ""},
		{"{}", "[]"},
		{`{"piece":true,"moves":[{"segment":"server.log-20261127T070000Z","archive":"server.log-20261127T070000Z-1.gz","inode":{"device":1,"number":2,"born":3},"end":4096}]}`,
			`[{"inode":{"device":1,"number":2,"born":3},"log":"server.log","writer":"appends","seam":{"size":8192,"length":4096,"after":4096}}]`},
		{`{"moves":[{"segment":"../secret","archive":"callback.log","temporary":"callback.log"}]}`, `[{"gap":{"start":-1,"end":9223372036854775807}}]`},
		{`{"moves":[{"segment":"server.log"`, "\x00\x00\x00"},
		{`{"piece":7}`, `{"inode":[]}`},
	} {
		f.Add([]byte(seed.intent), []byte(seed.writers))
	}
	f.Fuzz(func(t *testing.T, intent, writers []byte) {
		l := newLogs(t)
		const server, callback = "server.log", "callback.log"
		file := l.open(server, os.O_CREATE|os.O_WRONLY|os.O_APPEND)
		kept := l.open(callback, os.O_CREATE|os.O_WRONLY|os.O_APPEND)
		l.lines(file, 0, 100)
		l.lines(kept, 0, 200)
		file.Close()
		l.rotate()
		l.clock = l.clock.Add(time.Second)
		l.settle()
		l.lines(kept, 200, 300)
		l.settle() // it is known to be kept
		file = l.open(server, os.O_CREATE|os.O_WRONLY|os.O_APPEND)
		l.lines(file, 100, 200)
		l.clock = l.clock.Add(time.Minute)
		if _, failed := l.SetAside(live(l.all())); len(failed) > 0 {
			t.Fatal(failed)
		}
		file.Close()
		l.Close()
		for name, text := range map[string][]byte{intentFile: intent, writersFile: writers} {
			if err := os.WriteFile(filepath.Join(l.options.State, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l.start()
		l.rotate()
		l.wants(server, 200)
		l.wants(callback, 300)
		kept.Close()
		l.rotate()
		l.rotate()
		l.wants(callback, 300)
	})
}
