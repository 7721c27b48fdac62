package delta

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"

	"github.com/inmanta/inmanta-docker/sidecar/rsync/wire"
)

// Compression is how new data goes over the wire.
type Compression string

// The compressions spoken here, as rsync names them. Both are deflate (RFC
// 1951); with Zlib the contents of matched blocks become part of what later
// data may refer back to, and that is all rsyncs before 3.1.1 know.
const (
	None  Compression = "none"
	Zlib  Compression = "zlib"
	ZlibX Compression = "zlibx"
)

// First bytes of what a compressed delta is made of.
const (
	flagEnd      = 0x00
	flagLong     = 0x20 // a block's 32-bit number follows
	flagLongRun  = 0x21 // and how many blocks after it, in 16 bits
	flagDeflated = 0x40 // 14 bits of length, then deflated data
	flagNear     = 0x80 // a block, counted from the last one, in 6 bits
	flagNearRun  = 0xc0 // and how many blocks after it, in 16 bits
)

const (
	// mostDeflated is how much deflated data one length can announce.
	mostDeflated = 1<<14 - 1
	// reach is how far back deflate refers, in bytes.
	reach = 32 << 10
	// longestRun is how many blocks follow the first of a run at most.
	longestRun = 1<<16 - 1
	// largestBlockNumber is the largest block number rsync accepts.
	largestBlockNumber = 1<<31 - 2
)

// syncMark ends every stretch of deflated data, an empty stored block; it is
// left out on the wire.
var syncMark = []byte{0, 0, 0xff, 0xff}

// deflateOut sends a compressed delta.
type deflateOut struct {
	to      *wire.Encoder
	kind    Compression
	packed  bytes.Buffer
	packer  *flate.Writer
	dirty   bool // new data since the last flush
	fresh   bool // nothing was packed since the packer was reset
	started bool // a run of blocks is under way
	first   int32
	last    int32
	told    int32 // the last block of the run sent before
}

// NewDeflated sends compressed deltas at a level of 1 to 9 (0: the usual one).
func NewDeflated(to *wire.Encoder, kind Compression, level int) (Tokens, error) {
	d := &deflateOut{to: to, kind: kind, fresh: true}
	if level <= 0 || level > flate.BestCompression {
		level = flate.DefaultCompression
	}
	packer, err := flate.NewWriter(&d.packed, level)
	d.packer = packer
	return d, err
}

func (d *deflateOut) Literal(data []byte) error {
	if err := d.endRun(); err != nil {
		return err
	}
	if _, err := d.packer.Write(data); err != nil {
		return err
	}
	d.dirty, d.fresh = true, false
	return d.emit(len(syncMark))
}

// emit sends packed data, but for so many bytes at its end that may be the mark.
func (d *deflateOut) emit(keep int) error {
	for d.packed.Len()-keep > 0 {
		n := min(d.packed.Len()-keep, mostDeflated)
		if keep == len(syncMark) && n < mostDeflated {
			return nil // not worth a piece of its own yet
		}
		if err := d.piece(n); err != nil {
			return err
		}
	}
	return nil
}

func (d *deflateOut) piece(n int) error {
	if err := d.to.Byte(flagDeflated | byte(n>>8)); err != nil {
		return err
	}
	if err := d.to.Byte(byte(n)); err != nil {
		return err
	}
	_, err := d.to.Write(d.packed.Next(n))
	return err
}

// flush sends everything packed so far.
func (d *deflateOut) flush() error {
	if !d.dirty {
		return nil
	}
	d.dirty = false
	if err := d.packer.Flush(); err != nil {
		return err
	}
	d.packed.Truncate(d.packed.Len() - len(syncMark))
	return d.emit(0)
}

func (d *deflateOut) Match(block int32, _ []byte) error {
	if err := d.flush(); err != nil {
		return err
	}
	if d.kind == Zlib && !d.fresh {
		// The other side's past now has the block in it, ours has not: refer
		// to nothing before it.
		d.packer.Reset(&d.packed)
		d.fresh = true
	}
	if d.started && block == d.last+1 && block-d.first <= longestRun {
		d.last = block
		return nil
	}
	if err := d.endRun(); err != nil {
		return err
	}
	d.started, d.first, d.last = true, block, block
	return nil
}

// endRun sends the run of blocks under way.
func (d *deflateOut) endRun() error {
	if !d.started {
		return nil
	}
	d.started = false
	distance, more := d.first-d.told, d.last-d.first
	d.told = d.last
	run := byte(0)
	if more > 0 {
		run = 1
	}
	var err error
	if distance >= 0 && distance <= 63 {
		err = d.to.Byte(flagNear | run<<6 | byte(distance))
	} else {
		if err = d.to.Byte(flagLong | run); err == nil {
			err = d.to.Int(d.first)
		}
	}
	if err == nil && more > 0 {
		err = d.to.Short(uint16(more))
	}
	return err
}

func (d *deflateOut) End() error {
	err := d.endRun()
	if err == nil {
		err = d.flush()
	}
	if err == nil {
		err = d.to.Byte(flagEnd)
	}
	if !d.fresh {
		d.packed.Reset()
		d.packer.Reset(&d.packed)
	}
	d.fresh, d.told = true, 0
	return err
}

