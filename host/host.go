// Package host is the machine a deployment runs on: it sees to it that a
// container engine answers there. An engine that answers is left alone, and so
// is one somewhere else; else, as root on Debian or Ubuntu, it installs the
// distribution's own and starts it, also where an earlier daemon was killed
// and left files behind that keep the next one from starting.
//
// look gathers facts, decide says what to do next from nothing but those, and
// the steps are taken one by one until the engine answers or nothing more may
// be done.
package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	flock "github.com/inmanta/inmanta-docker/lock"
	"github.com/inmanta/inmanta-docker/progress"
)

// Ensure returns the engine that answers at the endpoint, after making it
// answer if need be; where one answers at once, nothing is reported. It is
// idempotent, and safe to run from several processes at once. The error is a
// problem.Problem where a person has to act; that of a daemon or an
// installation that failed wraps Output. A daemon that was started outlives
// this process, also when ctx ends first.
func Ensure(ctx context.Context, endpoint Endpoint, daemon Daemon, report progress.Report) (Engine, error) {
	return machine{endpoint: endpoint, daemon: daemon, report: report, limit: startLimit}.ensure(ctx)
}

// startLimit is how long a daemon may take to answer. One that has many
// containers to bring back, on a slow disk, takes minutes.
const startLimit = 3 * time.Minute

// machine is where steps are taken.
type machine struct {
	endpoint Endpoint
	daemon   Daemon
	report   progress.Report
	// limit is how long a daemon may take to answer.
	limit time.Duration
}

// say tells a detail of the work at hand.
type say func(detail string)

func (m machine) ensure(ctx context.Context) (Engine, error) {
	var attempts []attempt
	engine := func(status progress.Status, text string) say {
		return func(detail string) {
			m.report(progress.Event{ID: "engine", Text: text, Detail: detail, Status: status})
		}
	}
	for locked := false; ; locked = true {
		facts, err := look(ctx, m.endpoint, m.daemon)
		if err != nil {
			return Engine{}, err
		}
		facts.attempts = attempts
		steps, err := decide(facts)
		if err != nil {
			return Engine{}, err
		}
		if len(steps) == 0 {
			if locked {
				engine(progress.Done, "Ready")("")
			}
			return facts.answer.engine, nil
		}
		if !locked {
			engine(progress.Working, "Missing")(fmt.Sprintf("%s: %s", m.endpoint, facts.answer.reply))
			release, err := lock(ctx, filepath.Dir(m.daemon.PidFile), engine(progress.Working, "Waiting"))
			if err != nil {
				return Engine{}, err
			}
			defer release()
			// Another run may have changed everything while this one
			// waited: look again.
			continue
		}
		for _, step := range steps {
			err := m.take(ctx, step)
			if ctx.Err() != nil {
				return Engine{}, context.Cause(ctx)
			}
			attempts = append(attempts, attempt{step, err})
			if err != nil {
				break
			}
		}
	}
}

// take does one step and reports it. It decides nothing: what an error means
// is for decide.
func (m machine) take(ctx context.Context, step step) error {
	words := step.words()
	event := progress.Event{ID: words.subject, Text: words.doing, Detail: words.why, Status: progress.Working}
	m.report(event)
	err := m.do(ctx, step, func(detail string) {
		event := event
		event.Detail = detail
		m.report(event)
	})
	event.Text, event.Status = words.done, progress.Done
	if err != nil {
		// It may yet be tried another way: only the end is a failure, and
		// its error says why.
		event.Text, event.Detail, event.Status = "Failed", "", progress.Warning
	}
	m.report(event)
	return err
}

func (m machine) do(ctx context.Context, step step, say say) error {
	switch step := step.(type) {
	case updateLists:
		return fetchLists(ctx, say)
	case installEngine:
		return install(ctx, say)
	case removeFile:
		if err := os.Remove(step.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing a stale file: %w", err)
		}
		return nil
	case stopOrphan:
		return stop(ctx, step.process)
	case startUnit:
		return m.startUnit(ctx, say)
	case startDaemon:
		return m.startDaemon(ctx, step.program, say)
	case awaitDaemon:
		return m.awaitDaemon(ctx, step.process, say)
	}
	panic(fmt.Sprintf("host: no way to take step %T", step))
}

// lock keeps other runs on this machine from changing the engine meanwhile. It
// locks the directory of the pid file itself, so that it leaves no file.
func lock(ctx context.Context, directory string, say say) (release func(), err error) {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return nil, err
	}
	return flock.Take(ctx, directory, func() { say("another run is looking after the engine of this machine") })
}

// blocking runs what cannot be interrupted, and stops waiting for it when ctx ends.
func blocking(ctx context.Context, work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
