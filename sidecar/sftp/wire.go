package sftp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// Kinds of packets, section 3 of the draft.
const (
	kindInit     = 1
	kindVersion  = 2
	kindOpen     = 3
	kindClose    = 4
	kindRead     = 5
	kindWrite    = 6
	kindLstat    = 7
	kindFstat    = 8
	kindSetstat  = 9
	kindFsetstat = 10
	kindOpendir  = 11
	kindReaddir  = 12
	kindRemove   = 13
	kindMkdir    = 14
	kindRmdir    = 15
	kindRealpath = 16
	kindStat     = 17
	kindRename   = 18
	kindReadlink = 19
	kindSymlink  = 20

	kindStatus = 101
	kindHandle = 102
	kindData   = 103
	kindName   = 104
	kindAttrs  = 105

	kindExtended      = 200
	kindExtendedReply = 201
)

// version is the only version of the protocol that is in use.
const version = 3

const (
	// lengthSize is the length field in front of each packet, in bytes.
	lengthSize = 4
	// maxPacket is the longest packet either way, in bytes without its length
	// field: what OpenSSH's client and server allow each other.
	maxPacket = 256 << 10
	// maxData is the most data in one packet, in bytes: the rest is for what
	// describes it. Whole pages of a file are what the kernel is fastest with.
	maxData = maxPacket - 4096
)

// packets cuts what comes in into packets.
type packets struct {
	from       io.Reader
	descriptor int    // below from, -1 for none
	widened    bool   // whether much came in
	buffer     []byte // the longest packet fits
	start, end int    // what of buffer was read and not given out yet
}

// buffered is the next packet without its length field, nil when it has not
// wholly come in yet. It is valid until the next call of fill.
func (p *packets) buffered() ([]byte, error) {
	size, err := p.size()
	if err != nil || p.end-p.start < size {
		return nil, err
	}
	packet := p.buffer[p.start+lengthSize : p.start+size]
	p.start += size
	return packet, nil
}

// size is that of the next packet with its length field, or of the length
// field alone as long as that has not come in.
func (p *packets) size() (int, error) {
	if p.end-p.start < lengthSize {
		return lengthSize, nil
	}
	length := binary.BigEndian.Uint32(p.buffer[p.start:])
	if length == 0 || length > maxPacket {
		return 0, fmt.Errorf("the client sent a packet of %d bytes: 1 to %d are possible; is it really speaking SFTP?", length, maxPacket)
	}
	return lengthSize + int(length), nil
}

// fill waits for more to come in. The packet it completes may need further calls.
func (p *packets) fill() error {
	size, err := p.size()
	if err != nil {
		return err
	}
	if p.start == p.end {
		p.start, p.end = 0, 0
	}
	if p.start+size > len(p.buffer) {
		p.end = copy(p.buffer, p.buffer[p.start:p.end])
		p.start = 0
	}
	until := len(p.buffer)
	if size > len(p.buffer)/4 {
		// What follows a long packet is read to the front of the buffer
		// afterwards, so that it need not be moved there.
		until = p.start + size
	}
	if p.descriptor >= 0 {
		if size > muchData && !p.widened {
			p.widened = true
			widen(p.descriptor)
		}
		awaitBriefly(p.descriptor)
	}
	n, err := p.from.Read(p.buffer[p.end:until])
	p.end += n
	if n > 0 {
		return nil
	}
	return err
}

// ended is what it means that reading ended with err: nothing, between packets.
func (p *packets) ended(err error) error {
	if err != io.EOF {
		return fmt.Errorf("reading requests: %w", err)
	}
	if p.start == p.end {
		return nil
	}
	return fmt.Errorf("the client's requests end within one, after %d bytes of it: %w", p.end-p.start, io.ErrUnexpectedEOF)
}

// fields takes a packet apart. The first thing that is wrong with it sticks:
// what is read afterwards is zero, and err says what it was.
type fields struct {
	rest  []byte
	fault string
}

func (f *fields) take(n int) []byte {
	if f.fault == "" && n > len(f.rest) {
		f.fault = "the request is shorter than what it says to hold"
	}
	if f.fault != "" {
		return nil
	}
	taken := f.rest[:n]
	f.rest = f.rest[n:]
	return taken
}

func (f *fields) uint32() uint32 {
	if taken := f.take(4); taken != nil {
		return binary.BigEndian.Uint32(taken)
	}
	return 0
}

func (f *fields) uint64() uint64 {
	if taken := f.take(8); taken != nil {
		return binary.BigEndian.Uint64(taken)
	}
	return 0
}

// bytes is a string of the protocol; it is part of the packet.
func (f *fields) bytes() []byte {
	n := f.uint32()
	if n > maxPacket {
		n = maxPacket + 1 // whatever int is
	}
	return f.take(int(n))
}

// name is a path, or another name, that the kernel may take: not longer than
// any, and with no NUL byte that would cut it short.
func (f *fields) name() string {
	name := f.bytes()
	if len(name) >= maxPath {
		f.fault = "a name longer than any path"
		return ""
	}
	if bytes.IndexByte(name, 0) >= 0 {
		f.fault = "a name with a NUL byte in it"
		return ""
	}
	return string(name)
}

func (f *fields) err() error {
	if f.fault == "" {
		return nil
	}
	return &failure{statusBadMessage, f.fault}
}

// replies collects packets that go out. A packet is begun, filled with the
// methods named after types of the protocol, and ended or taken back.
type replies struct {
	to      io.Writer
	buffer  []byte
	packet  int      // where in buffer the packet that was begun last starts
	passage *passage // what it holds follows buffer, and is part of that packet
}

// full says that it is time to flush.
func (r *replies) full() bool { return len(r.buffer) >= flushAt || r.passage.held > 0 }

func (r *replies) begin(kind byte, id uint32) {
	r.packet = len(r.buffer)
	r.buffer = append(r.buffer, 0, 0, 0, 0, kind)
	r.uint32(id)
}

func (r *replies) end() {
	binary.BigEndian.PutUint32(r.buffer[r.packet:], uint32(len(r.buffer)-r.packet-lengthSize+r.passage.held))
}

func (r *replies) takeBack() { r.buffer = r.buffer[:r.packet] }

func (r *replies) uint32(v uint32) { r.buffer = binary.BigEndian.AppendUint32(r.buffer, v) }
func (r *replies) uint64(v uint64) { r.buffer = binary.BigEndian.AppendUint64(r.buffer, v) }

func (r *replies) string(v string) {
	r.uint32(uint32(len(v)))
	r.buffer = append(r.buffer, v...)
}

// spare is room for n bytes behind what was collected.
func (r *replies) spare(n int) []byte {
	if cap(r.buffer)-len(r.buffer) < n {
		r.buffer = append(r.buffer, make([]byte, n)...)[:len(r.buffer)]
	}
	return r.buffer[len(r.buffer) : len(r.buffer)+n]
}

func (r *replies) flush() error {
	if len(r.buffer) == 0 {
		return nil
	}
	_, err := r.to.Write(r.buffer)
	r.buffer = r.buffer[:0]
	if err == nil {
		err = r.passage.handOn()
	}
	if err != nil {
		return fmt.Errorf("sending answers: %w", err)
	}
	return nil
}
