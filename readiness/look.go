package readiness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/orchestrator"
)

// call is one thing to look at, for as long as the state calls for it.
type call struct {
	kind callKind
	run  Container
	// since is where to begin in the log.
	since time.Time
	// inside says that the API may be asked from inside the container, too.
	inside bool
}

type callKind string

const (
	toRead  callKind = "read"  // its log
	toCheck callKind = "check" // its health, with its own check
	toAsk   callKind = "ask"   // its API
	toStay  callKind = "stay"  // whether it stays up, where nothing is checked
)

// key tells calls apart: a container that was started again is looked at anew.
func (c call) key() string {
	return fmt.Sprint(c.kind, " ", c.run.ID, " ", c.run.Started.UnixNano(), " ", c.inside, " ", c.run.Health == "unhealthy")
}

// wanted is what to look at in s, judged as v: the health of those that are not
// ready, their logs and those of what they need, and the orchestrator's API, which
// says more than its health check and costs less.
func wanted(s state, v verdict) []call {
	var calls []call
	var first time.Time                                     // when the first of those that are not ready began to speak
	lacking, needed := map[string]bool{}, map[string]bool{} // by ID, by service
	for _, st := range v.standings {
		if st.ready {
			continue
		}
		lacking[st.ID] = true
		for _, n := range st.needs {
			needed[n.service] = true
		}
		if from := st.speaks(); !from.IsZero() && (first.IsZero() || from.Before(first)) {
			first = from
		}
	}
	for _, r := range s.sorted() {
		if r.State != "running" && r.State != "restarting" {
			continue
		}
		switch {
		case lacking[r.ID]:
			calls = append(calls, call{kind: toRead, run: r.Container, since: r.speaks()})
		case needed[r.Service]:
			calls = append(calls, call{kind: toRead, run: r.Container, since: first})
		}
		if r.State != "running" || s.stack.only != "" && r.Service != s.stack.only {
			continue
		}
		switch {
		case s.stack.Orchestrator != "" && r.Service == s.stack.Orchestrator:
			calls = append(calls, call{kind: toAsk, run: r.Container, inside: r.Health == "healthy"})
		case !lacking[r.ID] || s.oneShot(r):
		case r.test != nil:
			calls = append(calls, call{kind: toCheck, run: r.Container})
		case r.Health == "":
			calls = append(calls, call{kind: toStay, run: r.Container})
		}
	}
	return calls
}

// observe does one call until ctx ends or there is nothing more to see.
func (w *watch) observe(ctx context.Context, c call) {
	id, started := c.run.ID, c.run.Started
	switch c.kind {
	case toRead:
		news := w.heard(id)
		follow(ctx, w.engine, c.run, c.since,
			func() {
				select {
				case news <- struct{}{}:
				default:
				}
			},
			func(o observation) { w.tell(ctx, o) })
	case toCheck:
		check(ctx, w.engine, c.run, listening(ctx, c.run), w.heard(id),
			func(passed bool) { w.tell(ctx, tested{id, started, passed}) })
	case toAsk:
		w.keepAsking(ctx, c)
	case toStay:
		// By this machine's clock; where the engine's differs, it is a little more or less.
		select {
		case <-time.After(min(steady-time.Since(started), steady)):
			w.tell(ctx, tested{id, started, true})
		case <-ctx.Done():
		}
	}
}

// steady is how long a container must have been up that nothing checks: there is
// nothing else to tell one that works from one that is about to end.
const steady = time.Second

// heard is the channel on which a container's log says that it goes on.
func (w *watch) heard(id string) chan struct{} {
	made, _ := w.news.LoadOrStore(id, make(chan struct{}, 1))
	return made.(chan struct{})
}

// keepAsking asks the API until ctx ends.
func (w *watch) keepAsking(ctx context.Context, c call) {
	var clients []*orchestrator.Client
	urls := routes(c.run, w.engine.DaemonHost())
	for _, base := range urls {
		clients = append(clients, orchestrator.New(base, nil))
	}
	if c.inside || len(clients) == 0 {
		clients, urls = append(clients, inside(w.engine, c.run)), append(urls, "")
	}
	defer func() {
		for _, client := range clients {
			client.Close()
		}
	}()
	var reserved time.Time // since when it has answered with a reservation only
	for ctx.Err() == nil {
		began := time.Now()
		a := c.ask(ctx, clients, urls)
		if better := slices.Index(urls, a.api.URL); a.serving && better > 0 {
			// It may have begun to serve since those before were asked: they are the ones to use.
			if again := c.ask(ctx, clients[:better], urls); again.serving {
				a = again
			}
		}
		switch {
		case a.api.Reservation == "":
			reserved = time.Time{}
		case reserved.IsZero():
			reserved = began
		}
		a = a.settle(began.Sub(reserved), began.Sub(c.run.Started))
		w.tell(ctx, a)
		gap := tight
		switch {
		case a.serving:
			gap = settled
		case a.api.Reservation != "":
			gap = 10 * tight // it is waited for a while, and asked meanwhile
		case urls[len(urls)-1] == "":
			gap = pause(time.Since(began), false)
		}
		select {
		case <-ctx.Done():
		case <-time.After(gap):
		}
	}
}

