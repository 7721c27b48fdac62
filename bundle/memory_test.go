package bundle

import (
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"filippo.io/age"
)

// most is what a backup of any size may take of memory, to write and read at once:
// segments, and what is read ahead. What the collector has not seen to yet comes on
// top, and depends on the machine.
const most = 16 << 20

// A backup is larger than memory. Not at the same time as other tests: they have
// memory of their own.
func TestMemoryIsBounded(t *testing.T) {
	key := nativeKey(t)
	for name, c := range map[string]struct {
		to   []age.Recipient
		with []age.Identity
	}{"in clear": {}, "encrypted": {recipients(t, key.public), identities(t, key.secret)}} {
		began, before, peak := time.Now(), heap(), uint64(0)
		from, to := io.Pipe()
		written := make(chan error, 1)
		go func() {
			err := writeLong(to, c.to, func() { peak = max(peak, heap()) })
			written <- errors.Join(err, to.CloseWithError(err))
		}()
		plain, err := Decrypt(from, "FILE", c.with...)
		if err != nil {
			t.Fatal(err)
		}
		_, m, err := Check(plain, "FILE", nil)
		if err := errors.Join(err, <-written); err != nil {
			t.Fatal(err)
		}
		if m.Parts[0].Size != long {
			t.Errorf("%s: %d bytes were written", name, m.Parts[0].Size)
		}
		t.Logf("%s: 1 GiB in %v with at most %d KiB", name, time.Since(began).Round(time.Millisecond), (int64(peak)-int64(before))>>10)
		if peak > before+most {
			t.Errorf("%s: it takes %d bytes more than %d, and may take %d", name, peak-before, before, most)
		}
	}
}

const long = 1 << 30

// writeLong writes a backup of a GiB, and calls looked from time to time.
func writeLong(to io.Writer, recipients []age.Recipient, look func()) (err error) {
	if recipients != nil {
		encrypted, err := Encrypt(to, recipients...)
		if err != nil {
			return err
		}
		if err := writeLong(encrypted, nil, look); err != nil {
			return err
		}
		return encrypted.Close()
	}
	w, err := NewWriter(to, someHeader())
	if err != nil {
		return err
	}
	part, err := w.Part(Database)
	if err != nil {
		return err
	}
	for chunk, n := make([]byte, 1<<20), 0; n < long; n += len(chunk) {
		if _, err := part.Write(chunk); err != nil {
			return err
		}
		if n%(32<<20) == 0 {
			look()
		}
	}
	if err := part.Close(); err != nil {
		return err
	}
	_, err = w.Finish(Content{})
	return err
}

// heap is what is in use, in bytes: garbage does not count.
func heap() uint64 {
	runtime.GC()
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	return now.HeapAlloc
}
