// Package readiness waits until a deployment serves, and says why when it does
// not. Serving means: every container of the project runs and passes its health
// check, one-shot services have ended with 0, and the orchestrator's own status
// says that all its parts run and its database is connected.
//
// What is seen (engine events, health checks, the API's answers, lines of logs)
// goes through one pure function, next, into a state; another, judge, says what
// the state means; the rest of the package looks and waits. Nothing is changed
// on the engine, except that health checks are run.
//
// A container that ends is given a second chance where its restart policy gives
// it one; the second exit while everything it needs was ready is the end of the
// wait, and so is the first line of a log from which it is clear that trying
// again will not help: see rules.
package readiness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/orchestrator"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
)

// Engine is what this package needs of the engine's API client. Every call may
// fail at any time, and none is repeated here, except by looking again.
type Engine interface {
	ContainerList(context.Context, client.ContainerListOptions) (client.ContainerListResult, error)
	ContainerInspect(context.Context, string, client.ContainerInspectOptions) (client.ContainerInspectResult, error)
	ContainerLogs(context.Context, string, client.ContainerLogsOptions) (client.ContainerLogsResult, error)
	CopyFromContainer(context.Context, string, client.CopyFromContainerOptions) (client.CopyFromContainerResult, error)
	ExecCreate(context.Context, string, client.ExecCreateOptions) (client.ExecCreateResult, error)
	ExecAttach(context.Context, string, client.ExecAttachOptions) (client.ExecAttachResult, error)
	ExecInspect(context.Context, string, client.ExecInspectOptions) (client.ExecInspectResult, error)
	// Events begins to listen before it returns.
	Events(context.Context, client.EventsListOptions) client.EventsResult
	// Dialer makes a new connection with the engine.
	Dialer() func(context.Context) (net.Conn, error)
	// DaemonHost is where the engine listens: "unix:///var/run/docker.sock".
	DaemonHost() string
}

// Stack is what to wait for.
type Stack struct {
	// Project is Compose's name for it.
	Project string
	// Services are those that must have a container; more containers may be
	// there, and are waited for as well.
	Services []string
	// Orchestrator is the service whose API must serve; empty for none.
	Orchestrator string
	// Apart are services that somebody else waits for: Wait does not, and
	// WaitService does.
	Apart []string
	// Secrets are the values that no report may show. Values that are no
	// secret, such as a default password, do not belong here: every occurrence
	// in any word would be hidden.
	Secrets []string

	only string // the one service that is waited for; empty for all
}

func (s Stack) expected() []string {
	if s.only != "" {
		return []string{s.only}
	}
	return slices.DeleteFunc(slices.Clone(s.Services), func(service string) bool { return slices.Contains(s.Apart, service) })
}

// awaits says whether a service's containers are waited for.
func (s Stack) awaits(service string) bool {
	if s.only != "" {
		return service == s.only
	}
	return !slices.Contains(s.Apart, service)
}

// Result is a stack that serves.
type Result struct {
	// Containers are all of the project's, by name.
	Containers []Container `json:"containers"`
	// API is the orchestrator's; zero when Stack.Orchestrator is empty.
	API API `json:"api,omitzero"`
}

// API is an orchestrator that answered.
type API struct {
	// URL is where it was reached; empty when it was asked from inside its container.
	URL string `json:"url"`
	// Status is what it says of itself; nil when it asks for a login.
	Status *orchestrator.Status `json:"status,omitempty"`
	// Reservation says that it serves, asks for a login, and reports something
	// that nobody can read without one; empty when all is well.
	Reservation string `json:"reservation,omitempty"`
}

// Wait returns as soon as the stack serves. Call it once its containers have
// been started. An engine that goes away is waited for, too. The error is a
// *Report when a container failed or ctx's deadline passed, ctx's own error when
// ctx was cancelled, and else a problem with the engine.
func Wait(ctx context.Context, engine Engine, stack Stack, report progress.Report) (Result, error) {
	w := &watch{engine: engine, report: report}
	return w.run(ctx, state{stack: stack})
}

