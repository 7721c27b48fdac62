package readiness

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/inmanta/inmanta-docker/problem"
)

// Report is why a stack does not serve: which container is the cause, what it
// said, what waits for it and what to do. It is the error that Wait returns,
// plain data for package ui to show, and the same object in JSON.
type Report struct {
	Project string `json:"project"`
	// What is one sentence.
	What string `json:"what"`
	// Cause is the likely cause; its ID is "unknown" when none is known.
	Cause Cause `json:"cause"`
	// Culprit is the container that keeps the others from serving; nil when the
	// engine refused before there was one.
	Culprit *Culprit `json:"culprit,omitempty"`
	// Blocked are those that wait for the culprit, directly or not.
	Blocked []Waiting `json:"blocked"`
	// Waiting are all others that are not ready.
	Waiting []Waiting `json:"waiting"`
	// Engine is what the engine or Compose refused with; empty when it did not.
	Engine string `json:"engine,omitempty"`
	// TimedOut says that nothing failed for good: the time was up.
	TimedOut bool `json:"timed_out"`
	// Next are commands that tell more or try again, most useful first.
	Next []string `json:"next"`

	err error
}

// Culprit is one container with the evidence against it.
type Culprit struct {
	Container
	// Why is a clause: "exited 2 times, last with 1, and is started again each time".
	Why string `json:"why"`
	// Logs are the ends of its logs, of its last run where that can be told.
	Logs []Log `json:"logs"`
}

// Log is the end of one log.
type Log struct {
	// Source says where it is from: "docker logs inmanta-db", or a file in the container.
	Source string   `json:"source"`
	Lines  []string `json:"lines"`
}

// Waiting is one container that is not ready.
type Waiting struct {
	// Name is the container's, or the service's while it has none.
	Name    string `json:"name"`
	Service string `json:"service"`
	State   string `json:"state,omitempty"`
	// Why is a clause: "is not healthy yet".
	Why string `json:"why"`
}

// Error is the one sentence.
func (r *Report) Error() string { return r.What }

// Unwrap gives the report as a problem, and the error behind it where there is one.
func (r *Report) Unwrap() []error {
	if r.err == nil {
		return []error{r.Problem()}
	}
	return []error{r.Problem(), r.err}
}

// Problem is the report's summary.
func (r *Report) Problem() problem.Problem {
	p := problem.Problem{ID: r.Cause.ID, What: r.What, Fix: r.Cause.Fix}
	if p.ID == unknown {
		p.ID = "not-serving"
	}
	if p.Fix == "" && len(r.Next) > 0 {
		p.Fix = "look closer: " + r.Next[0]
	}
	return p
}

// compile writes the report on v. evidence and logs are those of the culprit.
func compile(s state, v verdict, culprit *standing, evidence Evidence, logs []Log, timedOut bool) *Report {
	r := &Report{
		Project: s.stack.Project, Engine: evidence.Engine, TimedOut: timedOut,
		Blocked: []Waiting{}, Waiting: []Waiting{},
		Cause: Diagnose(evidence),
	}
	// What ended the wait says more than what else is in the logs.
	if v.cause.ID != "" {
		r.Cause = v.cause.Cause
	}
	for _, st := range v.standings {
		if st.ready || culprit != nil && st.ID == culprit.ID {
			continue
		}
		w := Waiting{Name: st.Name, Service: st.Service, State: st.State, Why: st.why}
		if culprit != nil && s.reaches(st.Service, culprit.Service, nil) {
			r.Blocked = append(r.Blocked, w)
		} else {
			r.Waiting = append(r.Waiting, w)
		}
	}
	switch {
	case culprit != nil:
		r.Culprit = &Culprit{Container: culprit.Container, Why: culprit.why, Logs: append([]Log{}, logs...)}
		r.What = summary(*culprit, r.Cause)
		if timedOut && r.Cause.ID == unknown {
			r.What = fmt.Sprintf("the time is up: %s %s", culprit.Name, culprit.why)
		}
	case r.Cause.ID != unknown:
		r.What = "the deployment could not be started: " + r.Cause.What
	case timedOut:
		r.What = "the time was up before everything was started"
	case evidence.Engine != "":
		r.What = "the deployment could not be started: " + evidence.Engine
	default:
		r.What = "the deployment does not serve"
	}
	r.Next = commands(r)
	return r
}

// reaches says whether service waits for other, directly or not.
func (s state) reaches(service, other string, visited []string) bool {
	for _, r := range s.runs {
		if r.Service != service {
			continue
		}
		for _, n := range r.needs {
			if n.service == other ||
				!slices.Contains(visited, n.service) && s.reaches(n.service, other, append(visited, n.service)) {
				return true
			}
		}
	}
	return false
}

// commands are what to type next.
func commands(r *Report) []string {
	var list []string
	if r.Culprit != nil {
		if r.Culprit.State == "paused" {
			list = append(list, "docker unpause "+r.Culprit.Name)
		}
		list = append(list, "inmanta-docker logs "+r.Culprit.Service)
		if r.Culprit.State == "running" && r.Culprit.logFile != "" {
			list = append(list, fmt.Sprintf("inmanta-docker exec %s tail -n 100 %s", r.Culprit.Service, r.Culprit.logFile))
		}
	}
	return append(list, "inmanta-docker up")
}

// hidden stands where a secret was.
const hidden = "********"

// redact puts asterisks in place of every secret, however it was quoted.
func (r *Report) redact(secrets []string) {
	hide := hider(secrets)
	lines := func(all []string) {
		for i := range all {
			all[i] = hide(all[i])
		}
	}
	r.What, r.Engine = hide(r.What), hide(r.Engine)
	r.Cause.What, r.Cause.Fix, r.Cause.Line = hide(r.Cause.What), hide(r.Cause.Fix), hide(r.Cause.Line)
	for _, list := range [][]Waiting{r.Blocked, r.Waiting} {
		for i := range list {
			list[i].Why = hide(list[i].Why)
		}
	}
	if c := r.Culprit; c != nil {
		c.Why, c.Error = hide(c.Why), hide(c.Error)
		c.Probes = slices.Clone(c.Probes)
		for i := range c.Probes {
			c.Probes[i].Output = hide(c.Probes[i].Output)
		}
		for _, l := range c.Logs {
			lines(l.Lines)
		}
	}
}

// shortest is the shortest secret that is hidden, in bytes: hiding less would
// tear up every other word and hide nothing.
const shortest = 4

// hider replaces secrets, their lines and their quoted forms.
func hider(secrets []string) func(string) string {
	var forms []string
	add := func(form string) {
		if len(form) >= shortest && !slices.Contains(forms, form) {
			forms = append(forms, form)
		}
	}
	for _, secret := range secrets {
		for line := range strings.Lines(secret) {
			line = strings.TrimRight(line, "\r\n")
			quoted := fmt.Sprintf("%q", line)
			for _, form := range []string{
				line, url.QueryEscape(line), url.PathEscape(line), quoted[1 : len(quoted)-1],
				strings.ReplaceAll(line, "'", `\'`), strings.ReplaceAll(line, "'", "''"),
			} {
				add(form)
			}
		}
	}
	// The longest first: one may hold another.
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(forms))
	for _, form := range forms {
		pairs = append(pairs, form, hidden)
	}
	return strings.NewReplacer(pairs...).Replace
}
