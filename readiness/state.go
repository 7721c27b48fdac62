package readiness

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// state is what has been seen of the stack so far. It is a value: next makes a
// new one of it and of what was seen last, and nothing else changes it.
type state struct {
	stack Stack
	// runs are the containers by ID, each with what was learnt of its present run.
	runs map[string]run
	// api is what the orchestrator last answered.
	api answered
}

// run is one container, and what was learnt since it was last started.
type run struct {
	Container
	// passed says that its own health check passed when it was run from here, or
	// that it stayed up where there is none.
	passed bool
	// refuted says that it was tried from here after the engine called it
	// unhealthy, and did not serve.
	refuted bool
	// held counts the exits held against it: those while all it needs was ready.
	held int
	// exits is the exit code of the last run that ended, nil when none did.
	exits *int
	// said is what its log told of the present run.
	said []finding
	// step is what a one-shot container's log says that it is at; zero for nothing.
	step step
}

// step is what a one-shot container is at, for progress.
type step struct {
	word, detail   string
	current, total int
}

// finding is a line of a log from which a cause is known.
type finding struct {
	Cause
	at   time.Time
	line string
}

// observation is one thing that was seen: the types below.
type observation interface{ observation() }

type (
	// listed is every container of the project.
	listed []Container
	// changed is one of them, as it is now.
	changed Container
	// gone is one that was removed.
	gone struct{ id string }
	// exited is a run that ended.
	exited struct {
		id   string
		code int
	}
	// tested is a health check that was run from here, or what stands in for it.
	tested struct {
		id      string
		started time.Time
		passed  bool
	}
	// told is a line in a container's log.
	told struct {
		id      string
		started time.Time
		finding finding
	}
	// stepped is a line in which a one-shot container says what it is at.
	stepped struct {
		id      string
		started time.Time
		step    step
	}
	// answered is what the orchestrator's API said, or why it did not.
	answered struct {
		id      string
		started time.Time
		serving bool
		why     string
		api     API
	}
)

func (listed) observation()   {}
func (changed) observation()  {}
func (gone) observation()     {}
func (exited) observation()   {}
func (tested) observation()   {}
func (told) observation()     {}
func (stepped) observation()  {}
func (answered) observation() {}

// patience is how many exits are held against a container before it is given up.
// One may be bad luck, such as a database that went away at that moment.
const patience = 2

// next is the state after o. A container's exit is held against it only when
// everything it waits for was ready at that time.
func next(s state, o observation) state {
	s.runs = maps.Clone(s.runs)
	if s.runs == nil {
		s.runs = map[string]run{}
	}
	switch o := o.(type) {
	case listed:
		present := map[string]bool{}
		for _, c := range o {
			present[c.ID] = true
		}
		maps.DeleteFunc(s.runs, func(id string, _ run) bool { return !present[id] })
		// All of them first: whether one is to blame depends on the others.
		first := map[string]bool{}
		for _, c := range o {
			if _, known := s.runs[c.ID]; !known {
				first[c.ID] = true
				s.runs[c.ID] = run{Container: c}
			}
		}
		for _, c := range o {
			s.runs[c.ID] = s.update(c, first[c.ID])
		}
	case changed:
		_, known := s.runs[o.ID]
		s.runs[o.ID] = s.update(Container(o), !known)
	case gone:
		delete(s.runs, o.id)
	case exited:
		if r, ok := s.runs[o.id]; ok {
			r.exits = &o.code
			s.runs[o.id] = r
		}
	case tested:
		if r, ok := s.runs[o.id]; ok && r.Started.Equal(o.started) {
			r.passed = o.passed
			r.refuted = !o.passed && r.Health == "unhealthy"
			s.runs[o.id] = r
		}
	case told:
		if r, ok := s.runs[o.id]; ok && r.Started.Equal(o.started) {
			r.said = append(slices.Clone(r.said), o.finding)
			s.runs[o.id] = r
		}
	case stepped:
		if r, ok := s.runs[o.id]; ok && r.Started.Equal(o.started) {
			r.step = o.step
			s.runs[o.id] = r
		}
	case answered:
		if r, ok := s.runs[o.id]; ok && r.Started.Equal(o.started) {
			r.refuted = !o.serving && r.Health == "unhealthy"
			s.runs[o.id] = r
			s.api = o
		}
	}
	return s
}

