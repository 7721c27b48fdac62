package command

import (
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/pair"
	"github.com/inmanta/inmanta-docker/progress"
)

// What a database waits for is told while it is waited for.
func TestNodeEvent(t *testing.T) {
	t.Parallel()
	node := func(state, why string) pair.Node {
		return pair.Node{Name: "db", ContainerState: "running", Answers: true, Said: pair.Said{State: state, Why: why, Role: pair.Primary}}
	}
	for name, c := range map[string]struct {
		node    pair.Node
		durable bool
		text    string
		detail  string
		status  progress.Status
	}{
		"waiting":         {node("waiting", "the volume is empty"), false, "Waiting", "the volume is empty", progress.Working},
		"copying":         {node(pair.Copying, "it was asked for; 43 % are here"), false, "Copying", "it was asked for", progress.Working},
		"refusing":        {node(pair.Refusing, "no room"), false, "Refusing", "no room", progress.Failed},
		"all well":        {node(pair.Serving, ""), true, "Serving", pair.Primary, progress.Done},
		"down":            {pair.Node{Name: "db", ContainerState: "exited"}, false, "Down", "its container is exited", progress.Working},
		"another machine": {pair.Node{Name: "db", ContainerState: pair.Elsewhere}, false, "Out of sight", "start db on its machine, or mend the network between the two", progress.Working},
	} {
		e := nodeEvent(pair.Status{Durable: c.durable}, c.node)
		if e.Text != c.text || !strings.Contains(e.Detail, c.detail) || e.Status != c.status {
			t.Errorf("%s: %+v", name, e)
		}
	}
}
