package archive

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/inmanta/inmanta-docker/problem"
)

// Match is the one of the logs that is meant: by its name, else by a beginning
// or a pattern (* ? [) that fits no other. Otherwise it is a problem, which says
// which there are.
func Match(names []string, wanted string) (string, error) {
	if slices.Contains(names, wanted) {
		return wanted, nil
	}
	var fit []string
	for _, name := range names {
		matched, _ := path.Match(wanted, name)
		if wanted != "" && (matched || strings.HasPrefix(name, wanted)) {
			fit = append(fit, name)
		}
	}
	if len(fit) == 1 {
		return fit[0], nil
	}
	p := problem.Problem{ID: "no-such-log", What: fmt.Sprintf("no log is called %q", wanted), Fix: "there is none yet"}
	if len(fit) > 0 {
		p = problem.Problem{ID: "several-logs", What: fmt.Sprintf("%d logs fit %q", len(fit), wanted)}
		names = fit
	}
	if len(names) > 0 {
		p.Fix = "give one of: " + some(names)
	}
	return "", p
}

// some are names, sorted, and how many more there are.
func some(names []string) string {
	const most = 20
	sorted := slices.Sorted(slices.Values(names))
	if len(sorted) <= most {
		return strings.Join(sorted, ", ")
	}
	return fmt.Sprintf("%s, and %d more", strings.Join(sorted[:most], ", "), len(sorted)-most)
}
