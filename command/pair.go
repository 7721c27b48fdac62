package command

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"

	"github.com/inmanta/inmanta-docker/engine"
	"github.com/inmanta/inmanta-docker/pair"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/topology"
)

// pairServices are the services of the two databases, the first one first.
var pairServices = []string{topology.Database, topology.Replica}

// hasPair says whether the topology has two databases, or one of two whose other
// is on another machine.
func (s survey) hasPair() bool {
	return slices.ContainsFunc(pairServices, s.hasAgent)
}

// hasAgent says whether a service is one database of a pair.
func (s survey) hasAgent(service string) bool {
	return slices.Equal(s.stack.Project.Services[service].Entrypoint, []string{sidecarPath, "postgres"})
}

// agentPatience is how long an agent may take to say how it is: it answers from
// memory. In a container that hangs, nothing answers.
const agentPatience = 5 * time.Second

// pair asks both databases how they are.
func (s survey) pair(ctx context.Context) (pair.Status, error) {
	containers, err := s.engine.Containers(ctx, s.stack.Project.Name)
	if err != nil {
		return pair.Status{}, err
	}
	nodes := make([]pair.Node, len(pairServices))
	heard := make([]*pair.Said, len(pairServices)) // of the other
	var group sync.WaitGroup
	for i, service := range pairServices {
		nodes[i] = pair.Node{Name: service, ContainerState: pair.Absent}
		if !s.hasAgent(service) {
			nodes[i].ContainerState = pair.Elsewhere
			continue
		}
		for _, c := range containers {
			if c.Service == service {
				group.Go(func() { nodes[i], heard[i] = s.askNode(ctx, c) })
			}
		}
	}
	group.Wait()
	for i := range nodes {
		if said := heard[1-i]; nodes[i].ContainerState == pair.Elsewhere && said != nil {
			nodes[i].Said, nodes[i].Answers = *said, true
		}
	}
	return pair.Judge(nodes), ctx.Err()
}

// askNode asks one of them, and what it has heard of the other.
func (s survey) askNode(ctx context.Context, c engine.Container) (n pair.Node, other *pair.Said) {
	n = pair.Node{Name: c.Service, Container: c.Name, ContainerState: c.State}
	if c.State != "running" {
		return n, nil
	}
	ctx, cancel := context.WithTimeout(ctx, agentPatience)
	defer cancel()
	result, err := s.engine.Exec(ctx, c.ID, []string{sidecarPath, "postgres", "status"}, "")
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		err = errors.New("it does not answer")
	case errdefs.IsConflict(err):
		err = errors.New("its container is only just starting, or stopping")
	case err == nil && result.ExitCode != 0:
		err = errors.New(result.Stderr)
	case err == nil:
		n.Said, other, err = pair.Read(result.Stdout)
	}
	if err != nil {
		n.Error = firstLine(err)
		return n, nil
	}
	n.Answers = true
	return n, other
}

// order has the agent of a node do something, and returns when that is done.
func (s survey) order(ctx context.Context, n pair.Node, words ...string) error {
	result, err := s.engine.Exec(ctx, n.Container, append([]string{sidecarPath, "postgres"}, words...), "")
	if err != nil {
		return err
	}
	if result.ExitCode != 0 {
		return problem.Problem{
			ID: "db-" + words[0] + "-refused", Where: n.Name, What: strings.TrimSpace(result.Stderr), Fix: "see how both are: inmanta-docker db status",
		}
	}
	return nil
}

// How often the databases are asked while they are waited for, and how long one
// of them may be down or refuse before nobody waits for it any more: one that is
// only just started may be either for a moment. One that runs and is silent is
// waited for longer: a machine that starts everything at once answers late.
const (
	pairTick       = 300 * time.Millisecond
	pairPatience   = 15 * time.Second
	silentPatience = time.Minute
)

// awaitPair waits until the pair is as it is to be, and says what both do
// meanwhile. Where ctx ends, it returns the last that was seen with its error.
func (s survey) awaitPair(ctx context.Context, report progress.Report, done func(pair.Status) bool) (pair.Status, error) {
	tick := time.NewTicker(pairTick)
	defer tick.Stop()
	told := map[string]progress.Event{}
	stuck := map[string]time.Time{}
	var last pair.Status
	for {
		now, err := s.pair(ctx)
		if err != nil {
			return last, err
		}
		last = now
		for _, n := range now.Nodes {
			if e := nodeEvent(now, n); told[n.Name] != e {
				told[n.Name] = e
				report(e)
			}
			if n.State != pair.Refusing && (n.Answers || n.ContainerState == pair.Elsewhere) {
				delete(stuck, n.Name)
			} else if stuck[n.Name].IsZero() {
				stuck[n.Name] = time.Now()
			}
		}
		if done(now) {
			return now, nil
		}
		for _, n := range now.Nodes {
			patience := pairPatience
			if n.ContainerState == "running" && !n.Answers {
				patience = silentPatience
			}
			if since := stuck[n.Name]; !since.IsZero() && time.Since(since) > patience {
				return now, stuckNode(n)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return last, ctx.Err()
		}
	}
}

// ready waits until those who need a service can be started, and returns which
// one serves: of two databases, that is the one that acknowledges what is written.
// What both do, and wait for, is told meanwhile.
func (s survey) ready(ctx context.Context, service string, report progress.Report) (serving string, err error) {
	if service != topology.Database || !s.hasPair() {
		return service, s.waitFor(ctx, service, report)
	}
	waiting, enough := context.WithCancel(ctx)
	defer enough()
	var last pair.Status
	var both sync.WaitGroup
	ends := make(chan error, 2) // whichever knows first
	both.Go(func() { ends <- s.waitFor(waiting, service, report) })
	both.Go(func() {
		var err error
		last, err = s.awaitPair(waiting, report, pair.Status.Acknowledges)
		ends <- err
	})
	err = <-ends
	enough()
	both.Wait()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && last.Verdict != "" {
		return "", problem.Problem{ID: "db-not-serving", Where: service, What: "nobody waited for it any more: " + last.Verdict, Fix: last.Fix}
	}
	if last.Acknowledges() {
		service = last.Primary
	}
	return service, err
}

// stuckNode is why nobody waits for a node any more.
func stuckNode(n pair.Node) problem.Problem {
	p := problem.Problem{ID: "db-stuck", Where: n.Name, What: "it is " + n.Doing(), Fix: n.Fix}
	if p.Fix == "" {
		p.Fix = "see what it says: inmanta-docker logs " + n.Name
	}
	return p
}

// nodeEvent is what a node does, for progress.
func nodeEvent(s pair.Status, n pair.Node) progress.Event {
	e := progress.Event{ID: "Database " + n.Name, Text: sentenceCase(n.State), Detail: n.Why, Status: progress.Working}
	switch {
	case !n.Answers && n.ContainerState == pair.Elsewhere:
		e.Text, e.Detail = "Out of sight", pair.StartElsewhere(n.Name)
	case !n.Answers:
		e.Text, e.Detail = "Down", n.Doing()
	case n.State == pair.Copying:
		var percent int
		percent, e.Detail = n.Copied()
		if percent > 0 {
			e.Current, e.Total = int64(percent), 100
		}
	case n.State == pair.Refusing:
		e.Status = progress.Failed
	case s.Durable:
		e.Status, e.Detail = progress.Done, n.Role
	}
	return e
}

func sentenceCase(word string) string {
	if word == "" {
		return ""
	}
	return strings.ToUpper(word[:1]) + word[1:]
}
