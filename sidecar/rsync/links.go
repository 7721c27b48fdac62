package rsync

import "strings"

// unsafeLink says whether a link of this name, from the top of the transfer,
// may lead out of it: it is absolute, goes up further than the name goes down,
// or goes up after it went down.
func unsafeLink(target, name string) bool {
	if target == "" || strings.HasPrefix(target, "/") {
		return true
	}
	depth := 0
	for element := range strings.SplitSeq(strings.TrimPrefix(name, "/"), "/") {
		if element != "" && element != "." {
			depth++
		}
	}
	depth-- // the link itself
	down := false
	for element := range strings.SplitSeq(target, "/") {
		switch element {
		case "", ".":
		case "..":
			if depth--; down || depth < 0 {
				return true
			}
		default:
			down = true
			depth++
		}
	}
	return false
}
