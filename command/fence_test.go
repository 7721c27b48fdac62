package command

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/pair"
	"github.com/inmanta/inmanta-docker/progress"
)

// yard is an engine as far as it takes to fence a node, and what was done on it.
type yard struct {
	done  []string
	using []string
	// fails is why nothing can be stopped, hides why nobody knows who has a volume.
	fails, hides error
}

func (y *yard) Stop(_ context.Context, container string) error {
	y.done = append(y.done, "stop "+container)
	return y.fails
}

func (y *yard) Kill(_ context.Context, container string) error {
	y.done = append(y.done, "kill "+container)
	return y.fails
}

func (y *yard) Using(context.Context, string) ([]string, error) { return y.using, y.hides }

// Nothing is promoted beside a primary that may run.
func TestFence(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		state   string
		yard    yard
		want    []string
		refused string
	}{
		"it is down":           {"exited", yard{}, nil, ""},
		"it never was":         {pair.Absent, yard{}, nil, ""},
		"it runs":              {"running", yard{}, []string{"stop inmanta-db"}, ""},
		"it is being started":  {"restarting", yard{}, []string{"stop inmanta-db"}, ""},
		"it is frozen":         {"paused", yard{}, []string{"kill inmanta-db"}, ""},
		"it does not stop":     {"running", yard{fails: errors.New("no")}, []string{"stop inmanta-db"}, "no"},
		"nobody knows":         {"exited", yard{hides: errors.New("no answer")}, nil, "no answer"},
		"another has its data": {"exited", yard{using: []string{"copy", "other"}}, nil, "its volume is in use by the container copy, other"},
	} {
		node := pair.Node{Name: "db", Container: "inmanta-db", ContainerState: c.state}
		if c.state == pair.Absent {
			node.Container = ""
		}
		err := fence(t.Context(), &c.yard, node, "data", func(progress.Event) {})
		if !slices.Equal(c.yard.done, c.want) {
			t.Errorf("%s: %q, want %q", name, c.yard.done, c.want)
		}
		if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%s: %v, want %q", name, err, c.refused)
		}
	}
}
