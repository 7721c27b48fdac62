package wire

import "encoding/binary"

// Encoder writes numbers and strings in the agreed protocol's forms. Errors
// are those of the Writer; they stay, so only the last of a row need be looked
// at. It is for one goroutine.
type Encoder struct {
	*Writer
	// Protocol is the version agreed on.
	Protocol int

	positive int32
	negative int32
	small    [12]byte
}

// NewEncoder writes to w.
func NewEncoder(w *Writer) *Encoder { return &Encoder{Writer: w, positive: -1, negative: 1} }

// Byte writes one byte.
func (e *Encoder) Byte(value byte) error {
	e.small[0] = value
	_, err := e.Write(e.small[:1])
	return err
}

// Short writes 16 bits.
func (e *Encoder) Short(value uint16) error {
	_, err := e.Write(binary.LittleEndian.AppendUint16(e.small[:0], value))
	return err
}

// Int writes 32 bits.
func (e *Encoder) Int(value int32) error {
	_, err := e.Write(binary.LittleEndian.AppendUint32(e.small[:0], uint32(value)))
	return err
}

// Varint writes 32 bits in the short form of protocol 30.
func (e *Encoder) Varint(value int32) error {
	return e.short(uint64(uint32(value)), 4, 1)
}

// Varlong writes 64 bits in the short form of protocol 30 that takes at least
// the given number of bytes (3 or 4).
func (e *Encoder) Varlong(value int64, least int) error {
	return e.short(uint64(value), 8, least)
}

// short writes the low bytes of a number, their count in the leading bits of a
// first byte, which also holds the number's highest bits where they fit.
func (e *Encoder) short(value uint64, width, least int) error {
	b := e.small[:9]
	clear(b)
	binary.LittleEndian.PutUint64(b[1:], value)
	count := width
	for count > least && b[count] == 0 {
		count--
	}
	bit := byte(1) << (7 - count + least)
	switch {
	case b[count] >= bit:
		count++
		b[0] = ^(bit - 1)
	case count > least:
		b[0] = b[count] | ^(bit*2 - 1)
	default:
		b[0] = b[count]
	}
	_, err := e.Write(b[:count])
	return err
}

// Long writes 64 bits the way protocol 29 reads them.
func (e *Encoder) Long(value int64) error {
	if value >= 0 && value <= 0x7fffffff {
		return e.Int(int32(value))
	}
	b := append(e.small[:0], 0xff, 0xff, 0xff, 0xff)
	_, err := e.Write(binary.LittleEndian.AppendUint64(b, uint64(value)))
	return err
}

// Number writes 32 bits in the agreed protocol's form.
func (e *Encoder) Number(value int32) error {
	if e.Protocol < 30 {
		return e.Int(value)
	}
	return e.Varint(value)
}

// Size writes 64 bits in the agreed protocol's form.
func (e *Encoder) Size(value int64) error {
	if e.Protocol < 30 {
		return e.Long(value)
	}
	return e.Varlong(value, 3)
}

// String writes a string with its length, at most 32,767 bytes, before it.
func (e *Encoder) String(value string) error {
	if len(value) >= 0x80 {
		if err := e.Byte(byte(len(value)>>8) | 0x80); err != nil {
			return err
		}
	}
	if err := e.Byte(byte(len(value))); err != nil {
		return err
	}
	return e.Text(value)
}

// Text writes a string as it is.
func (e *Encoder) Text(value string) error {
	_, err := e.Write([]byte(value))
	return err
}

// Index writes the index of a file, or one of the special ones.
func (e *Encoder) Index(index int32) error {
	if e.Protocol < 30 {
		return e.Int(index)
	}
	if index == IndexDone {
		return e.Byte(0)
	}
	b := e.small[:0]
	last := &e.positive
	if index < 0 {
		b = append(b, 0xff)
		index = -index
		last = &e.negative
	}
	difference := index - *last
	*last = index
	switch {
	case difference > 0 && difference < 0xfe:
		b = append(b, byte(difference))
	case difference < 0 || difference > 0x7fff:
		b = append(b, 0xfe, byte(index>>24)|0x80, byte(index), byte(index>>8), byte(index>>16))
	default:
		b = append(b, 0xfe, byte(difference>>8), byte(difference))
	}
	_, err := e.Write(b)
	return err
}
