package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

// through sends what write writes to what read reads.
func through(t *testing.T, protocol int, write func(*Encoder) error, read func(*Reader)) []byte {
	t.Helper()
	var sent bytes.Buffer
	w := NewWriter(&sent, 0)
	e := NewEncoder(w)
	e.Protocol = protocol
	w.Frame()
	if err := write(e); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	whole := bytes.Clone(sent.Bytes())
	r := NewReader(&sent)
	r.Protocol = protocol
	r.Frame()
	read(r)
	if _, err := r.Byte(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("after the end: %v, want the end", err)
	}
	return whole
}

func TestNumbersArrive(t *testing.T) {
	numbers := []int64{0, 1, 127, 128, 255, 16383, 16384, 1 << 21, 1<<28 - 1, 1 << 28, math.MaxInt32, 1 << 32, 1 << 40, math.MaxInt64}
	for _, protocol := range []int{29, 30, 31} {
		through(t, protocol, func(e *Encoder) error {
			for _, n := range numbers {
				_ = e.Size(n)
				if protocol >= 30 {
					_ = e.Varlong(n, 4)
				}
				if n <= math.MaxInt32 {
					_ = e.Number(int32(n))
					_ = e.Number(int32(-n))
				}
			}
			return e.Int(-5)
		}, func(r *Reader) {
			for _, n := range numbers {
				same(t, n)(r.Size())
				if protocol >= 30 {
					same(t, n)(r.Varlong(4))
				}
				if n <= math.MaxInt32 {
					same(t, int32(n))(r.Number())
					same(t, int32(-n))(r.Number())
				}
			}
			same(t, int32(-5))(r.Int())
		})
	}
}

func same[T comparable](t *testing.T, want T) func(T, error) {
	return func(got T, err error) {
		t.Helper()
		if err != nil || got != want {
			t.Errorf("read %v, %v, want %v", got, err, want)
		}
	}
}

// The forms are rsync's: these bytes are what its own numbers look like.
func TestFormsAreRsyncs(t *testing.T) {
	for _, one := range []struct {
		write func(*Encoder) error
		want  string
	}{
		{func(e *Encoder) error { return e.Varint(0) }, "00"},
		{func(e *Encoder) error { return e.Varint(127) }, "7f"},
		{func(e *Encoder) error { return e.Varint(128) }, "8080"},
		{func(e *Encoder) error { return e.Varint(300) }, "812c"},
		{func(e *Encoder) error { return e.Varint(-1) }, "f0ffffffff"},
		{func(e *Encoder) error { return e.Varlong(1, 3) }, "000100"},
		{func(e *Encoder) error { return e.Varlong(1577934245, 4) }, "5ea55d0d"},
		{func(e *Encoder) error { return e.Long(1 << 32) }, "ffffffff0000000001000000"},
		{func(e *Encoder) error { return e.String("ab") }, "026162"},
		{func(e *Encoder) error { return e.Index(0) }, "01"},
		{func(e *Encoder) error { return e.Index(IndexDone) }, "00"},
		{func(e *Encoder) error { return e.Index(IndexDeleteStats) }, "ff02"},
		{func(e *Encoder) error { return e.Index(300) }, "fe012d"},
	} {
		whole := through(t, 31, one.write, func(r *Reader) {
			if err := r.Full(make([]byte, len(one.want)/2)); err != nil {
				t.Fatal(err)
			}
		})
		if got := hex.EncodeToString(whole[4:]); got != one.want {
			t.Errorf("wrote %s, want %s", got, one.want)
		}
	}
}

func TestIndexesArrive(t *testing.T) {
	indexes := []int32{0, 1, 2, 255, 254, 600, 70_000, 3, 3, IndexDone, math.MaxInt32, IndexDeleteStats, 5}
	for _, protocol := range []int{29, 31} {
		through(t, protocol, func(e *Encoder) error {
			for _, index := range indexes {
				_ = e.Index(index)
			}
			return nil
		}, func(r *Reader) {
			for _, index := range indexes {
				same(t, index)(r.Index())
			}
		})
	}
}

