package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// process is one of a sidecar's, as /proc shows it.
type process struct {
	command string
	status  map[string]string
}

func (p process) String() string { return fmt.Sprintf("%q (%s)", p.command, p.status["Pid"]) }

// processesOf are those of a sidecar's container, but for what the engine starts there.
func (s *stack) processesOf(container string) []process {
	s.t.Helper()
	const walk = `for p in /proc/[0-9]*; do
		[ "$p" = "/proc/$$" ] && continue
		tr '\0' ' ' < "$p/cmdline"; echo
		cat "$p/status" && echo ==
	done 2>/dev/null; true`
	// The one who looks is inside as well, and so are the engine's health checks:
	// their parent is none of the container's.
	var all []process
	for _, text := range strings.Split(s.docker("exec", container, "bash", "-c", walk), "==\n") {
		command, status, _ := strings.Cut(strings.TrimSuffix(text, "=="), "\n")
		p := process{strings.TrimSpace(command), map[string]string{}}
		for line := range strings.Lines(status) {
			name, value, _ := strings.Cut(line, ":")
			p.status[name] = strings.TrimSpace(value)
		}
		parent, err := strconv.Atoi(p.status["PPid"])
		if err != nil || parent == 0 && p.status["Pid"] != "1" {
			continue
		}
		all = append(all, p)
	}
	return all
}

// powerless fails the scenario unless the process can do nothing that an ordinary
// user's could not, and never will.
func (p process) powerless(t *testing.T) {
	t.Helper()
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if p.status[set] != "0000000000000000" {
			t.Errorf("%s has %s %s", p, set, p.status[set])
		}
	}
	if p.status["NoNewPrivs"] != "1" {
		t.Errorf("%s may get new privileges", p)
	}
	for _, set := range []string{"Uid", "Gid", "Groups"} {
		for _, id := range strings.Fields(p.status[set]) {
			if id == "0" {
				t.Errorf("%s has 0 among its %s %s", p, set, p.status[set])
			}
		}
	}
}
