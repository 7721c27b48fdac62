package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/backup"
	"github.com/inmanta/inmanta-docker/engine"
	"github.com/inmanta/inmanta-docker/orchestrator"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/readiness"
	"github.com/inmanta/inmanta-docker/sidecar/halt"
	"github.com/inmanta/inmanta-docker/topology"
	"github.com/inmanta/inmanta-docker/ui"
)

// apiInside is where the orchestrator's API is on the deployment's own network.
const apiInside = "http://" + topology.Orchestrator + ":8888"

// stillness is the time for which environments are halted.
type stillness struct {
	letGo  func()
	done   chan error
	begun  time.Time
	report progress.Report
	// said is what the one who halts them has said.
	said *awaited
	// over is for how long it was; 0 while it is.
	over time.Duration
}

// networkOf is a network that the service is on, by its name on the engine.
func (s survey) networkOf(service string) string {
	for name := range s.stack.Project.Services[service].Networks {
		return s.stack.Project.Networks[name].Name
	}
	return s.stack.Project.Networks["default"].Name
}

// halt halts environments, and returns when nothing is compiled or deployed in
// them any more. They are resumed when that is ended, or when this process is:
// what resumes them is a container of its own. They are on record until then. The
// token is empty where the orchestrator asks for none.
func (s survey) halt(ctx context.Context, record *backup.Record, token string, environments []string, report progress.Report) (*stillness, error) {
	if len(environments) == 0 {
		return nil, nil // and what is on record of an earlier one stays
	}
	once, login, err := s.insider("halt", token, environments)
	if err != nil {
		return nil, err
	}
	once.Kept = true
	if err := record.Change(s.deployment.Dir, func(r *backup.Record) { r.Halted = environments }); err != nil {
		return nil, err
	}
	report(progress.Event{ID: "Environments", Text: "Halting", Detail: fmt.Sprintf("%d of them", len(environments)), Status: progress.Working})
	in, out := io.Pipe()
	begun, halted := awaitLine(halt.Halting), awaitLine(halt.Halted)
	still := &stillness{begun: time.Now(), report: report, letGo: func() { out.Close() }, done: make(chan error, 1), said: halted}
	go func() {
		// An interrupt must not leave them halted: it only ends the input.
		result, err := s.engine.StreamOnce(context.WithoutCancel(ctx), once, io.MultiReader(login, in), io.MultiWriter(begun, halted))
		if err == nil && result.ExitCode != 0 {
			err = errors.New(result.Stderr)
		}
		still.done <- err
	}()
	select {
	case <-halted.seen:
		if !begun.at.IsZero() {
			still.begun = begun.at // an older sidecar's binary does not say so
		}
		report(progress.Event{ID: "Environments", Text: "Halted", Status: progress.Working})
		return still, nil
	case err := <-still.done:
		still.done <- err
		if err = still.end(s, record); err == nil {
			err = errors.New("halting the environments ended before they were")
		}
		return nil, err
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), still.end(s, record))
	}
}

// end has the environments resumed, and returns when they are; it may be called again.
// Where nothing was halted there is nothing to do.
func (h *stillness) end(s survey, record *backup.Record) error {
	if h == nil || h.over != 0 {
		return nil
	}
	h.letGo()
	err := <-h.done
	h.over = time.Since(h.begun)
	resumed := err == nil || h.said.has(halt.Resumed)
	if resumed {
		// At once: somebody may halt them for a reason, and the next backup would resume them.
		if failed := record.Change(s.deployment.Dir, func(r *backup.Record) { r.Halted = nil }); failed != nil {
			return errors.Join(err, failed)
		}
	}
	switch {
	case err != nil && resumed:
		return problem.Problem{
			ID: "environments-busy", Where: s.deployment.Dir, What: fmt.Sprintf("environments could not be halted, and are resumed: %v", err),
			Fix: "try again when less is compiled and deployed, or take the backup with --online", Err: err,
		}
	case err != nil:
		return problem.Problem{
			ID: "environments-halted", Where: s.deployment.Dir, What: fmt.Sprintf("environments could not be halted and resumed: %v", err),
			Fix: "see how they are: inmanta-docker status; inmanta-docker up resumes what is left halted", Err: err,
		}
	}
	h.report(progress.Event{ID: "Environments", Text: "Resumed", Detail: fmt.Sprintf("halted for %.1f s", h.over.Seconds()), Status: progress.Done})
	return nil
}

// insider is a container that halts or resumes environments, and what it reads
// first: a token is nothing for its command line.
func (s survey) insider(verb, token string, environments []string) (once engine.Once, login io.Reader, err error) {
	words, login := []string{verb}, io.Reader(strings.NewReader(""))
	if token != "" {
		words, login = append(words, halt.Login), strings.NewReader(token+"\n")
	}
	once, err = s.once(slices.Concat(words, []string{apiInside}, environments)...)
	once.Network, once.Capabilities = s.networkOf(topology.Orchestrator), []string{}
	return once, login, err
}

// resume resumes environments, as those that were halted for a backup.
func (s survey) resume(ctx context.Context, environments []string) error {
	if len(environments) == 0 {
		return nil
	}
	containers, err := readiness.Observe(ctx, s.engine.API(), s.stack.Project.Name)
	if err != nil {
		return err
	}
	token, err := s.askOrchestrator(ctx, containers, &status{}, true)
	if !errors.Is(err, orchestrator.ErrLogin) {
		// One that does not answer yet is asked until it does.
		err = s.resumeWith(ctx, token, environments)
	}
	if err != nil {
		return problem.Problem{
			ID: "environments-halted", Where: s.deployment.Dir, What: fmt.Sprintf("environments that were halted for a backup could not be resumed: %v", err),
			Fix: "once the orchestrator serves, try again, or resume them in its web console", Err: err,
		}
	}
	return nil
}

func (s survey) resumeWith(ctx context.Context, token string, environments []string) error {
	once, login, err := s.insider("resume", token, environments)
	if err != nil {
		return err
	}
	result, err := s.engine.StreamOnce(ctx, once, login, io.Discard)
	if err == nil && result.ExitCode != 0 {
		err = errors.New(result.Stderr)
	}
	return err
}

// resumeCutShort resumes the environments that a backup has left halted, as one does
// that the engine or the machine died under; one that is at work is waited for. The
// deployment serves.
func (a *app) resumeCutShort(ctx context.Context, u *ui.UI, s survey) error {
	record, err := backup.Remembered(s.deployment.Dir)
	if err != nil || len(record.Halted) == 0 {
		return err
	}
	release, err := a.turn(ctx, u)
	if err != nil {
		return err
	}
	defer release()
	if record, err = backup.Remembered(s.deployment.Dir); err != nil {
		return err
	}
	if err := s.endAbandoned(ctx, &record); err != nil || len(record.Halted) == 0 {
		return err
	}
	if err := s.resumeLeft(ctx, &record); err != nil || len(record.Halted) > 0 {
		return err // the latter where what was brought up has no orchestrator
	}
	u.Note(progress.Done, "environments that a backup had left halted are resumed")
	return nil
}