func TestMessagesComeBesideTheStream(t *testing.T) {
	var heard []string
	long := strings.Repeat("x", 3*maxFrame)
	through(t, 31, func(e *Encoder) error {
		_ = e.Text("be")
		e.Message(Info, []byte("hello"))
		e.MessageInt(IOError, 1)
		return e.Text("fore" + long)
	}, func(r *Reader) {
		r.OnMessage = func(tag Tag, payload []byte) error {
			heard = append(heard, string(rune('0'+tag))+string(payload))
			return nil
		}
		same(t, "before"+long)(r.Text(6+len(long), 1<<20))
	})
	if len(heard) != 2 || heard[0] != "2hello" {
		t.Errorf("heard %q", heard)
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	for name, one := range map[string]struct {
		bytes string
		read  func(*Reader) error
	}{
		"no tag":         {"00000003", func(r *Reader) error { _, err := r.Byte(); return err }},
		"long message":   {"ffffff09", func(r *Reader) error { _, err := r.Byte(); return err }},
		"long number":    {"05000007" + "f8ffffffff", func(r *Reader) error { _, err := r.Varint(); return err }},
		"longer number":  {"05000007" + "ffffffffff", func(r *Reader) error { _, err := r.Varlong(3); return err }},
		"index":          {"05000007" + "fefffffffe", func(r *Reader) error { _, _ = r.Index(); _, err := r.Index(); return err }},
		"long string":    {"02000007" + "ffff", func(r *Reader) error { _, err := r.String(10); return err }},
		"negative text":  {"", func(r *Reader) error { _, err := r.Text(-1, 10); return err }},
		"early end":      {"05000007" + "01", func(r *Reader) error { _, err := r.Int(); return err }},
		"end in a frame": {"0500", func(r *Reader) error { _, err := r.Int(); return err }},
	} {
		data, err := hex.DecodeString(one.bytes)
		if err != nil {
			t.Fatal(err)
		}
		r := NewReader(bytes.NewReader(data))
		r.Protocol = 31
		r.Frame()
		if one.read(r) == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A peer that reads nothing must not make whoever has a message wait.
func TestMessagesNeverWait(t *testing.T) {
	stuck, into := io.Pipe()
	w := NewWriter(into, 0)
	w.Frame()
	text := make([]byte, maxMessage)
	for range 2*maxBacklog/maxMessage + 2 {
		w.Message(Info, text)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("everything was kept for a peer that does not read")
	}
	_ = stuck.Close()
	_ = w.Close()
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("\x05\x00\x00\x07hello"), []byte{1, 2, 3})
	f.Add([]byte("\x02\x00\x00\x09hi\x01\x00\x00\x07\x00"), []byte{0, 4, 6})
	f.Fuzz(func(t *testing.T, data, steps []byte) {
		for _, protocol := range []int{29, 31} {
			r := NewReader(bytes.NewReader(data))
			r.Protocol = protocol
			r.Frame()
			for _, step := range steps {
				var err error
				switch step % 9 {
				case 0:
					_, err = r.Byte()
				case 1:
					_, err = r.Short()
				case 2:
					_, err = r.Int()
				case 3:
					_, err = r.Varint()
				case 4:
					_, err = r.Varlong(3 + int(step&1))
				case 5:
					_, err = r.Size()
				case 6:
					_, err = r.Index()
				case 7:
					var text string
					text, err = r.String(100)
					if len(text) > 100 {
						t.Fatalf("a string of %d bytes", len(text))
					}
				case 8:
					err = r.Full(make([]byte, step))
				}
				if err != nil {
					break
				}
			}
			if r.Total() > int64(len(data)) {
				t.Fatalf("read %d of %d bytes", r.Total(), len(data))
			}
		}
	})
}
