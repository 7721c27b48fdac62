package delta

import (
	"bytes"
	"errors"
	"hash"
	"io"
	"math/bits"
)

const (
	// piece is how much new data goes out at once, in bytes: what every rsync
	// has a buffer for.
	piece = 32 << 10
	// window is how much of a file is read at once, in bytes.
	window = 256 << 10
	// patience is how many blocks are compared at one place: a file, or a peer,
	// with very many of one weak checksum costs matches, not time.
	patience = 1024
)

// ErrShort says that a file became shorter while it was read. What was missing
// was sent as zeros, with a checksum the other side cannot agree with.
var ErrShort = errors.New("the file became shorter while it was read")

// Tokens is where a delta goes.
type Tokens interface {
	// Literal sends new data, at most 32 KiB of it.
	Literal([]byte) error
	// Match sends a reference to a block, and is told its contents.
	Match(block int32, contents []byte) error
	// End says that the file is complete.
	End() error
}

// source is the file being sent: its checksum, and its length whatever happens.
type source struct {
	file  io.Reader
	left  int64
	sum   hash.Hash
	fault error
}

// read fills p with the next len(p) bytes, which there must be.
func (s *source) read(p []byte) {
	n := 0
	if s.fault == nil {
		var err error
		if n, err = io.ReadFull(s.file, p); err != nil {
			s.fault = err
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				s.fault = ErrShort
			}
		}
	}
	clear(p[n:])
	s.left -= int64(len(p))
	_, _ = s.sum.Write(p)
}

// Send sends a file of so many bytes to one who has the signature's blocks,
// and returns the checksum of the whole. inPlace says that the other side
// writes into the very file the signature is of: a block that is overwritten by
// then must not be referred to.
//
// When reading fails, the rest goes out as zeros with a checksum that is
// wrong, and the error is returned with it: the transfer goes on, the file does
// not arrive. Errors of sending come with no checksum.
func Send(file io.Reader, size int64, has *Signature, inPlace bool, strong Strong, out Tokens) ([]byte, error) {
	s := &source{file: file, left: size, sum: strong.Transferred()}
	var err error
	if has.Count == 0 || size == 0 {
		err = s.sendAll(out)
	} else {
		err = newSearch(s, size, has, inPlace, strong, out).run()
	}
	if err == nil {
		err = out.End()
	}
	if err != nil {
		return nil, err
	}
	sum := s.sum.Sum(nil)
	if s.fault != nil {
		sum[0] ^= 0xff
	}
	return sum, s.fault
}

// SkipStart takes the first bytes of a file as known to the other side, as
// when appending; with sum it counts them in. It returns the rest as Send does.
func SkipStart(file io.ReadSeeker, size, known int64, counted bool, strong Strong, out Tokens) ([]byte, error) {
	s := &source{file: file, left: size, sum: strong.Transferred()}
	known = min(known, size)
	if counted {
		buffer := make([]byte, min(piece, known))
		for known > 0 {
			part := buffer[:min(int64(len(buffer)), known)]
			s.read(part)
			known -= int64(len(part))
		}
	} else {
		if _, err := file.Seek(known, io.SeekStart); err != nil {
			s.fault = err
		}
		s.left -= known
	}
	if err := s.sendAll(out); err != nil {
		return nil, err
	}
	if err := out.End(); err != nil {
		return nil, err
	}
	sum := s.sum.Sum(nil)
	if s.fault != nil {
		sum[0] ^= 0xff
	}
	return sum, s.fault
}

// sendAll sends everything as new data.
func (s *source) sendAll(out Tokens) error {
	buffer := make([]byte, min(window, s.left))
	for s.left > 0 {
		part := buffer[:min(int64(len(buffer)), s.left)]
		s.read(part)
		if err := literals(part, out); err != nil {
			return err
		}
	}
	return nil
}