// WaitService is Wait for one service alone: whoever needs it can be started
// then, without the rest of the wait.
func WaitService(ctx context.Context, engine Engine, stack Stack, service string, report progress.Report) (Result, error) {
	stack.only = service
	return Wait(ctx, engine, stack, report)
}

// Explain is the report on a stack that could not be started: failure is what
// the engine or Compose said.
func Explain(ctx context.Context, engine Engine, stack Stack, failure error) *Report {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), evidenceTimeout)
	defer cancel()
	s := state{stack: stack}
	if containers, err := Observe(ctx, engine, stack.Project); err == nil {
		s = next(s, listed(containers))
	}
	v := judge(s)
	if errors.Is(failure, context.DeadlineExceeded) {
		// The engine refused nothing: nobody waited for it any more.
		return explain(ctx, engine, s, v, latest(s, v), nil, true)
	}
	return explain(ctx, engine, s, v, accused(s, v, failure.Error()), failure, false)
}

// explain collects the evidence against the culprit and writes the report.
func explain(ctx context.Context, engine Engine, s state, v verdict, culprit *standing, failure error, timedOut bool) *Report {
	refusal := ""
	if failure != nil {
		refusal = failure.Error()
	}
	evidence, logs := collect(ctx, engine, s, culprit, refusal)
	r := compile(s, v, culprit, evidence, logs, timedOut)
	r.err = failure
	r.redact(s.stack.Secrets)
	return r
}

// watch is one wait: what looks and what is told.
type watch struct {
	engine Engine
	report progress.Report
	shown  map[string]standing
	// What follows is of one connection with the engine.
	seen  chan observation
	lost  chan error                    // the engine does not answer any more
	tasks map[string]context.CancelFunc // what is being looked at, by call.key
	news  sync.Map                      // by container ID, chan struct{}: its log goes on
	wait  sync.WaitGroup
}

// run waits, on one connection with the engine after the other: an engine that
// is started again brings the containers back that it stopped.
func (w *watch) run(ctx context.Context, s state) (Result, error) {
	for {
		var lost lostEngine
		result, now, err := w.connected(ctx, s)
		if !errors.As(err, &lost) {
			return result, err
		}
		s = now
		if err := w.comeBack(ctx, s.stack.Project, lost.error); err != nil {
			return Result{}, w.failed(ctx, s, err)
		}
	}
}

// connected waits for as long as the engine answers; a lostEngine is the error
// when it does not, and the state then what was seen until then.
func (w *watch) connected(ctx context.Context, s state) (Result, state, error) {
	looking, stop := context.WithCancel(ctx)
	defer w.wait.Wait()
	defer stop()
	w.seen, w.lost, w.tasks = make(chan observation, 64), make(chan error, 1), map[string]context.CancelFunc{}

	// Listen first, then look: what happens in between is not missed.
	w.listen(looking, s.stack.Project)
	containers, err := Observe(looking, w.engine, s.stack.Project)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return Result{}, s, w.failed(ctx, s, ctx.Err())
	default:
		return Result{}, s, lostEngine{err}
	}
	if len(containers) == 0 && len(s.stack.expected()) == 0 {
		return Result{}, s, problem.Problem{
			ID: "no-containers", Where: "project " + s.stack.Project,
			What: "there is nothing to wait for: it has no containers", Fix: "start it: inmanta-docker up",
		}
	}
	s = next(s, listed(containers))
	for {
		v := judge(s)
		w.show(s, v)
		if v.done {
			return result(s), s, nil
		}
		if v.culprit != nil {
			// An engine that is told to end stops its containers first, and the next one starts them again.
			if err := w.reachable(ctx); v.culprit.stopped() && err != nil {
				return Result{}, s, lostEngine{err}
			}
			return Result{}, s, w.explain(ctx, s, v, v.culprit, false)
		}
		w.look(looking, s, v)
		select {
		case o := <-w.seen:
			before := len(s.runs)
			if s = next(s, o); before > 0 && len(s.runs) == 0 {
				return Result{}, s, problem.Problem{
					ID: "removed", Where: "project " + s.stack.Project,
					What: "somebody removed its containers while it was starting", Fix: "if that was a mistake, start it again: inmanta-docker up",
				}
			}
		case err := <-w.lost:
			return Result{}, s, lostEngine{err}
		case <-ctx.Done():
			return Result{}, s, w.failed(ctx, s, ctx.Err())
		}
	}
}

