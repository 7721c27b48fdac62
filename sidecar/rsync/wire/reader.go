package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// readBuffer is in bytes: two of the largest pieces file contents come in.
const readBuffer = 64 << 10

// Reader takes the peer's stream apart. It is for one goroutine.
type Reader struct {
	// Protocol is the version agreed on; 0 until then.
	Protocol int
	// OnMessage is told of every frame that is not part of the stream. The
	// bytes are its own only until it returns. An error ends the reading.
	OnMessage func(Tag, []byte) error
	// BeforeWait is called before a read that may have to wait for the peer:
	// whatever the peer waits for must be on its way by then.
	BeforeWait func()

	source   *bufio.Reader
	framed   bool
	left     int // of the current Data frame, bytes
	positive int32
	negative int32
	total    int64
	heard    atomic.Int64
	small    [16]byte
}

// NewReader reads from the peer's stream, which is not framed yet.
func NewReader(source io.Reader) *Reader {
	r := &Reader{source: bufio.NewReaderSize(source, readBuffer), positive: -1, negative: 1}
	r.heard.Store(time.Now().UnixNano())
	return r
}

// Frame says that frames begin here.
func (r *Reader) Frame() { r.framed = true }

// Unframe ends frames for as long as the peer sends raw bytes; only between
// two frames.
func (r *Reader) Unframe() { r.framed = false }

// Total is how much was read, in bytes, frame headers included.
func (r *Reader) Total() int64 { return r.total }

// LastHeard is when something came from the peer the last time. Any goroutine
// may ask.
func (r *Reader) LastHeard() time.Time { return time.Unix(0, r.heard.Load()) }

