package volume

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// block is what a tar file consists of, in bytes.
const block = 512

// The kinds of entries, as POSIX has them.
const (
	kindFile     = '0'
	kindHardLink = '1'
	kindSymlink  = '2'
	kindFolder   = '5'
	kindPipe     = '6'
	kindExtended = 'x'
)

// header is what a tar file says of one entry.
type header struct {
	kind       byte
	name, link string
	mode       uint32 // with the set-id and sticky bits, without the kind
	uid, gid   uint32
	size       int64
	sec, nsec  int64 // of the time of the last change
	attributes []attribute
}

// attribute is an extended attribute of a file.
type attribute struct{ name, value string }

// headerOf is what stat says of an entry.
func headerOf(kind byte, name string, stat *unix.Stat_t) header {
	return header{
		kind: kind, name: name, mode: stat.Mode & 0o7777, uid: stat.Uid, gid: stat.Gid,
		sec: stat.Mtim.Sec, nsec: stat.Mtim.Nsec,
	}
}

// Where the fields of a header are: ustar Interchange Format, POSIX.1-2017.
const (
	nameLength  = 100
	modeAt      = 100
	uidAt       = 108
	gidAt       = 116
	sizeAt      = 124
	timeAt      = 136
	checksumAt  = 148
	kindAt      = 156
	linkAt      = 157
	magicAt     = 257
	mostID      = 1<<21 - 1 // in seven octal digits
	mostSize    = 1<<33 - 1 // in eleven
	attributeOf = "SCHILY.xattr."
)

// appendTo appends the header's blocks to text: the ones of what does not fit
// into the fields, if anything does not, and its own.
func (h *header) appendTo(text []byte) []byte {
	var room [256]byte
	records := h.records(room[:0])
	if len(records) > 0 {
		extended := header{kind: kindExtended, name: "PaxHeaders", mode: 0o644, size: int64(len(records))}
		text = extended.appendFields(text)
		text = padded(append(text, records...), len(records))
	}
	return h.appendFields(text)
}

// padded fills up to a whole block what ends with length bytes of content.
func padded(text []byte, length int) []byte {
	return append(text, make([]byte, -length&(block-1))...)
}

// records are what does not fit into the fields.
func (h *header) records(to []byte) []byte {
	if h.nsec != 0 || h.sec < 0 || h.sec > mostSize {
		var room [32]byte
		to = record(to, "mtime", appendTime(room[:0], h.sec, h.nsec))
	}
	if !fitsName(h.name) {
		to = record(to, "path", []byte(h.name))
	}
	if !fitsName(h.link) {
		to = record(to, "linkpath", []byte(h.link))
	}
	for _, n := range []struct {
		key         string
		value, most int64
	}{{"uid", int64(h.uid), mostID}, {"gid", int64(h.gid), mostID}, {"size", h.size, mostSize}} {
		if n.value > n.most {
			to = record(to, n.key, strconv.AppendInt(nil, n.value, 10))
		}
	}
	for _, a := range h.attributes {
		to = record(to, attributeOf+escapeKey.Replace(a.name), []byte(a.value))
	}
	return to
}

// An "=" ends the key of a record; GNU tar writes it in a name like this.
var (
	escapeKey   = strings.NewReplacer("%", "%25", "=", "%3D")
	unescapeKey = strings.NewReplacer("%25", "%", "%3D", "=")
)

// appendTime writes seconds since 1970 with all digits of their fraction.
func appendTime(to []byte, sec, nsec int64) []byte {
	if sec < 0 && nsec > 0 {
		sec, nsec = sec+1, 1_000_000_000-nsec
		if sec == 0 {
			to = append(to, '-')
		}
	}
	to = strconv.AppendInt(to, sec, 10)
	if nsec == 0 {
		return to
	}
	to = append(to, '.')
	for unit := int64(100_000_000); unit > 0; unit /= 10 {
		to = append(to, byte('0'+nsec/unit%10))
	}
	return to
}

// record appends "LENGTH KEY=VALUE\n", whose length counts its own digits.
func record(to []byte, key string, value []byte) []byte {
	rest := len(" =\n") + len(key) + len(value)
	var length int
	for digits := 1; ; digits++ {
		if length = rest + digits; len(strconv.Itoa(length)) == digits {
			break
		}
	}
	to = strconv.AppendInt(to, int64(length), 10)
	to = append(append(append(to, ' '), key...), '=')
	return append(append(to, value...), '\n')
}

// appendFields appends the header's own block. What does not fit is cut off, or
// is 0: it is in the records.
func (h *header) appendFields(text []byte) []byte {
	at := len(text)
	text = append(text, make([]byte, block)...)
	b := text[at:]
	copyName(b[:nameLength], h.name)
	octal(b[modeAt:uidAt], int64(h.mode))
	octal(b[uidAt:gidAt], fits(int64(h.uid), mostID))
	octal(b[gidAt:sizeAt], fits(int64(h.gid), mostID))
	octal(b[sizeAt:timeAt], fits(h.size, mostSize))
	octal(b[timeAt:checksumAt], fits(h.sec, mostSize))
	b[kindAt] = h.kind
	copyName(b[linkAt:linkAt+nameLength], h.link)
	copy(b[magicAt:], "ustar\x0000")
	sum := int64(8 * ' ') // the checksum's own field counts as spaces
	for _, c := range b {
		sum += int64(c)
	}
	octal(b[checksumAt:checksumAt+7], sum)
	b[checksumAt+7] = ' '
	return text
}

// fitsName says whether a field takes a name: it is ASCII.
func fitsName(name string) bool {
	for n := range len(name) {
		if name[n] >= utf8.RuneSelf {
			return false
		}
	}
	return len(name) <= nameLength
}

// copyName fills a field with what it takes of a name.
func copyName(field []byte, name string) {
	copy(field, name)
	for n, c := range field {
		if c >= utf8.RuneSelf {
			field[n] = '_'
		}
	}
}

func fits(n, most int64) int64 {
	if n < 0 || n > most {
		return 0
	}
	return n
}

// octal fills a field with a number, and ends it with a zero byte.
func octal(field []byte, n int64) {
	for i := len(field) - 2; i >= 0; i-- {
		field[i] = byte('0' + n&7)
		n >>= 3
	}
}