// deflateIn receives a compressed delta.
type deflateIn struct {
	from   *wire.Reader
	kind   Compression
	packed packedSource
	reader io.ReadCloser
	// open says that a stretch of deflated data is being unpacked.
	open bool
	flag int // a flag that was read ahead; -1: none
	past []byte
	data []byte
	last int32 // the last block
	run  int32 // blocks of the run still to come
}

// NewInflated receives compressed deltas.
func NewInflated(from *wire.Reader, kind Compression) Incoming {
	d := &deflateIn{from: from, kind: kind, flag: -1, data: make([]byte, piece)}
	d.packed.in = d
	d.reader = flate.NewReader(nil)
	return d
}

// packedSource is one stretch of deflated data as a stream of its own: the
// pieces on the wire, the mark that is left out there, and a final block.
type packedSource struct {
	in   *deflateIn
	data []byte
	tail bool
}

func (p *packedSource) more() error {
	for len(p.data) == 0 {
		if p.tail {
			return io.EOF
		}
		flag, err := p.in.from.Byte()
		if err != nil {
			return err
		}
		if flag&0xc0 != flagDeflated {
			p.in.flag = int(flag)
			p.tail = true
			p.data = append(append(p.data[:0], syncMark...), 1, 0, 0, 0xff, 0xff)
			return nil
		}
		if err := p.load(flag); err != nil {
			return err
		}
	}
	return nil
}

// load reads the piece that this flag begins.
func (p *packedSource) load(flag byte) error {
	low, err := p.in.from.Byte()
	if err != nil {
		return err
	}
	p.data = make([]byte, int(flag&0x3f)<<8|int(low))
	return p.in.from.Full(p.data)
}

func (p *packedSource) ReadByte() (byte, error) {
	if err := p.more(); err != nil {
		return 0, err
	}
	b := p.data[0]
	p.data = p.data[1:]
	return b, nil
}

func (p *packedSource) Read(b []byte) (int, error) {
	if err := p.more(); err != nil {
		return 0, err
	}
	n := copy(b, p.data)
	p.data = p.data[n:]
	return n, nil
}

func (d *deflateIn) Next() (Token, error) {
	for {
		if d.open {
			n, err := d.reader.Read(d.data)
			if err != nil && !errors.Is(err, io.EOF) {
				if corrupt := (flate.CorruptInputError)(0); errors.As(err, &corrupt) {
					err = wire.Broken("the compressed data that came is not compressed data")
				}
				return Token{}, err
			}
			d.open = err == nil
			if n > 0 {
				d.remember(d.data[:n])
				return Token{Literal: d.data[:n]}, nil
			}
			if !d.open && !d.packed.tail {
				return Token{}, wire.Broken("the compressed data that came ends too early")
			}
			continue
		}
		if d.run > 0 {
			d.run--
			d.last++
			return Token{Block: d.last}, nil
		}
		flag := byte(d.flag)
		if d.flag < 0 {
			var err error
			if flag, err = d.from.Byte(); err != nil {
				return Token{}, err
			}
		}
		d.flag = -1
		switch {
		case flag == flagEnd:
			d.past, d.last = d.past[:0], 0
			return Token{End: true}, nil
		case flag&0xc0 == flagDeflated:
			d.packed.data, d.packed.tail = nil, false
			if err := d.packed.load(flag); err != nil {
				return Token{}, err
			}
			if err := d.reader.(flate.Resetter).Reset(&d.packed, d.past); err != nil {
				return Token{}, err
			}
			d.open = true
			continue
		}
		return d.block(flag)
	}
}

// block reads the reference this flag begins.
func (d *deflateIn) block(flag byte) (Token, error) {
	number, run := int64(d.last), false
	switch {
	case flag&flagNear != 0:
		number += int64(flag & 0x3f)
		run = flag&0x40 != 0
	case flag == flagLong || flag == flagLongRun:
		long, err := d.from.Int()
		if err != nil {
			return Token{}, err
		}
		number = int64(long)
		run = flag == flagLongRun
	default:
		return Token{}, wire.Broken("an unknown step %#x of compressed data came", flag)
	}
	if run {
		more, err := d.from.Short()
		if err != nil {
			return Token{}, err
		}
		d.run = int32(more)
	}
	if number < 0 || number+int64(d.run) > largestBlockNumber {
		return Token{}, wire.Broken("a block's number is out of all bounds")
	}
	d.last = int32(number)
	return Token{Block: d.last}, nil
}

// remember keeps what later data may refer back to.
func (d *deflateIn) remember(data []byte) {
	if len(data) >= reach {
		d.past = append(d.past[:0], data[len(data)-reach:]...)
		return
	}
	if over := len(d.past) + len(data) - reach; over > 0 {
		d.past = d.past[:copy(d.past, d.past[over:])]
	}
	d.past = append(d.past, data...)
}

// Seen keeps matched blocks too, as Zlib has it. Before protocol 31 both sides
// took the beginning of a block again and again for its later parts.
func (d *deflateIn) Seen(contents []byte) error {
	if d.kind != Zlib {
		return nil
	}
	const part = 0xffff
	begin := contents
	for len(contents) > 0 {
		n := min(len(contents), part)
		if d.from.Protocol >= 31 {
			d.remember(contents[:n])
		} else {
			d.remember(begin[:n])
		}
		contents = contents[n:]
	}
	return nil
}
