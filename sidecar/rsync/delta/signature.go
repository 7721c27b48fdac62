package delta

import (
	"io"
	"math/bits"

	"github.com/inmanta/inmanta-docker/sidecar/rsync/wire"
)

const (
	// defaultBlock is the shortest block, in bytes, unless the user wants another.
	defaultBlock = 700
	// largestBlock is the longest block from protocol 30 on, in bytes.
	largestBlock = 128 << 10
	// largestBlock29 is the longest one before: those rsyncs have no limit of
	// their own, this one is for files of 256 TiB.
	largestBlock29 = 16 << 20
	// mostBlocks limits what a peer can make us remember: at the longest
	// block, that is 4 TiB of file and 1 GiB of memory.
	mostBlocks = 1 << 25
	// shortSum is the shortest strong checksum of a block, in bytes: the
	// whole file is checked too, and sent again with full ones on a collision.
	shortSum = 2
	// certainty is how many bits of checksum there are to be beyond what the
	// number of possible matches takes.
	certainty = 10
)

// Largest is the longest block of a protocol, in bytes.
func Largest(protocol int) int {
	if protocol < 30 {
		return largestBlock29
	}
	return largestBlock
}

// Shape is how a file is cut into blocks: Count blocks of Length bytes, the
// last one of Last bytes unless that is 0, each with SumLength bytes of its
// strong checksum. The zero Shape describes nothing: send everything.
type Shape struct {
	Count, Length, SumLength, Last int32
}

// ShapeOf cuts a file of so many bytes: blocks grow with its square root, so
// that checksums and unmatched ends cost about the same. block, when not 0, is
// the block length the user wants. full takes whole checksums, after a file
// did not come out right; kind says how long those are.
func ShapeOf(size int64, block, protocol int, full bool, kind Kind) Shape {
	length := int64(block)
	if length == 0 {
		length = defaultBlock
		if size > defaultBlock*defaultBlock {
			root := int64(1) << ((bits.Len64(uint64(size)) - 1) / 2)
			for bit := root >> 1; bit > 0; bit >>= 1 {
				if (root+bit)*(root+bit) <= size {
					root += bit
				}
			}
			length = min(max(root&^7, defaultBlock), largestBlock)
		}
	}
	length = min(length, int64(Largest(protocol)))
	sum := kind.Size()
	if !full {
		wanted := certainty + 2*(bits.Len64(uint64(size))-1) - (bits.Len64(uint64(length)) - 1)
		// The weak checksum has 32 of those bits.
		sum = min(max((wanted+1-32+7)/8, shortSum), sum)
	}
	last := size % length
	count := size / length
	if last > 0 {
		count++
	}
	if size <= 0 || count > mostBlocks {
		return Shape{}
	}
	return Shape{int32(count), int32(length), int32(sum), int32(last)}
}

// Size is how many bytes the blocks have together.
func (s Shape) Size() int64 {
	size := int64(s.Count) * int64(s.Length)
	if s.Last > 0 && s.Count > 0 {
		size -= int64(s.Length - s.Last)
	}
	return size
}

// Block is where a block begins, and how long it is, in bytes.
func (s Shape) Block(i int32) (offset int64, length int) {
	length = int(s.Length)
	if i == s.Count-1 && s.Last > 0 {
		length = int(s.Last)
	}
	return int64(i) * int64(s.Length), length
}

// Write sends the shape.
func (s Shape) Write(e *wire.Encoder) error {
	for _, value := range []int32{s.Count, s.Length, s.SumLength, s.Last} {
		if err := e.Int(value); err != nil {
			return err
		}
	}
	return nil
}

// ReadShape receives a shape and refuses an impossible one.
func ReadShape(r *wire.Reader) (Shape, error) {
	var values [4]int32
	for i := range values {
		var err error
		if values[i], err = r.Int(); err != nil {
			return Shape{}, err
		}
	}
	s := Shape{values[0], values[1], values[2], values[3]}
	switch {
	case s.Count < 0 || s.Count > mostBlocks:
		return s, wire.Broken("checksums of %d blocks are announced", s.Count)
	case s.Length < 0 || int(s.Length) > Largest(r.Protocol) || s.Length == 0 && s.Count > 0:
		return s, wire.Broken("blocks of %d bytes are announced", s.Length)
	case s.SumLength < 0 || s.SumLength > 16:
		return s, wire.Broken("checksums of %d bytes are announced", s.SumLength)
	case s.Last < 0 || s.Last > s.Length:
		return s, wire.Broken("a last block of %d bytes is announced, after ones of %d", s.Last, s.Length)
	}
	return s, nil
}

// Signature is what one side has: the checksums of its blocks.
type Signature struct {
	Shape
	weak   []uint32
	strong []byte
}

// ReadSignature receives what the peer has. Memory grows with what arrives,
// not with what is announced.
func ReadSignature(r *wire.Reader) (*Signature, error) {
	shape, err := ReadShape(r)
	if err != nil {
		return nil, err
	}
	s := &Signature{Shape: shape}
	var strong [16]byte
	for range shape.Count {
		weak, err := r.Int()
		if err == nil {
			err = r.Full(strong[:shape.SumLength])
		}
		if err != nil {
			return nil, err
		}
		s.weak = append(s.weak, uint32(weak))
		s.strong = append(s.strong, strong[:shape.SumLength]...)
	}
	return s, nil
}

// WriteSignature sends what we have: the blocks of this shape of the file. A
// file that became shorter gets checksums nothing will match.
func WriteSignature(e *wire.Encoder, file io.Reader, shape Shape, strong Strong) error {
	if err := shape.Write(e); err != nil {
		return err
	}
	blocks := strong.Blocks()
	// Several blocks a read, where they are short.
	each := max(1, 64<<10/max(1, int(shape.Length)))
	buffer := make([]byte, min(int64(each)*int64(shape.Length), shape.Size()))
	for i := int32(0); i < shape.Count; {
		wanted := min(int64(len(buffer)), shape.Size()-int64(i)*int64(shape.Length))
		piece := buffer[:wanted]
		n, err := io.ReadFull(file, piece)
		if err != nil {
			clear(piece[n:])
		}
		for len(piece) > 0 {
			_, length := shape.Block(i)
			block := piece[:length]
			piece = piece[length:]
			if err := e.Int(int32(Weak(block))); err != nil {
				return err
			}
			sum := blocks.Of(block)
			if _, err := e.Write(sum[:shape.SumLength]); err != nil {
				return err
			}
			i++
		}
	}
	return nil
}