// literals sends new data in pieces.
func literals(data []byte, out Tokens) error {
	for len(data) > 0 {
		n := min(len(data), piece)
		if err := out.Literal(data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// search looks for the other side's blocks at every place of a file.
type search struct {
	*source
	has     *Signature
	inPlace bool
	blocks  *Blocks
	out     Tokens
	size    int64

	// first is the first block of each hash of a weak checksum, next the
	// following one of the same hash; -1 is none.
	first []int32
	next  []int32
	shift uint

	// buffer holds the file from base on: what is not sent yet from unsent on.
	buffer []byte
	base   int64
	unsent int
	wanted int32 // the block that would come next
}

func newSearch(s *source, size int64, has *Signature, inPlace bool, strong Strong, out Tokens) *search {
	width := uint(min(max(bits.Len32(uint32(has.Count))+2, 10), 24))
	f := &search{
		source: s, has: has, inPlace: inPlace, blocks: strong.Blocks(), out: out, size: size,
		first: make([]int32, 1<<width), next: make([]int32, has.Count), shift: 32 - width,
		buffer: make([]byte, 0, min(size, int64(window+2*int(has.Length)))),
	}
	for i := range f.first {
		f.first[i] = -1
	}
	// From the last to the first, so that the first block of several equal
	// ones is found first.
	for i := has.Count - 1; i >= 0; i-- {
		slot := &f.first[f.slot(has.weak[i])]
		f.next[i], *slot = *slot, i
	}
	return f
}

// slot spreads a weak checksum over the table.
func (f *search) slot(weak uint32) uint32 { return (weak * 2654435761) >> f.shift }

// want makes the buffer hold so many bytes from position at on, or up to the
// end of the file. It returns where that position is now.
func (f *search) want(at, length int) int {
	if len(f.buffer) >= at+length || f.left == 0 {
		return at
	}
	if cap(f.buffer) < at+length || f.unsent > 0 && cap(f.buffer)-len(f.buffer) < piece {
		kept := copy(f.buffer, f.buffer[f.unsent:])
		f.buffer = f.buffer[:kept]
		f.base += int64(f.unsent)
		at -= f.unsent
		f.unsent = 0
	}
	from := len(f.buffer)
	n := min(int64(cap(f.buffer)-from), f.left)
	f.buffer = f.buffer[:from+int(n)]
	f.read(f.buffer[from:])
	return at
}

// run slides over the file.
func (f *search) run() error {
	length := int(f.has.Length)
	_, lastLength := f.has.Block(f.has.Count - 1)
	// Beyond this nothing fits any more, not even the last block.
	end := f.size - int64(lastLength)

	at := f.want(0, length+1)
	width := min(length, len(f.buffer)-at)
	sum := Weak(f.buffer[at : at+width])
	one, two := sum&0xffff, sum>>16
	for f.base+int64(at) <= end {
		sum = one&0xffff | two<<16
		if i := f.first[f.slot(sum)]; i >= 0 {
			if i = f.find(i, sum, at, width); i >= 0 {
				if err := f.matched(i, at, width); err != nil {
					return err
				}
				at = f.want(at+width, length+1)
				width = min(length, len(f.buffer)-at)
				sum = Weak(f.buffer[at : at+width])
				one, two = sum&0xffff, sum>>16
				continue
			}
		}
		if at-f.unsent >= piece {
			if err := literals(f.buffer[f.unsent:at], f.out); err != nil {
				return err
			}
			f.unsent = at
		}
		if at+width >= len(f.buffer) {
			at = f.want(at, length+1)
		}
		gone := uint32(int8(f.buffer[at]))
		one -= gone
		two -= uint32(width) * gone
		if at+width < len(f.buffer) {
			one += uint32(int8(f.buffer[at+width]))
			two += one
		} else if width--; width == 0 {
			break
		}
		at++
	}
	if err := literals(f.buffer[f.unsent:], f.out); err != nil {
		return err
	}
	return f.sendAll(f.out)
}

// find is the block at this place of the file, from block i of the same slot
// on; -1 when there is none.
func (f *search) find(i int32, sum uint32, at, width int) int32 {
	var strong []byte
	offset := f.base + int64(at)
	fits := func(i int32) bool {
		where, length := f.has.Block(i)
		if f.has.weak[i] != sum || length != width || f.inPlace && where < offset {
			return false
		}
		if strong == nil {
			strong = f.blocks.Of(f.buffer[at : at+width])
		}
		// A peer may send more bytes than the checksum has (rsync before
		// 3.4 does with XXH64): they mean nothing.
		n := min(int(f.has.SumLength), len(strong))
		from := int(i) * int(f.has.SumLength)
		return bytes.Equal(strong[:n], f.has.strong[from:from+n])
	}
	// Neighbours are sent in fewer bytes.
	if f.wanted < f.has.Count && fits(f.wanted) {
		return f.wanted
	}
	for tried := 0; i >= 0 && tried < patience; i, tried = f.next[i], tried+1 {
		if fits(i) {
			return i
		}
	}
	return -1
}

// matched sends what is new before a block, and a reference to the block.
func (f *search) matched(i int32, at, width int) error {
	if err := literals(f.buffer[f.unsent:at], f.out); err != nil {
		return err
	}
	f.unsent = at + width
	f.wanted = i + 1
	return f.out.Match(i, f.buffer[at:at+width])
}