// fill reads exactly len(p) raw bytes.
func (r *Reader) fill(p []byte) error {
	if r.source.Buffered() < len(p) {
		if r.BeforeWait != nil {
			r.BeforeWait()
		}
		defer func() { r.heard.Store(time.Now().UnixNano()) }()
	}
	n, err := io.ReadFull(r.source, p)
	r.total += int64(n)
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Full reads exactly len(p) bytes of the stream. The end of the input is
// [io.ErrUnexpectedEOF]: the protocol says by itself when it is over.
func (r *Reader) Full(p []byte) error {
	for len(p) > 0 {
		n := len(p)
		if r.framed {
			if r.left == 0 {
				if err := r.nextFrame(); err != nil {
					return err
				}
				continue
			}
			n = min(n, r.left)
		}
		if err := r.fill(p[:n]); err != nil {
			return err
		}
		if r.framed {
			r.left -= n
		}
		p = p[n:]
	}
	return nil
}

// nextFrame reads a header, and the whole of a message.
func (r *Reader) nextFrame() error {
	header := r.small[8:12]
	if err := r.fill(header); err != nil {
		return err
	}
	word := binary.LittleEndian.Uint32(header)
	length := int(word & 0xffffff)
	if word>>24 < tagBase {
		return Broken("a frame of unknown kind %d came", word>>24)
	}
	tag := Tag(word>>24 - tagBase)
	if tag == Data {
		r.left = length
		return nil
	}
	if length > maxMessage {
		return Broken("a message of %d bytes came, more than %d", length, maxMessage)
	}
	payload := make([]byte, length)
	if err := r.fill(payload); err != nil {
		return err
	}
	if r.OnMessage == nil {
		return nil
	}
	return r.OnMessage(tag, payload)
}

// Byte reads one byte.
func (r *Reader) Byte() (byte, error) {
	if r.left > 0 && r.source.Buffered() > 0 || !r.framed && r.source.Buffered() > 0 {
		b, err := r.source.ReadByte()
		r.total++
		if r.framed {
			r.left--
		}
		return b, err
	}
	p := r.small[:1]
	err := r.Full(p)
	return p[0], err
}

// Short reads 16 bits.
func (r *Reader) Short() (uint16, error) {
	p := r.small[:2]
	err := r.Full(p)
	return binary.LittleEndian.Uint16(p), err
}

// Int reads 32 bits.
func (r *Reader) Int() (int32, error) {
	p := r.small[:4]
	if err := r.Full(p); err != nil {
		return 0, err
	}
	return int32(binary.LittleEndian.Uint32(p)), nil
}

// extra is how many bytes follow the first one of a short form: its leading
// one bits, with two exceptions that nothing else tells apart.
func extra(first byte) int {
	switch {
	case first < 0x80:
		return 0
	case first < 0xc0:
		return 1
	case first < 0xe0:
		return 2
	case first < 0xf0:
		return 3
	case first < 0xf8:
		return 4
	case first < 0xfc:
		return 5
	}
	return 6
}

// Varint reads up to 32 bits in the short form of protocol 30.
func (r *Reader) Varint() (int32, error) {
	first, err := r.Byte()
	if err != nil {
		return 0, err
	}
	more := extra(first)
	if more == 0 {
		return int32(first), nil
	}
	if more > 4 {
		return 0, Broken("a number of more than 32 bits came")
	}
	p := r.small[:8]
	clear(p)
	if err := r.Full(p[:more]); err != nil {
		return 0, err
	}
	p[more] = first & (1<<(8-more) - 1)
	return int32(binary.LittleEndian.Uint32(p)), nil
}

// Varlong reads up to 64 bits in the short form of protocol 30 that takes at
// least the given number of bytes (3 or 4).
func (r *Reader) Varlong(least int) (int64, error) {
	var head [4]byte
	if err := r.Full(head[:least]); err != nil {
		return 0, err
	}
	p := r.small[:10]
	clear(p)
	copy(p, head[1:least])
	more := extra(head[0])
	if least+more > 9 {
		return 0, Broken("a number of more than 64 bits came")
	}
	if more == 0 {
		p[least-1] = head[0]
	} else {
		if err := r.Full(p[least-1 : least-1+more]); err != nil {
			return 0, err
		}
		p[least+more-1] = head[0] & (1<<(8-more) - 1)
	}
	return int64(binary.LittleEndian.Uint64(p)), nil
}

// Long reads 64 bits the way protocol 29 writes them.
func (r *Reader) Long() (int64, error) {
	low, err := r.Int()
	if err != nil || low != -1 {
		return int64(low), err
	}
	p := r.small[:8]
	err = r.Full(p)
	return int64(binary.LittleEndian.Uint64(p)), err
}

// Number reads 32 bits in the agreed protocol's form.
func (r *Reader) Number() (int32, error) {
	if r.Protocol < 30 {
		return r.Int()
	}
	return r.Varint()
}

// Size reads 64 bits in the agreed protocol's form, for which protocol 30
// takes at least 3 bytes.
func (r *Reader) Size() (int64, error) {
	if r.Protocol < 30 {
		return r.Long()
	}
	return r.Varlong(3)
}

// String reads a string with its length before it, at most so many bytes.
func (r *Reader) String(most int) (string, error) {
	first, err := r.Byte()
	if err != nil {
		return "", err
	}
	length := int(first)
	if first >= 0x80 {
		second, err := r.Byte()
		if err != nil {
			return "", err
		}
		length = int(first&0x7f)<<8 | int(second)
	}
	return r.Text(length, most)
}

// Text reads a string of this length, which may be at most so many bytes.
func (r *Reader) Text(length, most int) (string, error) {
	if length < 0 || length > most {
		return "", Broken("a name of %d bytes came, more than %d", length, most)
	}
	p := make([]byte, length)
	err := r.Full(p)
	return string(p), err
}

// Index reads the index of a file, or one of the special ones.
func (r *Reader) Index() (int32, error) {
	if r.Protocol < 30 {
		return r.Int()
	}
	first, err := r.Byte()
	if err != nil || first == 0 {
		return IndexDone, err
	}
	last := &r.positive
	if first == 0xff {
		last = &r.negative
		if first, err = r.Byte(); err != nil {
			return 0, err
		}
	}
	number := uint32(*last) + uint32(first)
	if first == 0xfe {
		p := r.small[:4]
		if err := r.Full(p[:2]); err != nil {
			return 0, err
		}
		if p[0]&0x80 == 0 {
			number = uint32(*last) + uint32(p[0])<<8 + uint32(p[1])
		} else {
			high := uint32(p[0] & 0x7f)
			if err := r.Full(p[2:4]); err != nil {
				return 0, err
			}
			number = high<<24 | uint32(p[1]) | uint32(p[2])<<8 | uint32(p[3])<<16
		}
	}
	if number > 1<<31-1 {
		return 0, Broken("the index of a file is out of all bounds")
	}
	*last = int32(number)
	if last == &r.negative {
		return -int32(number), nil
	}
	return int32(number), nil
}

// Discard throws away what still comes, until the input ends.
func (r *Reader) Discard() { _, _ = io.Copy(io.Discard, r.source) }
