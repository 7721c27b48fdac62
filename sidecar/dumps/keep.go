package dumps

import (
	"slices"
	"strings"
	"time"
)

// Dump is what retention has to know of one good dump.
type Dump struct {
	Name  string
	Begun time.Time
	// Size is in bytes.
	Size int64
}

// Expired are the names of those good dumps that are not kept, oldest first, now
// that another one has been made, whose name is made. The newest dump is never
// among them, nor is the one that was made: a clock that was put right may have
// made another one newer.
//
// It is to be asked after a success, and at no other time: while no dump can be
// made, those that are there get older, and are all there is.
func (p Policy) Expired(all []Dump, made string, now time.Time) []string {
	newestFirst := slices.SortedFunc(slices.Values(all), func(a, b Dump) int {
		if order := b.Begun.Compare(a.Begun); order != 0 {
			return order
		}
		return strings.Compare(b.Name, a.Name)
	})
	var tooOld time.Time
	if p.MaxAge > 0 {
		tooOld = now.In(p.Zone).AddDate(0, 0, -p.MaxAge)
	}
	kept := 0
	var total int64
	for _, one := range all {
		if one.Name == made { // it counts first, wherever its name has it
			kept, total = 1, one.Size
		}
	}
	var expired []string
	gone := false // and with one, all that are older
	for i, one := range newestFirst {
		if one.Name == made {
			continue
		}
		gone = gone || p.Keep >= 0 && kept >= p.Keep || one.Begun.Before(tooOld) || p.MaxTotal > 0 && total+one.Size > p.MaxTotal
		if gone && i > 0 {
			expired = append(expired, one.Name)
			continue
		}
		kept++
		total += one.Size
	}
	slices.Reverse(expired)
	return expired
}

// spare is room that is always needed, in bytes.
const spare = 16 << 20

// Room is how many bytes the next dump may need, judged by the last three of
// those that there are: as much as the largest of them, and a tenth.
func Room(all []Dump) int64 {
	recent := slices.SortedFunc(slices.Values(all), func(a, b Dump) int { return b.Begun.Compare(a.Begun) })
	var largest int64
	for _, one := range recent[:min(3, len(recent))] {
		largest = max(largest, one.Size)
	}
	return largest + largest/10 + spare
}