// update is the run of c as it is now.
func (s state) update(c Container, first bool) run {
	before := s.runs[c.ID]
	r := run{Container: c, held: before.held, exits: before.exits}
	if before.Started.Equal(c.Started) {
		r.passed, r.refuted, r.said, r.step = before.passed, before.refuted, before.said, before.step
	}
	switch {
	case r.Health == "healthy":
		r.refuted = false
	case r.Health == "unhealthy" && before.Health != "unhealthy":
		r.passed = false // that was then
	}
	ended := c.Restarts - before.Restarts
	if first {
		// What it did before anybody looked is its own business, unless it is at it.
		ended = 0
		if c.State == "restarting" {
			ended = 1
		}
	}
	if ended > 0 && len(s.missing(c)) == 0 {
		r.held += ended
	}
	if c.State == "restarting" || c.State == "exited" {
		code := c.ExitCode
		r.exits = &code
	}
	return r
}

// sorted are the runs by name.
func (s state) sorted() []run {
	return slices.SortedFunc(maps.Values(s.runs), func(a, b run) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
}

// awaited are the runs that are waited for, by name.
func (s state) awaited() []run {
	var list []run
	for _, r := range s.sorted() {
		if s.stack.awaits(r.Service) {
			list = append(list, r)
		}
	}
	return list
}

// standing is how one container, or one service without any, stands.
type standing struct {
	Container
	// word is for progress: Waiting, Healthy, Running, Exited, Restarting, Error.
	word string
	// ready containers need nothing more; failed ones will not get there.
	ready, failed bool
	// why is a clause that says what it lacks; empty when ready. Of a one-shot
	// container at work it is the detail of its step.
	why string
	// current and total count the tests, or whatever else its step is made of.
	current, total int
}

// stopped says that somebody stopped the container, which the engine would
// otherwise have started again.
func (st standing) stopped() bool { return st.State == "exited" && st.restarted && st.Error == "" }

// stand judges one run on its own.
func (s state) stand(r run) standing {
	st := standing{Container: r.Container, word: "Waiting"}
	ready := func(word string) standing { st.word, st.ready = word, true; return st }
	waiting := func(why string) standing { st.why = why; return st }
	failed := func(why string) standing { st.word, st.failed, st.why = "Error", true, why; return st }

	oneShot := s.oneShot(r)
	for _, f := range r.said {
		if f.hopeless && !f.client && !r.passed && r.Health != "healthy" {
			return failed(f.What)
		}
	}
	switch r.State {
	case "created":
		if r.Error != "" {
			return failed("could not be started: " + r.Error)
		}
		return waiting("is not started yet")
	case "paused":
		return failed("is paused")
	case "dead":
		return failed("could not be removed by the engine")
	case "removing":
		return waiting("is being removed")
	case "exited":
		switch {
		case oneShot && r.ExitCode == 0 && r.Error == "":
			return ready("Exited")
		case r.Error != "":
			return failed("could not be started: " + r.Error)
		case r.restarted:
			// Left alone, the engine would have started it again.
			return failed(fmt.Sprintf("was stopped (it exited with %d)", r.ExitCode))
		default:
			return failed(fmt.Sprintf("exited with %d", r.ExitCode))
		}
	}
	switch {
	case r.held >= patience && !oneShot:
		return failed(fmt.Sprintf("exited %d times%s and is started again each time", r.held, code(r.exits)))
	case r.State == "restarting":
		st.word = "Restarting"
		return waiting("is started again" + after(r.exits))
	case oneShot && r.step.word != "":
		st.word, st.current, st.total = r.step.word, r.step.current, r.step.total
		return waiting(r.step.detail)
	case oneShot:
		return waiting("is at work")
	case r.Service == s.stack.Orchestrator && s.stack.Orchestrator != "":
		switch {
		case s.api.id == r.ID && s.api.started.Equal(r.Started) && s.api.serving:
			return ready("Healthy")
		case r.refuted:
			return failed("is unhealthy: " + s.api.why)
		case s.api.id == r.ID && s.api.why != "":
			return waiting(s.api.why)
		default:
			return waiting("has not been asked yet")
		}
	case r.test == nil && r.Health == "" && r.passed:
		return ready("Running")
	case r.test == nil && r.Health == "":
		return waiting("has only just been started")
	case r.Health == "healthy" || r.passed:
		return ready("Healthy")
	case r.refuted:
		return failed("is unhealthy")
	default:
		return waiting("is not healthy yet")
	}
}

func code(exit *int) string {
	if exit == nil {
		return ""
	}
	return fmt.Sprintf(", last with %d,", *exit)
}

func after(exit *int) string {
	if exit == nil {
		return ""
	}
	return fmt.Sprintf(" after it exited with %d", *exit)
}

// missing are the services that c waits for and that are not ready.
func (s state) missing(c Container) []string {
	var services []string
	for _, n := range c.needs {
		ready := true
		for _, r := range s.runs {
			if r.Service == n.service {
				ready = ready && s.stand(r).ready
			}
		}
		if !ready {
			services = append(services, n.service)
		}
	}
	return services
}

// oneShot says whether r ends when its work is done: see OneShotLabel.
func (s state) oneShot(r run) bool {
	if r.oneShot || r.restarted {
		return r.oneShot
	}
	for _, other := range s.runs {
		if slices.Contains(other.needs, need{r.Service, completed}) {
			return true
		}
	}
	return false
}

// verdict is what the state means.
type verdict struct {
	standings []standing
	// done says that the stack serves.
	done bool
	// culprit is the container that keeps it from serving for good; nil when
	// none does or all may still come right.
	culprit *standing
	// cause is what is known of it from the logs so far; zero for nothing.
	cause finding
}

// judge says what s means. Where a container failed and something it waits for
// is not ready, that one decides.
func judge(s state) verdict {
	var v verdict
	present := map[string]bool{}
	v.done = true
	for _, r := range s.awaited() {
		st := s.stand(r)
		v.standings = append(v.standings, st)
		v.done = v.done && st.ready
		present[r.Service] = true
	}
	for _, service := range s.stack.expected() {
		if !present[service] {
			v.standings = append(v.standings, standing{
				Container: Container{Name: service, Service: service}, word: "Waiting", why: "has no container yet",
			})
			v.done = false
		}
	}
	v.done = v.done && len(v.standings) > 0
	if v.done {
		return v
	}
	for _, st := range v.standings {
		if root := s.root(st, map[string]bool{}); st.failed && root.failed {
			v.culprit, v.cause = &root, s.cause(root.ID)
			return v
		}
	}
	if st, f, found := s.refusal(v.standings); found {
		st.failed, st.word, st.why = true, "Error", f.What
		v.culprit, v.cause = &st, f
	}
	return v
}

// root is the container that st waits for in the end: itself when all it needs
// is ready, and when it waits for nobody, such as when the engine could not start it.
func (s state) root(st standing, visited map[string]bool) standing {
	visited[st.ID] = true
	// Of what one service alone needs nobody knows whether it serves; and when that
	// one has ended, the engine will not start it again.
	if st.failed && (st.Error != "" || s.stack.only == st.Service && st.State == "exited") {
		return st
	}
	for _, service := range s.missing(st.Container) {
		var waiting *standing
		for _, r := range s.sorted() {
			if r.Service != service || visited[r.ID] {
				continue
			}
			other := s.stand(r)
			if other.failed {
				return s.root(other, visited)
			}
			if !other.ready && waiting == nil {
				waiting = &other
			}
		}
		if waiting != nil {
			return s.root(*waiting, visited)
		}
	}
	return st
}

// cause is what the container's own log told last.
func (s state) cause(id string) finding {
	said := s.runs[id].said
	for i := len(said) - 1; i >= 0; i-- {
		if !said[i].client {
			return said[i]
		}
	}
	return finding{}
}

// refusal is a container that is not ready while one that it waits for refuses
// it, in a line written since it was started, in a way that will not change.
func (s state) refusal(standings []standing) (standing, finding, bool) {
	for _, st := range standings {
		if st.ready || st.State != "running" {
			continue
		}
		for _, n := range st.needs {
			for _, r := range s.sorted() {
				if r.Service != n.service {
					continue
				}
				for _, f := range r.said {
					if f.client && f.hopeless && !f.at.Before(st.Started) {
						return st, f, true
					}
				}
			}
		}
	}
	return standing{}, finding{}, false
}

// Done are the one-shot containers among a project's that have done their work,
// by ID: see OneShotLabel. That they do not run is as it should be.
func Done(containers []Container) map[string]bool {
	s := next(state{}, listed(containers))
	done := map[string]bool{}
	for _, r := range s.runs {
		done[r.ID] = r.State == "exited" && s.stand(r).ready
	}
	return done
}
