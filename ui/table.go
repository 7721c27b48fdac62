package ui

import (
	"strings"

	"github.com/inmanta/inmanta-docker/progress"
)

// Row is one row of a table.
type Row struct {
	// Status draws a marker before the row; none where it is empty.
	Status progress.Status
	Cells  []string
}

// Fact is one line of KeyValues. Its value may have several lines.
type Fact struct{ Key, Value string }

const (
	gap       = 2 // cells between two columns
	narrowest = 8 // cells: how far a column is cut for the sake of the others
)

// table is rows under a header, aligned. The widest columns are cut until a row
// fits on a line of the given columns.
func table(st Style, columns int, header []string, rows []Row) string {
	grid := [][]string{header}
	margin := ""
	for _, r := range rows {
		grid = append(grid, r.Cells)
		if r.Status != "" {
			margin = "  "
		}
	}
	var widths []int
	for i, row := range grid {
		grid[i] = make([]string, len(row))
		for j, cell := range row {
			if j == len(widths) {
				widths = append(widths, 0)
			}
			grid[i][j] = line(cell)
			widths[j] = max(widths[j], width(grid[i][j]))
		}
	}
	if columns > 0 {
		narrow(widths, columns-len(margin))
	}
	var b strings.Builder
	for i, row := range grid {
		text, color := margin, dim
		if i > 0 {
			color = ""
			if s := rows[i-1].Status; s != "" {
				text = st.mark(s) + " "
			}
		}
		for j, cell := range row {
			if strings.Contains(cell, " ") {
				cell = st.cut(cell, widths[j])
			} else {
				cell = st.squeeze(cell, widths[j])
			}
			text += st.in(color, cell) + strings.Repeat(" ", widths[j]-width(cell)+gap)
		}
		b.WriteString(strings.TrimRight(text, " ") + "\n")
	}
	return b.String()
}

// narrow takes cells from the widest column, again and again, until all fit in
// the given columns or none has any to give.
func narrow(widths []int, columns int) {
	total := -gap
	for _, w := range widths {
		total += w + gap
	}
	for ; total > columns; total-- {
		widest := 0
		for j, w := range widths {
			if w > widths[widest] {
				widest = j
			}
		}
		if widths[widest] <= narrowest {
			return
		}
		widths[widest]--
	}
}

// keyValues is facts with their values in one column. Values are never cut: an
// address is there to be copied.
func keyValues(st Style, indent string, facts []Fact) string {
	keys := 0
	for _, f := range facts {
		keys = max(keys, width(line(f.Key)))
	}
	var b strings.Builder
	for _, f := range facts {
		key := line(f.Key)
		space := strings.Repeat(" ", keys-width(key)+gap)
		hang(&b, indent+st.in(dim, key)+space, indent+strings.Repeat(" ", keys+gap), f.Value, 0)
	}
	return b.String()
}