// ask asks by each way until somebody answers.
func (c call) ask(ctx context.Context, clients []*orchestrator.Client, urls []string) answered {
	a := answered{id: c.run.ID, started: c.run.Started}
	for i, client := range clients {
		a.serving, a.why, a.api = question(ctx, client)
		a.api.URL = urls[i]
		if a.serving || a.why != silent {
			break
		}
	}
	return a
}

// silent is why an API does not serve that nobody has heard from.
const silent = "does not answer on its API yet"

// question asks the API once whether it serves. An orchestrator that shows its
// status only to those who log in is asked for its verdict, which is stricter:
// no warning may stand.
func question(ctx context.Context, orch *orchestrator.Client) (serving bool, why string, api API) {
	answer, err := orch.Status(ctx)
	switch {
	case err == nil:
		serving, why = orchestrator.Serving(answer)
		if !serving {
			why = "answers, and is not all there: " + why
		}
		return serving, why, API{Status: &answer}
	case errors.Is(err, orchestrator.ErrLogin):
		healthy, err := orch.Healthy(ctx)
		if healthy {
			return true, "", API{}
		}
		if err != nil {
			return false, fmt.Sprintf("asks for a login, and for the rest: %v", err), API{}
		}
		return false, reservation, API{Reservation: reservation}
	case errors.Is(err, orchestrator.ErrTimeout):
		return false, "takes connections on its API and does not answer in time", API{}
	case errors.Is(err, orchestrator.ErrNotOrchestrator), errors.Is(err, orchestrator.ErrServer):
		return false, fmt.Sprintf("does not answer as it should: %v", err), API{}
	default:
		return false, silent, API{}
	}
}

// reservation is all that is known of what an orchestrator reports only to those
// who log in: its verdict does not tell a warning from an error.
const reservation = "asks for a login, and reports a warning or an error to those who have one"

const (
	// standingFor is how long it has to have that reservation to serve all the same.
	// It begins to answer once all its parts have started, and one that loses its
	// database ends itself within 5 s: what is left by then is a warning, such as
	// of a licence that ends soon, which would stand in the way for good.
	standingFor = 10 * time.Second
	// grown is how long it has to run for that to have been so before anybody asked.
	grown = time.Minute
)

// settle has an orchestrator serve whose reservation has stood for long enough;
// age is for how long it has run.
func (a answered) settle(stood, age time.Duration) answered {
	if a.api.Reservation != "" && (stood >= standingFor || age >= grown) {
		a.serving, a.why = true, ""
	}
	return a
}

// listen subscribes to what happens to the project's containers, from before it
// returns on. What the engine still remembers comes first: the subscription
// begins a moment after the engine says that it has.
func (w *watch) listen(ctx context.Context, project string) {
	stream := w.engine.Events(ctx, client.EventsListOptions{
		Since: "1",
		Filters: make(client.Filters).
			Add("type", string(events.ContainerEventType)).
			Add("label", projectLabel+"="+project, oneoffLabel+"=False").
			Add("event", "create", "start", "restart", "die", "stop", "pause", "unpause", "oom", "destroy", "rename", "health_status"),
	})
	w.wait.Go(func() {
		for {
			var batch []events.Message
			select {
			case message := <-stream.Messages:
				batch = append(batch, message)
			case err := <-stream.Err:
				if ctx.Err() == nil {
					w.lost <- fmt.Errorf("watching the engine's events: %w", err)
				}
				return
			}
			for more := true; more; { // looking once is enough for all of them
				select {
				case message := <-stream.Messages:
					batch = append(batch, message)
				default:
					more = false
				}
			}
			if err := w.digest(ctx, batch); err != nil {
				if ctx.Err() == nil {
					w.lost <- err
				}
				return
			}
		}
	})
}

// digest tells what the events mean, and looks at each container they are about.
func (w *watch) digest(ctx context.Context, batch []events.Message) error {
	var order []string
	about := map[string]bool{}
	for _, m := range batch {
		if !about[m.Actor.ID] {
			about[m.Actor.ID] = true
			order = append(order, m.Actor.ID)
		}
		if m.Action == events.ActionDie {
			var code int
			if _, err := fmt.Sscan(m.Actor.Attributes["exitCode"], &code); err == nil {
				w.tell(ctx, exited{m.Actor.ID, code})
			}
		}
	}
	for _, id := range order {
		c, err := inspect(ctx, w.engine, id)
		switch {
		case errors.Is(err, errGone):
			w.tell(ctx, gone{id})
		case err != nil:
			return err
		default:
			w.tell(ctx, changed(c))
		}
	}
	return nil
}

// latest is the container that a wait whose time is up was waiting for in the
// end; nil when there is none.
func latest(s state, v verdict) *standing {
	if v.culprit != nil {
		return v.culprit
	}
	for _, st := range v.standings {
		if !st.ready && st.ID != "" {
			root := s.root(st, map[string]bool{})
			return &root
		}
	}
	return nil
}

// accused is the container that a refusal is about: one that failed, or else one
// that is not ready and that the refusal names; nil when there is none.
func accused(s state, v verdict, refusal string) *standing {
	if v.culprit != nil {
		return v.culprit
	}
	for _, st := range v.standings {
		if st.failed {
			root := s.root(st, map[string]bool{})
			return &root
		}
	}
	for _, st := range v.standings {
		if !st.ready && st.ID != "" && strings.Contains(refusal, st.Name) {
			root := s.root(st, map[string]bool{})
			return &root
		}
	}
	return nil
}