// failed turns an error of the engine's, or the end of ctx, into the wait's own.
func (w *watch) failed(ctx context.Context, s state, err error) error {
	var lost lostEngine
	switch {
	case errors.As(err, &lost) && !errors.Is(ctx.Err(), context.Canceled):
		what := "the container engine stopped answering while the deployment was starting"
		if ctx.Err() != nil {
			what = "the container engine went away while the deployment was starting, and did not come back in time"
		}
		return problem.Problem{
			ID: "engine-lost", Where: w.engine.DaemonHost(), What: fmt.Sprintf("%s (%v)", what, lost.error),
			Fix: "start the engine again, then run: inmanta-docker up; nothing is lost", Err: err,
		}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		v := judge(s)
		return w.explain(ctx, s, v, latest(s, v), true)
	default:
		return ctx.Err()
	}
}

func (w *watch) explain(ctx context.Context, s state, v verdict, culprit *standing, timedOut bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), evidenceTimeout)
	defer cancel()
	return explain(ctx, w.engine, s, v, culprit, nil, timedOut)
}

func result(s state) Result {
	r := Result{API: s.api.api}
	for _, run := range s.sorted() {
		r.Containers = append(r.Containers, run.Container)
	}
	return r
}

// words are how a standing is shown.
func (st standing) status() progress.Status {
	switch {
	case st.ready:
		return progress.Done
	case st.failed:
		return progress.Failed
	default:
		return progress.Working
	}
}

// shows says whether there is nothing to report of a standing that now is other.
// Only of what is at work does the detail count: why others wait changes often.
func (st standing) shows(other standing) bool {
	same := st.word == other.word && st.status() == other.status()
	return same && (!other.oneShot || st.why == other.why && st.current == other.current && st.total == other.total)
}

// show reports what changed since it was last called.
func (w *watch) show(s state, v verdict) {
	shown := map[string]standing{}
	for _, st := range v.standings {
		if v.culprit != nil && v.culprit.ID == st.ID {
			st = *v.culprit
		}
		shown[st.ID] = st
		if before, ok := w.shown[st.ID]; st.ID == "" || ok && before.shows(st) {
			continue
		}
		// The name that Compose gives the same item.
		w.report(progress.Event{
			ID: "Container " + st.Name, Text: st.word, Detail: st.why, Status: st.status(),
			Current: int64(st.current), Total: int64(st.total),
		})
		if st.Service == s.stack.Orchestrator && st.ready {
			detail := s.api.api.URL
			if status := s.api.api.Status; status != nil {
				detail = fmt.Sprintf("%s %s", status.Product, status.Version)
			}
			event := progress.Event{ID: "Orchestrator", Text: "Serving", Detail: detail, Status: progress.Done}
			if s.api.api.Reservation != "" {
				event.Detail, event.Status = s.api.api.Reservation, progress.Warning
			}
			w.report(event)
		}
	}
	w.shown = shown
}

// look starts what the state calls for and stops the rest.
func (w *watch) look(ctx context.Context, s state, v verdict) {
	calls := wanted(s, v)
	wantedKeys := map[string]bool{}
	for _, c := range calls {
		wantedKeys[c.key()] = true
	}
	for key, stop := range w.tasks {
		if !wantedKeys[key] {
			stop()
			delete(w.tasks, key)
		}
	}
	for _, c := range calls {
		if _, running := w.tasks[c.key()]; running {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		w.tasks[c.key()] = cancel
		w.wait.Go(func() { w.observe(ctx, c) })
	}
}

// tell hands over what was seen, unless nobody waits for it any more.
func (w *watch) tell(ctx context.Context, o observation) {
	select {
	case w.seen <- o:
	case <-ctx.Done():
	}
}

// settled is how often an API that serves is asked whether it still does while
// others are waited for.
const settled = time.Second
