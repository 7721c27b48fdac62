package ssh

import (
	"regexp"
	"slices"
	"strings"
)

// accepted are the variables that a client may set. None of them makes a
// program load or run what it would not otherwise, as long as those that the C
// library looks up in a folder of its own do not lead out of that folder.
var accepted = regexp.MustCompile(`^(LANG|LANGUAGE|LC_[A-Z]+|TZ|TERM|COLORTERM|NO_COLOR|GIT_PROTOCOL|GIT_(AUTHOR|COMMITTER)_(NAME|EMAIL)|TERM_PROGRAM(_VERSION)?)$`)

var (
	lookedUp = regexp.MustCompile(`^(LANG|LANGUAGE|LC_[A-Z]+|TZ|TERM)$`)
	leadsOut = regexp.MustCompile(`(^|:)/|\.\.`)
)

// The limits of what a client may set: variables a session, and bytes a value.
const (
	mostVariables   = 64
	longestVariable = 4 << 10
)

// acceptable says whether a client may set a variable to a value.
func acceptable(name, value string) bool {
	if lookedUp.MatchString(name) && leadsOut.MatchString(value) {
		return false
	}
	return accepted.MatchString(name) && len(value) <= longestVariable && !strings.ContainsRune(value, 0)
}

// with is the environment with variables of which the last of each name counts.
func with(environ []string, variables ...string) []string {
	all := append(slices.Clone(environ), variables...)
	seen := map[string]bool{}
	var unique []string
	for _, variable := range slices.Backward(all) {
		if name, _, _ := strings.Cut(variable, "="); !seen[name] {
			seen[name] = true
			unique = append(unique, variable)
		}
	}
	slices.Reverse(unique)
	return unique
}
