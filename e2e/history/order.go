package history

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// forever is the end of what may still happen.
const forever = time.Duration(math.MaxInt64)

// list says which reads of the list are not what it was at one moment between
// their start and their end. Nothing is ever taken from it, so what it was is
// a beginning of what it is in the end.
func (v *Verdict) list(all []Operation, final []string) {
	place := map[string]int{}
	for i, value := range final {
		place[value] = i + 1
	}
	appends := of(all, Append)
	for _, o := range appends {
		// In the end it is in front of what was begun after it was acknowledged.
		for _, later := range appends {
			if o.Outcome == OK && o.End < later.Start && place[later.Value] > 0 && place[o.Value] > place[later.Value] {
				v.Disordered = append(v.Disordered, fmt.Sprintf("%s stands behind %s, which was begun after it was acknowledged: %s", o.Value, later.Value, o))
			}
		}
	}
	for _, read := range of(all, List) {
		if read.Outcome != OK {
			continue
		}
		if n := len(read.Values); n > len(final) || !slices.Equal(read.Values, final[:n]) {
			v.Disordered = append(v.Disordered, fmt.Sprintf("a read of %d values that are not the beginning of the list: %s", n, read))
			continue
		}
		for _, o := range appends {
			at := place[o.Value]
			switch {
			case at == 0: // lost or never done, which is said elsewhere
			case at <= len(read.Values) && o.Start > read.End:
				v.Disordered = append(v.Disordered, fmt.Sprintf("%s was read before it was begun: %s", o.Value, read))
			case at > len(read.Values) && o.Outcome == OK && o.End < read.Start:
				v.Disordered = append(v.Disordered, fmt.Sprintf("%s was acknowledged before the read began, and is not in it: %s", o.Value, read))
			}
		}
		for _, other := range of(all, List) {
			if other.Outcome == OK && other.End < read.Start && len(other.Values) > len(read.Values) {
				v.Disordered = append(v.Disordered, fmt.Sprintf("a read of %d values after one of %d: %s", len(read.Values), len(other.Values), read))
				break
			}
		}
	}
}

// zone is all that was done with one value of a register: the write of it, and
// the reads that it answered.
type zone struct {
	value string
	// firstEnd is when one of them was the first to be over, lastStart when one
	// was the last to begin: the register held the value at some moment before
	// and at some moment after, or at any one between lastStart and firstEnd.
	firstEnd, lastStart time.Duration
}

// forward says that the register held the value all the way from firstEnd to
// lastStart.
func (z zone) forward() bool { return z.firstEnd < z.lastStart }

func (z zone) low() time.Duration  { return min(z.firstEnd, z.lastStart) }
func (z zone) high() time.Duration { return max(z.firstEnd, z.lastStart) }

// registers says which registers could not have been one each. Values are
// written once, so each read tells which write it saw; Gibbons and Korach
// ("Testing Shared Memories", 1997) have shown that a history is then good if,
// and only if, no value is read before it is written, no two values are held
// all the way through a common time, and none has to be there and gone again
// within the time of another.
func (v *Verdict) registers(all []Operation, final map[string]string) {
	writes, reads := map[string][]Operation{}, map[string][]Operation{}
	for _, o := range all {
		switch {
		case o.Kind == Write:
			writes[o.Key] = append(writes[o.Key], o)
		case o.Kind == Read && o.Outcome == OK:
			reads[o.Key] = append(reads[o.Key], o)
		}
	}
	for key, value := range final {
		reads[key] = append(reads[key], Operation{Kind: Read, Key: key, Value: value, Start: forever - 1, End: forever, Outcome: OK})
	}
	keys := map[string]bool{}
	for key := range writes {
		keys[key] = true
	}
	for key := range reads {
		keys[key] = true
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		v.register(key, writes[key], reads[key])
	}
}

func (v *Verdict) register(key string, writes, reads []Operation) {
	// What is there before anybody writes was written before all.
	written := map[string]Operation{"": {Kind: Write, Start: -2, End: -1, Outcome: OK}}
	for _, o := range writes {
		if o.Outcome == Unknown {
			o.End = forever
		}
		written[o.Value] = o
	}
	seen := map[string]bool{"": true}
	zones := map[string]zone{}
	for _, o := range written {
		zones[o.Value] = zone{o.Value, o.End, o.Start}
	}
	for _, read := range reads {
		o, ok := written[read.Value]
		switch {
		case !ok:
			v.Unexpected = append(v.Unexpected, fmt.Sprintf("register %s shows %s, which nobody wrote: %s", key, read.Value, read))
			continue
		case o.Outcome == Failed:
			v.Unexpected = append(v.Unexpected, fmt.Sprintf("register %s shows %s, which was refused: %s", key, read.Value, o))
			continue
		case read.End < o.Start:
			v.Disordered = append(v.Disordered, fmt.Sprintf("register %s showed %s before it was written: %s", key, read.Value, read))
			continue
		}
		seen[read.Value] = true
		z := zones[read.Value]
		z.firstEnd, z.lastStart = min(z.firstEnd, read.End), max(z.lastStart, read.Start)
		zones[read.Value] = z
	}
	var held, passing []zone
	for value, z := range zones {
		switch {
		case written[value].Outcome != OK && !seen[value]: // as if it had not been
		case z.forward():
			held = append(held, z)
		default:
			passing = append(passing, z)
		}
	}
	byLow := func(a, b zone) int { return int(min(1, max(-1, a.low()-b.low()))) }
	slices.SortFunc(held, byLow)
	slices.SortFunc(passing, byLow)
	for i := 1; i < len(held); i++ {
		if a, b := held[i-1], held[i]; b.low() < a.high() {
			v.Disordered = append(v.Disordered, fmt.Sprintf("register %s held %q from %s to %s, and %q from %s to %s", key, a.value, a.low(), a.high(), b.value, b.low(), b.high()))
		}
	}
	for _, p := range passing {
		// The last that begins before it, if any: those held do not overlap.
		i, _ := slices.BinarySearchFunc(held, p.low(), func(z zone, low time.Duration) int { return int(min(1, max(-1, z.low()-low))) })
		if i > 0 && held[i-1].low() < p.low() && p.high() < held[i-1].high() {
			v.Disordered = append(v.Disordered, fmt.Sprintf("register %s held %q from %s to %s, and %q came and went meanwhile (%s to %s)",
				key, held[i-1].value, held[i-1].low(), held[i-1].high(), p.value, p.low(), p.high()))
		}
	}
}
