package delta

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/inmanta/inmanta-docker/sidecar/rsync/wire"
)

// noise is data that does not compress, the same for the same seed.
func noise(seed byte, length int) []byte {
	data := make([]byte, length)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(data)
	return data
}

// sent is what came of sending one file to somebody who has another.
type sent struct {
	result  []byte
	sum     []byte
	literal int // bytes of new data
	onWire  int
}

// send sends new to one who has old and puts it together there. Blocks have
// whole checksums: with short ones a wrong match now and then is part of the
// bargain.
func send(t *testing.T, old, new []byte, protocol, block int, strong Strong, packing Compression, inPlace bool) sent {
	t.Helper()
	over := func(write func(*wire.Encoder)) *wire.Reader {
		var buffer bytes.Buffer
		w := wire.NewWriter(&buffer, 0)
		e := wire.NewEncoder(w)
		e.Protocol = protocol
		write(e)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		r := wire.NewReader(&buffer)
		r.Protocol = protocol
		return r
	}
	shape := ShapeOf(int64(len(old)), block, protocol, true, strong.Kind)
	r := over(func(e *wire.Encoder) {
		if err := WriteSignature(e, bytes.NewReader(old), shape, strong); err != nil {
			t.Fatal(err)
		}
	})
	signature, err := ReadSignature(r)
	if err != nil {
		t.Fatal(err)
	}
	var s sent
	r = over(func(e *wire.Encoder) {
		tokens := NewTokens(e)
		if packing != None {
			if tokens, err = NewDeflated(e, packing, 0); err != nil {
				t.Fatal(err)
			}
		}
		// Twice: nothing may be left of the first file.
		for range 2 {
			if s.sum, err = Send(bytes.NewReader(new), int64(len(new)), signature, inPlace, strong, tokens); err != nil {
				t.Fatal(err)
			}
		}
	})
	incoming := NewIncoming(r)
	if packing != None {
		incoming = NewInflated(r, packing)
	}
	for range 2 {
		s.result, s.literal = nil, 0
		for {
			token, err := incoming.Next()
			if err != nil {
				t.Fatal(err)
			}
			if token.End {
				break
			}
			if token.Literal != nil {
				s.literal += len(token.Literal)
				s.result = append(s.result, token.Literal...)
				continue
			}
			offset, length := shape.Block(token.Block)
			if inPlace && offset < int64(len(s.result)) {
				t.Fatalf("block %d at %d is used at %d, where it is overwritten already", token.Block, offset, len(s.result))
			}
			s.result = append(s.result, old[offset:int(offset)+length]...)
			if err := incoming.Seen(old[offset : int(offset)+length]); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.onWire = int(r.Total()) / 2
	return s
}

func TestDeltasPutFilesTogether(t *testing.T) {
	base := noise(1, 500_000)
	files := map[string]struct {
		old, new []byte
		most     int // bytes of new data
	}{
		"both empty":        {nil, nil, 0},
		"new":               {nil, base[:70_000], 70_000},
		"emptied":           {base, nil, 0},
		"same":              {base, base, 0},
		"one byte":          {base[:1], base[:1], 0},
		"appended":          {base, append(bytes.Clone(base), "tail"...), 2000},
		"cut":               {base, base[:250_001], 2000},
		"inserted":          {base, append(append(bytes.Clone(base[:200_000]), "something"...), base[200_000:]...), 2000},
		"prepended":         {base, append([]byte("x"), base...), 2000},
		"moved":             {base, append(bytes.Clone(base[300_000:]), base[:300_000]...), 4000},
		"repeated":          {base[:100_000], bytes.Repeat(base[:100_000], 4), 4000},
		"zeros":             {make([]byte, 300_000), make([]byte, 400_000), 2000},
		"nothing in common": {noise(2, 100_000), noise(3, 100_000), 100_000},
	}
	for name, file := range files {
		for _, protocol := range []int{29, 30, 31} {
			for _, strong := range []Strong{{Kind: MD4, Seed: 9}, {Kind: MD5, Seed: 9}, {Kind: MD5, Seed: -9, SeedFirst: true}, {Kind: XXH64, Seed: -7}} {
				for _, packing := range []Compression{None, Zlib, ZlibX} {
					s := send(t, file.old, file.new, protocol, 0, strong, packing, false)
					if !bytes.Equal(s.result, file.new) {
						t.Errorf("%s, %d, %s, %s: another file came out", name, protocol, strong.Kind, packing)
					}
					if s.literal > file.most {
						t.Errorf("%s, %d, %s, %s: %d bytes were sent, more than %d", name, protocol, strong.Kind, packing, s.literal, file.most)
					}
					sum := strong.Transferred()
					_, _ = sum.Write(file.new)
					if !bytes.Equal(s.sum, sum.Sum(nil)) {
						t.Errorf("%s, %d, %s: the checksum is not the file's", name, protocol, strong.Kind)
					}
				}
			}
		}
	}
}

// Written in place, a block is gone once something is written over it.
func TestInPlaceUsesNothingOverwritten(t *testing.T) {
	base := noise(4, 300_000)
	swapped := append(bytes.Clone(base[150_000:]), base[:150_000]...)
	s := send(t, base, swapped, 31, 0, Strong{Kind: XXH64, Seed: 1}, None, true)
	if !bytes.Equal(s.result, swapped) {
		t.Error("another file came out")
	}
	if s.literal < 140_000 || s.literal > 160_000 {
		t.Errorf("%d bytes were sent, want about half", s.literal)
	}
}

func TestCompressionCompresses(t *testing.T) {
	text := bytes.Repeat([]byte("the same line again and again\n"), 20_000)
	for _, packing := range []Compression{Zlib, ZlibX} {
		s := send(t, nil, text, 31, 0, Strong{Kind: MD5, Seed: 1}, packing, false)
		if !bytes.Equal(s.result, text) || s.onWire > len(text)/50 {
			t.Errorf("%s: %d bytes went over the wire for %d", packing, s.onWire, len(text))
		}
	}
}

// shrinking is a file that ends before its size says so.
type shrinking struct{ io.Reader }

func TestFileThatShrinksIsToldApart(t *testing.T) {
	for _, has := range []*Signature{{}, {Shape: Shape{1, 700, 2, 0}, weak: []uint32{1}, strong: []byte{1, 2}}} {
		var buffer bytes.Buffer
		w := wire.NewWriter(&buffer, 0)
		strong := Strong{Kind: MD5, Seed: 1}
		sum, err := Send(shrinking{bytes.NewReader(noise(5, 1000))}, 5000, has, false, strong, NewTokens(wire.NewEncoder(w)))
		if !errors.Is(err, ErrShort) {
			t.Errorf("error %v, want %v", err, ErrShort)
		}
		_ = w.Close()
		right := strong.Transferred()
		_, _ = right.Write(append(noise(5, 1000), make([]byte, 4000)...))
		if bytes.Equal(sum, right.Sum(nil)) {
			t.Error("the checksum is right for what was made up")
		}
	}
}

// Block lengths are rsync's: both sides must agree on none of it, but old
// rsyncs refuse others than these.
func TestShapes(t *testing.T) {
	for _, one := range []struct {
		size int64
		kind Kind
		want Shape
	}{
		{0, MD5, Shape{}},
		{1, MD5, Shape{1, 700, 2, 1}},
		{700, MD5, Shape{1, 700, 2, 0}},
		{490_001, MD5, Shape{701, 700, 2, 1}},
		{1 << 20, MD5, Shape{1024, 1024, 2, 0}},
		{1 << 30, MD5, Shape{32768, 32768, 3, 0}},
		{1 << 40, MD5, Shape{8388608, 131072, 6, 0}},
		{1 << 40, XXH64, Shape{8388608, 131072, 6, 0}},
	} {
		if got := ShapeOf(one.size, 0, 31, false, one.kind); got != one.want {
			t.Errorf("%d bytes: %v, want %v", one.size, got, one.want)
		}
		got := ShapeOf(one.size, 0, 31, true, one.kind)
		if one.size > 0 && int(got.SumLength) != one.kind.Size() {
			t.Errorf("%d bytes, whole checksums: %v", one.size, got)
		}
		if got.Size() != one.size {
			t.Errorf("%d bytes: the blocks have %d", one.size, got.Size())
		}
	}
}

func FuzzSend(f *testing.F) {
	f.Add([]byte("old"), []byte("new"), uint8(0))
	f.Add(bytes.Repeat([]byte("ab"), 2000), bytes.Repeat([]byte("abc"), 2000), uint8(7))
	f.Fuzz(func(t *testing.T, old, new []byte, how uint8) {
		strong := []Strong{{Kind: MD4, Seed: 3}, {Kind: MD5, Seed: 3}, {Kind: XXH64, Seed: 3}}[how%3]
		packing := []Compression{None, Zlib, ZlibX}[how/3%3]
		block := []int{0, 8, 100, 70_000}[how/9%4]
		s := send(t, old, new, 29+int(how)%3, block, strong, packing, how >= 128)
		if !bytes.Equal(s.result, new) {
			t.Fatal("another file came out")
		}
	})
}

// Whatever a peer sends, it is read or refused.
func FuzzIncoming(f *testing.F) {
	f.Add([]byte{0x40, 1, 5, 0x80, 0xc0, 3, 0, 0x20, 1, 2, 3, 4, 0})
	f.Add([]byte{5, 0, 0, 0, 'h', 'e', 'l', 'l', 'o', 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, packing := range []Compression{None, Zlib, ZlibX} {
			r := wire.NewReader(bytes.NewReader(data))
			r.Protocol = 31
			incoming := NewIncoming(r)
			if packing != None {
				incoming = NewInflated(r, packing)
			}
			for range 100_000 {
				token, err := incoming.Next()
				if err != nil || token.End {
					break
				}
				if token.Literal == nil && token.Block < 0 {
					t.Fatalf("block %d", token.Block)
				}
				_ = incoming.Seen([]byte("contents"))
			}
		}
		r := wire.NewReader(bytes.NewReader(data))
		r.Protocol = 31
		if signature, err := ReadSignature(r); err == nil {
			var buffer bytes.Buffer
			w := wire.NewWriter(&buffer, 0)
			content := noise(6, 5000)
			if _, err := Send(bytes.NewReader(content), 5000, signature, false, Strong{Kind: MD5}, NewTokens(wire.NewEncoder(w))); err != nil {
				t.Fatal(err)
			}
			_ = w.Close()
		}
	})
}

func BenchmarkSearch(b *testing.B) {
	old, new := noise(7, 8<<20), noise(8, 8<<20)
	copy(new[1<<20:4<<20], old[1<<20+13:])
	strong := Strong{Kind: XXH64, Seed: 1}
	shape := ShapeOf(int64(len(old)), 0, 31, false, strong.Kind)
	var buffer bytes.Buffer
	w := wire.NewWriter(&buffer, 0)
	if err := WriteSignature(wire.NewEncoder(w), bytes.NewReader(old), shape, strong); err != nil {
		b.Fatal(err)
	}
	_ = w.Close()
	r := wire.NewReader(&buffer)
	r.Protocol = 31
	signature, err := ReadSignature(r)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(new)))
	for b.Loop() {
		if _, err := Send(bytes.NewReader(new), int64(len(new)), signature, false, strong, nowhere{}); err != nil {
			b.Fatal(err)
		}
	}
}

type nowhere struct{}

func (nowhere) Literal([]byte) error      { return nil }
func (nowhere) Match(int32, []byte) error { return nil }
func (nowhere) End() error                { return nil }
