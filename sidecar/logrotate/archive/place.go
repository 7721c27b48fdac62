package archive

import (
	"errors"
	"hash/crc32"
)

// place is how far a stream has been delivered: behind which item, and how many
// bytes of what follows it. Items change their names and their form while they
// are read, but not what is in them one after the other; so the place is found
// again by leaving out that many bytes of what now follows the same item. That
// they are the same bytes is told by their sum.
type place struct {
	behind item
	extent
	// seeking: what was delivered is being left out.
	seeking bool
	left    extent // of what follows behind, so far
	// seen is the last item that was left out whole, and what was left out up to
	// its end; since is what was left out behind it.
	seen      item
	untilSeen extent
	since     extent
	// tail are the last bytes that were delivered, and scan looks for them where
	// the first ones are gone.
	tail []byte
	scan *scan
}

// extent is how much of something there was, and its sum.
type extent struct {
	length int64
	sum    uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (e *extent) add(p []byte) {
	e.length += int64(len(p))
	e.sum = crc32.Update(e.sum, castagnoli, p)
}

// errLost is that what was delivered is not found.
var errLost = errors.New("what was delivered is gone")

// take says what is to be delivered of the bytes that come next.
func (p *place) take(next []byte) ([]byte, error) {
	if p.scan != nil {
		return nil, p.look(next)
	}
	if p.seeking {
		n := min(int64(len(next)), p.length-p.left.length)
		p.left.add(next[:n])
		p.since.add(next[:n])
		next = next[n:]
		if p.left.length < p.length {
			return nil, nil
		}
		if p.left.sum != p.sum {
			return nil, errLost
		}
		p.behind, p.extent, p.seeking = p.seen, p.since, false
	}
	p.add(next)
	p.tail = append(p.tail, next[max(0, len(next)-longestTail):]...)
	p.tail = p.tail[max(0, len(p.tail)-longestTail):]
	return next, nil
}

// passed is the last item that has been read whole; the next one follows it.
func (p *place) passed() item {
	if p.seeking {
		return p.seen
	}
	return p.behind
}

// pass says that an item has been read whole.
func (p *place) pass(i item) {
	if p.seeking {
		p.seen, p.untilSeen, p.since = i, p.left, extent{}
	} else {
		p.behind, p.extent = i, extent{}
	}
}

// seek says that what follows the last item that was passed is read from its
// beginning again.
func (p *place) seek() {
	switch {
	case p.scan != nil:
		p.begin(true)
	case p.seeking:
		p.left, p.since = p.untilSeen, extent{}
	case p.length > 0:
		p.begin(false)
	}
}

// begin looks for what was delivered, from what follows behind on: by its length
// and sum, or by its tail.
func (p *place) begin(byTail bool) {
	p.seeking, p.seen = p.length > 0, p.behind
	p.left, p.untilSeen, p.since = extent{}, extent{}, extent{}
	p.scan = nil
	if byTail {
		p.scan = &scan{tail: p.tail[max(0, int64(len(p.tail))-p.length):]}
	}
}

// lost says that what was delivered was not found, and that what follows behind
// is read again; and whether that was not known before.
func (p *place) lost() bool {
	if p.scan == nil {
		p.begin(true)
		return true
	}
	p.extent = p.scan.overlap()
	p.begin(false)
	return false
}

// giveUp looks no longer for what was delivered: what now follows has not been.
func (p *place) giveUp() {
	p.seeking, p.scan, p.extent = false, nil, extent{}
}
