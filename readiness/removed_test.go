package readiness

import (
	"sync"
	"testing"

	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
)

// Nobody waits for what is gone.
func TestRemovedWhileWaiting(t *testing.T) {
	t.Parallel()
	engine, stack := play(t, part{service: "db", acts: []string{"after=0"}, check: ownCheck("exit=1")})
	var once sync.Once
	_, err := Wait(t.Context(), engine, stack, func(progress.Event) {
		once.Do(func() {
			if _, err := engine.ContainerRemove(t.Context(), stack.Project+"-db", client.ContainerRemoveOptions{Force: true}); err != nil {
				t.Error(err)
			}
		})
	})
	if p := problem.In(err); len(p) != 1 || p[0].ID != "removed" {
		t.Error(err)
	}
}

func TestNothingToWaitFor(t *testing.T) {
	t.Parallel()
	engine := prepare(t)
	_, err := Wait(t.Context(), engine, Stack{Project: "rdy-nothing-of-that-name"}, progress.Discard)
	if p := problem.In(err); len(p) != 1 || p[0].ID != "no-containers" {
		t.Error(err)
	}
}
