package settings

import "strings"

// Prefixes of the variables that this deployment reads; a variable of another
// name is nobody's business here.
var prefixes = []string{"INMANTA_", "POSTGRESQL_", "POSTGRES_"}

// Meant is the setting that somebody who wrote name most likely meant; ok is
// false when name is a setting itself or resembles none.
func Meant(name string) (setting string, ok bool) {
	if _, known := Find(name); known {
		return "", false
	}
	best := len(name)
	for _, s := range All {
		if d := distance(strings.ToUpper(name), s.Name); d < best {
			best, setting = d, s.Name
		}
	}
	limit := 2
	for _, p := range prefixes {
		if strings.HasPrefix(strings.ToUpper(name), p) {
			limit = 3
		}
	}
	// Short names are near to everything.
	return setting, best <= limit && best*4 <= len(name)
}

// distance is the number of letters to insert, delete, change or swap with a
// neighbour to get from a to b (optimal string alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
