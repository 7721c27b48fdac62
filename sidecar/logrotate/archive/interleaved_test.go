package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// between lets the daemon do something whenever the reader waits for the lock:
// that is everywhere where it may.
type between struct {
	do   func()
	held bool
}

func (b *between) Lock() error {
	b.do()
	if b.held {
		return errors.New("locked twice")
	}
	b.held = true
	return nil
}

func (b *between) Unlock() error {
	b.held = false
	return nil
}

// readAll reads a stream in small steps, doing something between them as well.
func readAll(s *Stream, size int, do func()) ([]byte, error) {
	s.buffer = s.buffer[:size]
	var all []byte
	p := make([]byte, size)
	for {
		n, err := s.Read(p)
		all = append(all, p[:n]...)
		if err != nil {
			return all, err
		}
		do()
	}
}

func TestEveryLineOnceWhileTheDaemonRotates(t *testing.T) {
	t.Parallel()
	for _, format := range []Format{Gzip, Zstd, Plain} {
		for name, holds := range map[string]holds{"reopens": reopens, "appends": appends, "own offset": ownOffset} {
			t.Run(fmt.Sprint(format, ", ", name), func(t *testing.T) {
				t.Parallel()
				for seed := range uint64(60) {
					oneStream(t, seed, format, holds)
				}
			})
		}
	}
}

func oneStream(t *testing.T, seed uint64, format Format, holds holds) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 1))
	d := newDaemon(t, random, t.TempDir(), format, holds)
	defer d.close()
	for range random.IntN(40) {
		d.step()
	}
	budget := 60 // or a slow reader would never be at the end
	do := func() {
		for budget > 0 && random.IntN(3) == 0 {
			budget--
			d.step()
		}
	}
	lock := &between{do: do}
	before := d.written.Len()
	s, err := Open(d.folder, d.log, Options{Lock: lock, Gaps: d.readGaps, Report: func(err error) {
		t.Errorf("seed %d: %v", seed, err)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got, err := readAll(s, 1+random.IntN(9000), do)
	if err != io.EOF || len(got) < before || !bytes.HasPrefix(d.written.Bytes(), got) {
		t.Fatalf("seed %d: %v; %s; after\n%q", seed, err, differ(got, d.written.Bytes()), d.steps)
	}
}

// differ says where two texts begin to differ.
func differ(got, want []byte) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	end := func(text []byte) []byte { return text[i:min(len(text), i+60)] }
	return fmt.Sprintf("%d bytes of %d, the same up to %d, then %q, want %q", len(got), len(want), i, end(got), end(want))
}

// What retention removes on the way is said, and all else is there, once.
func TestArchivesThatVanish(t *testing.T) {
	t.Parallel()
	missed := 0
	for seed := range uint64(200) {
		missed += oneThatLoses(t, seed)
	}
	if missed < 50 {
		t.Errorf("only %d archives vanished under the reader", missed)
	}
}

// oneThatLoses reads a stream while archives are removed, and says how often it
// was told that lines are missing.
func oneThatLoses(t *testing.T, seed uint64) (gone int) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 2))
	d := newDaemon(t, random, t.TempDir(), []Format{Gzip, Plain}[seed%2], holds(seed%3))
	budget := 200
	do := func() {
		for budget > 0 && random.IntN(3) == 0 {
			budget--
			d.step()
			if random.IntN(4) == 0 {
				d.retain(random.IntN(3))
			}
		}
	}
	s, err := Open(d.folder, d.log, Options{Lock: &between{do: do}, Gaps: d.readGaps, Report: func(err error) {
		var is *Gone
		if !errors.As(err, &is) {
			t.Errorf("seed %d: %v", seed, err)
		}
		gone++
	}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := readAll(s, 1+random.IntN(9000), do)
	s.Close()
	d.close()
	last, holes := 0, 0
	for line := range bytes.Lines(got) {
		var n, zeros, end int
		_, err := fmt.Sscanf(after(string(line), "INFO line "), "%d %d end of %d", &n, &zeros, &end)
		if err != nil || n != end {
			continue // cut where a piece is missing
		}
		if n <= last {
			t.Fatalf("seed %d: line %d after %d, after\n%q", seed, n, last, d.steps)
		}
		if n > last+1 && last > 0 {
			holes++
		}
		last = n
	}
	if err != io.EOF || holes > 0 && gone == 0 {
		t.Errorf("seed %d: %v, %d holes, %d reported, after\n%q", seed, err, holes, gone, d.steps)
	}
	return gone
}

func after(text, mark string) string {
	_, rest, _ := strings.Cut(text, mark)
	return rest
}

// The same with whatever the fuzzer thinks of.
func FuzzStream(f *testing.F) {
	f.Add(uint64(1), uint8(0))
	f.Fuzz(func(t *testing.T, seed uint64, kind uint8) {
		oneStream(t, seed, Format(kind%3), holds(kind/3%3))
		oneThatLoses(t, seed)
	})
}

// The same with a daemon that really runs beside readers, and a real lock.
func TestReadersBesideADaemon(t *testing.T) {
	t.Parallel()
	type read struct {
		length, before int64
		sum            uint32
		err            error
	}
	for _, holds := range []holds{reopens, appends, ownOffset} {
		d := newDaemon(t, rand.New(rand.NewPCG(7, uint64(holds))), t.TempDir(), Gzip, holds)
		defer d.close()
		busy := t.TempDir() + "/busy"
		lock := func() flock {
			file, err := os.OpenFile(busy, os.O_CREATE|os.O_RDONLY, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { file.Close() })
			return flock{file}
		}
		alone, shared := lock(), []flock{lock(), lock()}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 600 {
				d.must("locking", alone.how(unix.LOCK_EX))
				d.step()
				d.must("unlocking", alone.Unlock())
			}
		}()
		reads := make([][]read, len(shared))
		var readers sync.WaitGroup
		for i, lock := range shared {
			readers.Go(func() {
				for running := true; running; {
					select {
					case <-done:
						running = false
					default:
					}
					var r read
					var all extent
					r.before = d.length.Load()
					s, err := Open(d.folder, d.log, Options{Lock: lock, Gaps: d.readGaps})
					if r.err = err; err == nil {
						s.buffer = s.buffer[:5000]
						_, r.err = io.Copy(&all, s)
						s.Close()
					}
					r.length, r.sum = all.length, all.sum
					reads[i] = append(reads[i], r)
				}
			})
		}
		readers.Wait()
		written := d.written.Bytes()
		for _, r := range slices.Concat(reads...) {
			var want extent
			want.add(written[:min(r.length, int64(len(written)))])
			if r.err != nil || r.length < r.before || want != (extent{r.length, r.sum}) {
				t.Errorf("%d: a stream of %d bytes, of which %d were there before, is not what was written, or not at all: %v", holds, r.length, r.before, r.err)
			}
		}
		if len(reads[0])+len(reads[1]) < 4 {
			t.Errorf("%d: only %d and %d streams", holds, len(reads[0]), len(reads[1]))
		}
	}
}

// Write lets an extent count what is copied to it.
func (e *extent) Write(p []byte) (int, error) {
	e.add(p)
	return len(p), nil
}

// flock is a lock on an open file by flock(2), shared with other readers.
type flock struct{ file *os.File }

func (f flock) Lock() error { return f.how(unix.LOCK_SH) }

func (f flock) Unlock() error { return f.how(unix.LOCK_UN) }

func (f flock) how(how int) error {
	for {
		if err := unix.Flock(int(f.file.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
