package archive

import (
	"fmt"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/problem"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	logs := []string{"server.log", agentLog, strings.TrimSuffix(agentLog, "log") + "err", "resource-actions-1.log", "resource-actions-12.log", "resource-actions-1"}
	for wanted, want := range map[string]string{
		"server.log": "server.log", "s": "server.log", "agent-719c7ad5-6657-444b-b536-a27174cb7498.l": agentLog,
		"agent*.log": agentLog, "*.err": logs[2], "resource-actions-1": "resource-actions-1", "resource-actions-1?.*": "resource-actions-12.log",
	} {
		if got, err := Match(logs, wanted); err != nil || got != want {
			t.Errorf("%q is %q, %v", wanted, got, err)
		}
	}
	for wanted, words := range map[string][]string{
		"agent":     {"2 logs fit", ".err, " + agentLog},
		"*":         {"6 logs fit"},
		"x":         {`no log is called "x"`, "server.log"},
		"":          {`no log is called ""`, "server.log"},
		"[":         {"no log", "server.log"},
		"resource?": {"no log"},
	} {
		_, err := Match(logs, wanted)
		for _, word := range words {
			if text := fmt.Sprintf("%v %+v", err, err); err == nil || !strings.Contains(text+fix(err), word) {
				t.Errorf("%q: %s does not say %q", wanted, text, word)
			}
		}
	}
	if _, err := Match(nil, "x"); err == nil || !strings.Contains(fix(err), "none yet") {
		t.Errorf("of none: %v", err)
	}
	many := make([]string, 50)
	for i := range many {
		many[i] = fmt.Sprintf("agent-%02d.log", i)
	}
	if _, err := Match(many, "agent"); !strings.Contains(fix(err), "agent-19.log, and 30 more") {
		t.Errorf("of many: %s", fix(err))
	}
}

func fix(err error) string { return problem.In(err)[0].Fix }
