package readiness

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	"github.com/inmanta/inmanta-docker/progress"
)

// lostEngine says that the engine does not answer any more, or not sensibly.
type lostEngine struct{ error }

func (e lostEngine) Unwrap() error { return e.error }

// away is how often an engine that does not answer is asked whether it does
// again: nothing announces that.
const away = 100 * time.Millisecond

// reachable says why the engine takes no new connections; nil when it does. One
// that is about to end takes none, and still answers on those that it has.
func (w *watch) reachable(ctx context.Context) error {
	connection, err := w.engine.Dialer()(ctx)
	if err != nil {
		return fmt.Errorf("connecting to the engine: %w", err)
	}
	return connection.Close()
}

// comeBack waits until the engine answers again; lost is how it stopped. The
// error is a lostEngine when it answers that it cannot, and when ctx ends.
func (w *watch) comeBack(ctx context.Context, project string, lost error) error {
	event := progress.Event{ID: "Container engine", Text: "Gone", Detail: "it is waited for, and what it runs with it", Status: progress.Working}
	told := false
	tick := time.NewTicker(away)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return lostEngine{lost}
		}
		err := w.reachable(ctx)
		if err == nil {
			_, err = Observe(ctx, w.engine, project)
		}
		switch {
		case err == nil && told:
			event.Text, event.Detail, event.Status = "Back", "", progress.Done
			w.report(event)
			return nil
		case err == nil:
			return nil
		case errdefs.IsInternal(err) || errdefs.IsPermissionDenied(err) || errdefs.IsInvalidArgument(err):
			return lostEngine{err} // it is there: this is its answer
		case !told && ctx.Err() == nil:
			told = true
			w.report(event)
		}
	}
}
