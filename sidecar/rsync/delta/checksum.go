// Package delta is the algorithm rsync is named after: one side describes what
// it has as checksums of blocks, the other one sends what differs, as new data
// and as references to those blocks.
//
// Nothing here knows of files: contents are readers, and what goes over the
// wire is read from and written to package wire's ends.
package delta

import (
	"crypto/md5"
	"encoding/binary"
	"hash"

	"github.com/cespare/xxhash/v2"
	//lint:ignore SA1019 protocol 29 has no other checksum, and none is a secret
	"golang.org/x/crypto/md4"
)

// Kind is a strong checksum. Both sides compare what they computed; against
// somebody who means to deceive, the connection below has to protect.
type Kind string

// The strong checksums spoken here, as rsync names them.
const (
	MD4   Kind = "md4"   // protocol 29
	MD5   Kind = "md5"   // protocol 30 and later, unless negotiated
	XXH64 Kind = "xxh64" // negotiated by rsync 3.2 and later
)

// Known says whether a checksum is one of those spoken here.
func (k Kind) Known() bool { return k == MD4 || k == MD5 || k == XXH64 }

// Size is how many bytes a checksum has.
func (k Kind) Size() int {
	if k == XXH64 {
		return 8
	}
	return md5.Size
}

// Plain computes the checksum of a whole file as option --checksum compares it.
func (k Kind) Plain() hash.Hash {
	switch k {
	case XXH64:
		return littleEndian{xxhash.New()}
	case MD4:
		return md4.New()
	}
	return md5.New()
}

// Strong computes the checksums of one transfer.
type Strong struct {
	Kind Kind
	// Seed is what the server chose for this transfer, so that two blocks
	// that happen to collide do not do so every time.
	Seed int32
	// SeedFirst says that MD5 takes the seed before a block, not after it:
	// rsync 3.1 and later agree on that.
	SeedFirst bool
}

// Transferred computes the checksum that follows the contents of a file.
func (s Strong) Transferred() hash.Hash {
	h := s.Kind.Plain()
	if s.Kind == MD4 {
		_, _ = h.Write(s.seed())
	}
	return h
}

func (s Strong) seed() []byte { return binary.LittleEndian.AppendUint32(nil, uint32(s.Seed)) }

// Blocks computes the checksums of blocks, one after the other.
func (s Strong) Blocks() *Blocks {
	b := &Blocks{strong: s, seed: s.seed()}
	if s.Seed == 0 {
		b.seed = nil
	}
	if s.Kind == XXH64 {
		b.xx = xxhash.NewWithSeed(uint64(int64(s.Seed)))
	} else {
		b.md = s.Kind.Plain()
	}
	return b
}

// Blocks computes the strong checksums of blocks. It is for one goroutine.
type Blocks struct {
	strong Strong
	seed   []byte
	md     hash.Hash
	xx     *xxhash.Digest
	sum    [md5.Size]byte
}

// Of is the checksum of a block; its bytes are good until the next call.
func (b *Blocks) Of(block []byte) []byte {
	if b.xx != nil {
		b.xx.ResetWithSeed(uint64(int64(b.strong.Seed)))
		_, _ = b.xx.Write(block)
		return binary.LittleEndian.AppendUint64(b.sum[:0], b.xx.Sum64())
	}
	b.md.Reset()
	first := b.strong.SeedFirst && b.strong.Kind == MD5
	if first {
		_, _ = b.md.Write(b.seed)
	}
	_, _ = b.md.Write(block)
	if !first {
		_, _ = b.md.Write(b.seed)
	}
	return b.md.Sum(b.sum[:0])
}

// littleEndian is XXH64 with its bytes in rsync's order.
type littleEndian struct{ *xxhash.Digest }

func (l littleEndian) Sum(b []byte) []byte {
	return binary.LittleEndian.AppendUint64(b, l.Sum64())
}

// Weak is the rolling checksum of a block: two sums of its bytes, taken as
// signed, of 16 bits each; the second one weighs each byte by its distance to
// the end.
func Weak(block []byte) uint32 {
	var one, two uint32
	for len(block) >= 4 {
		a, b, c, d := uint32(int8(block[0])), uint32(int8(block[1])), uint32(int8(block[2])), uint32(int8(block[3]))
		two += 4*(one+a) + 3*b + 2*c + d
		one += a + b + c + d
		block = block[4:]
	}
	for _, x := range block {
		one += uint32(int8(x))
		two += one
	}
	return one&0xffff | two<<16
}
