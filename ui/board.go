package ui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/progress"
)

// board is every item of work, in the order in which they began.
type board struct {
	items []*item
	byID  map[string]*item
}

// item is one item of work. ended is zero while it is worked on; said is when
// it last had a line in a log.
type item struct {
	progress.Event
	began, ended, said time.Time
}

// quiet is how long a log of lines says nothing of an item whose step stays the
// same and whose detail alone changes: a build has hundreds of those.
const quiet = 10 * time.Second

// due tells whether an item that has become what it is from before is to have a
// line in a log now, and notes that it has.
func (it *item) due(before progress.Event, now time.Time) bool {
	if before.Status == it.Status && before.Text == it.Text && now.Sub(it.said) < quiet {
		return false
	}
	it.said = now
	return true
}

// urgency orders the states by what a reader must not miss.
var urgency = []progress.Status{progress.Failed, progress.Working, progress.Warning, progress.Done}

// apply puts an event on the board. It tells whether a log of lines has news by
// it, which a count alone is not, and whether it has become another percentage;
// before is what was known of the item.
func (b *board) apply(e progress.Event, now time.Time) (it *item, before progress.Event, news, moved bool) {
	it, known := b.byID[e.ID]
	if !known {
		it = &item{began: now}
		if b.byID == nil {
			b.byID = map[string]*item{}
		}
		b.byID[e.ID] = it
		b.items = append(b.items, it)
	}
	if !slices.Contains(urgency, e.Status) {
		e.Status = progress.Working
	}
	before = it.Event
	it.Event = e
	switch {
	case e.Status != progress.Working && it.ended.IsZero():
		it.ended = now
	case e.Status == progress.Working && !it.ended.IsZero():
		it.began, it.ended = now, time.Time{} // taken up again
	}
	news = !known || before.Status != e.Status || before.Text != e.Text || gist(before.Detail) != gist(e.Detail)
	return it, before, news, percent(before) != percent(e)
}

// gist is a detail without its numbers, so that a counter is not news.
func gist(detail string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r == '.' {
			return -1
		}
		return r
	}, detail)
}

// percent is how far an item is, 0 to 100; -1 where nobody knows.
func percent(e progress.Event) int {
	if e.Total <= 0 {
		return -1
	}
	return int(100 * max(0, min(1, float64(e.Current)/float64(e.Total))))
}

// elapsed is how long an item has taken, empty for what took no time.
func (it *item) elapsed(now time.Time) string {
	if !it.ended.IsZero() {
		now = it.ended
	}
	switch d := now.Sub(it.began); {
	case d < 100*time.Millisecond:
		return ""
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	default:
		return d.Truncate(time.Second).String()
	}
}

// plain is an item as a line of a log.
func (it *item) plain(st Style) string {
	text := st.mark(it.Status) + " " + it.ID
	for _, part := range []string{it.Text, it.Detail} {
		if part != "" {
			text += "  " + part
		}
	}
	if took := it.elapsed(it.began); took != "" {
		text += st.in(dim, "  ("+took+")")
	}
	return text + "\n"
}

// block is the board as lines for a screen: whole when final, else no higher
// than rows, with what matters least only counted in the last line.
func (b *board) block(st Style, columns, rows int, now time.Time, final bool) []cellLine {
	ids, texts := 0, 0
	for _, it := range b.items {
		ids = min(max(ids, width(it.ID)), max(12, columns*2/5))
		texts = min(max(texts, width(it.Text)), max(8, columns/4))
	}
	shown, hidden := b.items, []*item(nil)
	if !final && len(b.items) > rows {
		shown, hidden = choose(b.items, rows-1)
	}
	var lines []cellLine
	for _, it := range shown {
		lines = append(lines, it.live(cellLine{st: st, room: columns - 1}, ids, texts, now, final))
	}
	if len(hidden) > 0 {
		l := cellLine{st: st, room: columns - 1}
		l.add(dim, tally(hidden))
		lines = append(lines, l)
	}
	return lines
}

// live writes an item on a line of a live block. A final one does not spin.
func (it *item) live(l cellLine, ids, texts int, now time.Time, final bool) cellLine {
	g, working := l.st.glyphs(), it.Status == progress.Working
	color := paint("")
	if it.Status == progress.Failed {
		color = red
	}
	if working && !final {
		l.add(cyan, g.spinner[int(now.UnixMilli()/frame.Milliseconds())%len(g.spinner)])
	} else {
		l.add(markPaint[it.Status], g.marks[it.Status])
	}
	l.column("", " "+l.st.squeeze(it.ID, ids), 1+ids)
	l.column(color, l.st.cut(it.Text, texts), texts)
	l.add(dim, fmt.Sprintf("%6s", it.elapsed(now)))
	if p := percent(it.Event); p >= 0 && working {
		if size := min(16, l.room-l.used-7); size >= 4 {
			l.add("", "  ")
			l.add(cyan, strings.Repeat(g.bar, size*p/100))
			l.add(dim, strings.Repeat(g.rest, size-size*p/100))
		}
		l.add("", fmt.Sprintf(" %3d%%", p))
	}
	if it.Detail != "" {
		l.add(dim, "  "+it.Detail)
	}
	return l
}

// cellLine is a line of a live block: its text, colours included, and how many
// cells that takes of those there are.
type cellLine struct {
	st         Style
	text       string
	used, room int
}

func (l *cellLine) add(p paint, s string) {
	s = l.st.cut(s, l.room-l.used)
	l.text += l.st.in(p, s)
	l.used += width(s)
}

func (l *cellLine) column(p paint, s string, n int) {
	l.add(p, s)
	l.add("", strings.Repeat(" ", max(0, n-width(s))+gap))
}

// choose is the most urgent items, of those that are done the latest, in their
// order on the board, and those left out.
func choose(items []*item, room int) (shown, hidden []*item) {
	byUrgency := slices.Clone(items)
	slices.SortStableFunc(byUrgency, func(a, b *item) int {
		return cmp.Or(slices.Index(urgency, a.Status)-slices.Index(urgency, b.Status), b.ended.Compare(a.ended))
	})
	kept := byUrgency[:max(0, room)]
	for _, it := range items {
		if slices.Contains(kept, it) {
			shown = append(shown, it)
		} else {
			hidden = append(hidden, it)
		}
	}
	return shown, hidden
}

// tally counts items by how they stand.
func tally(items []*item) string {
	count := map[progress.Status]int{}
	for _, it := range items {
		count[it.Status]++
	}
	var parts []string
	for _, s := range urgency {
		if count[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[s], s))
		}
	}
	return fmt.Sprintf("  and %d more: %s", len(items), strings.Join(parts, ", "))
}
