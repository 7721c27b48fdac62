package archive

import (
	"bytes"
	"errors"
)

// scan looks for the end of what was delivered where its beginning is gone: a
// reader that waited for long comes back to archives of which the first ones
// were removed, and the next ones hold the rest.
type scan struct {
	tail []byte // what is looked for
	head []byte // what the scan began with, as long as the tail
	// before is what was scanned but for window, which may have a part of the tail.
	before extent
	window []byte
}

// longestTail is how much of what was delivered is looked for, in bytes: some
// lines with their times, which there are not twice.
const longestTail = 1 << 10

// errFound is that the place is known again, and to be gone to.
var errFound = errors.New("the place is found")

// look goes on with a scan: errFound where the tail ends in what comes next,
// errLost where it cannot come any more.
func (p *place) look(next []byte) error {
	s := p.scan
	next = next[:min(int64(len(next)), p.length-s.before.length-int64(len(s.window)))]
	s.head = append(s.head, next[:min(len(next), len(s.tail)-len(s.head))]...)
	s.window = append(s.window, next...)
	if i := bytes.Index(s.window, s.tail); i >= 0 {
		s.before.add(s.window[:i+len(s.tail)])
		p.extent = s.before
		p.begin(false)
		return errFound
	}
	if s.before.length+int64(len(s.window)) == p.length {
		return errLost
	}
	done := max(0, len(s.window)-len(s.tail)+1)
	s.before.add(s.window[:done])
	s.window = append(s.window[:0], s.window[done:]...)
	return nil
}

// overlap is how much of the tail's end the scan began with.
func (s *scan) overlap() extent {
	var e extent
	for n := len(s.head); n > 0; n-- {
		if bytes.HasSuffix(s.tail, s.head[:n]) {
			e.add(s.head[:n])
			break
		}
	}
	return e
}
