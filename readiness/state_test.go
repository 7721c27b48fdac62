package readiness

import (
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// up is a running container; change alters it.
func up(service string, change ...func(*Container)) Container {
	c := Container{ID: service, Name: "x-" + service, Service: service, State: "running", Started: start}
	for _, f := range change {
		f(&c)
	}
	return c
}

func checked(c *Container)   { c.test, c.Health = []string{"true"}, "starting" }
func healthy(c *Container)   { c.test, c.Health = []string{"true"}, "healthy" }
func unhealthy(c *Container) { c.test, c.Health = []string{"true"}, "unhealthy" }
func kept(c *Container)      { c.restarted = true }
func once(c *Container)      { c.oneShot = true }

func needing(service, condition string) func(*Container) {
	return func(c *Container) { c.needs = append(c.needs, need{service, condition}) }
}

func ended(state string, code int) func(*Container) {
	return func(c *Container) { c.State, c.ExitCode = state, code }
}

// again is the run after n restarts.
func again(n int) func(*Container) {
	return func(c *Container) { c.Restarts, c.Started = n, begun(n) }
}

func begun(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }

func refusedStart(c *Container) { c.State, c.Error = "created", "port is already allocated" }

func serving(id string) answered {
	return answered{id: id, started: start, serving: true}
}

func overheard(id, line string, at time.Time) told {
	c, ok := overhear(line)
	if !ok {
		panic(line)
	}
	return told{id, start, finding{c, at, line}}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	const (
		refusal = `FATAL:  password authentication failed for user "inmanta"`
		version = "was initialized by PostgreSQL version 15, which is not compatible with this version 17"
	)
	stack := Stack{Orchestrator: "server"}
	server := func(change ...func(*Container)) Container {
		return up("server", append([]func(*Container){kept, checked, needing("db", "service_healthy")}, change...)...)
	}
	tests := []struct {
		name  string
		stack Stack
		seen  []observation
		// want is "done", "waiting", or the culprit and a part of why.
		want string
	}{
		{"nothing", Stack{}, nil, "waiting"},
		{"a service without a container", Stack{Services: []string{"db"}}, []observation{listed{}}, "waiting"},
		{"healthy already", Stack{}, []observation{listed{up("db", healthy)}}, "done"},
		{"healthy in the engine's eyes", Stack{}, []observation{listed{up("db", checked)}, changed(up("db", healthy))}, "done"},
		{"healthy in ours", Stack{}, []observation{listed{up("db", checked)}, tested{"db", start, true}}, "done"},
		{"not healthy in ours", Stack{}, []observation{listed{up("db", checked)}, tested{"db", start, false}}, "waiting"},
		{"a check of an earlier run", Stack{}, []observation{listed{up("db", checked, again(1))}, tested{"db", start, true}}, "waiting"},
		{"started again after it passed", Stack{},
			[]observation{listed{up("db", checked)}, tested{"db", start, true}, changed(up("db", checked, again(1)))}, "waiting"},
		{"unhealthy, and still to be tried", Stack{}, []observation{listed{up("db", unhealthy)}}, "waiting"},
		{"unhealthy, and tried", Stack{}, []observation{listed{up("db", unhealthy)}, tested{"db", start, false}}, "db is unhealthy"},
		{"unhealthy, and comes back", Stack{}, []observation{listed{up("db", unhealthy)}, tested{"db", start, true}}, "done"},
		{"unhealthy after it passed", Stack{},
			[]observation{listed{up("db", checked)}, tested{"db", start, true}, changed(up("db", unhealthy))}, "waiting"},
		{"nothing to check, just started", Stack{}, []observation{listed{up("x")}}, "waiting"},
		{"nothing to check, still up", Stack{}, []observation{listed{up("x")}, tested{"x", start, true}}, "done"},
		{"not started", Stack{}, []observation{listed{up("x", ended("created", 0))}}, "waiting"},
		{"the engine cannot start it", Stack{}, []observation{listed{up("x", refusedStart)}}, "x could not be started: port is already allocated"},
		{"paused", Stack{}, []observation{listed{up("x", ended("paused", 0))}}, "x is paused"},
		{"gone", Stack{}, []observation{listed{up("x", checked), up("y", healthy)}, gone{"x"}}, "done"},
		{"replaced", Stack{}, []observation{listed{up("x", checked)}, listed{up("y", healthy)}}, "done"},

		{"exit without a second chance", Stack{}, []observation{listed{up("x", ended("exited", 0))}}, "x exited with 0"},
		{"stopped by somebody", Stack{}, []observation{listed{up("x", kept, ended("exited", 143))}}, "x was stopped"},
		{"first exit", Stack{}, []observation{listed{up("x", kept, checked)}, changed(up("x", kept, checked, again(1)))}, "waiting"},
		{"second exit", Stack{}, []observation{
			listed{up("x", kept, checked)}, changed(up("x", kept, checked, again(1))), exited{"x", 4}, changed(up("x", kept, checked, again(2))),
		}, "x exited 2 times, last with 4,"},
		{"two exits in one look", Stack{},
			[]observation{listed{up("x", kept, checked)}, changed(up("x", kept, checked, again(2), ended("restarting", 5)))}, "x exited 2 times, last with 5,"},
		{"restarts before anybody looked", Stack{}, []observation{listed{up("x", kept, checked, again(7))}, tested{"x", begun(7), true}}, "done"},
		{"found in a loop", Stack{}, []observation{
			listed{up("x", kept, checked, again(7), ended("restarting", 1))}, changed(up("x", kept, checked, again(8))),
		}, "x exited 2 times"},
		{"healthy between two exits", Stack{}, []observation{
			listed{up("x", kept, checked)}, changed(up("x", kept, checked, again(1))), tested{"x", begun(1), true},
		}, "done"},

		{"one-shot at work", Stack{}, []observation{listed{up("init", once)}}, "waiting"},
		{"one-shot done", Stack{}, []observation{listed{up("init", once, ended("exited", 0))}}, "done"},
		{"one-shot failed", Stack{}, []observation{listed{up("init", once, ended("exited", 2))}}, "init exited with 2"},
		{"one-shot that is tried again", Stack{},
			[]observation{listed{up("init", once)}, changed(up("init", once, again(3), ended("restarting", 2)))}, "waiting"},
		{"one-shot by the word of another", Stack{},
			[]observation{listed{up("init", ended("exited", 0)), up("web", healthy, needing("init", completed))}}, "done"},
		{"no one-shot where the engine starts it again", Stack{},
			[]observation{listed{up("init", kept, ended("exited", 0)), up("web", healthy, needing("init", completed))}}, "init was stopped"},

		{"the API has not been asked", stack, []observation{listed{server(), up("db", healthy)}}, "waiting"},
		{"the API serves before its health is known", stack, []observation{listed{server(), up("db", healthy)}, serving("server")}, "done"},
		{"health alone is not enough", stack, []observation{listed{server(healthy), up("db", healthy)}}, "waiting"},
		{"the API is not all there", stack, []observation{
			listed{server(), up("db", healthy)}, answered{id: "server", started: start, why: "no database"},
		}, "waiting"},
		{"an answer of an earlier run", stack, []observation{listed{server(again(1)), up("db", healthy)}, serving("server")}, "waiting"},
		{"started again after it served", stack, []observation{
			listed{server(), up("db", checked)}, serving("server"), changed(server(again(1))), changed(up("db", healthy)),
		}, "waiting"},
		{"unhealthy and without an API", stack, []observation{
			listed{server(unhealthy), up("db", healthy)}, answered{id: "server", started: start, why: silent},
		}, "server is unhealthy: " + silent},
		{"unhealthy because its database is not there", stack, []observation{
			listed{server(unhealthy), up("db", checked)}, answered{id: "server", started: start, why: silent},
		}, "waiting"},
		{"unhealthy by a check that is wrong", stack, []observation{listed{server(unhealthy), up("db", healthy)}, serving("server")}, "done"},
		{"the database is the cause", stack, []observation{listed{server(ended("exited", 4)), up("db", checked, ended("exited", 1))}}, "db exited with 1"},
		{"the database may still come", stack, []observation{listed{server(ended("exited", 4)), up("db", checked)}}, "waiting"},
		{"the engine cannot start the server", stack, []observation{listed{server(refusedStart), up("db", checked)}}, "server could not be started"},
		{"then it is the server's own fault", stack, []observation{
			listed{server(ended("exited", 4)), up("db", checked)}, tested{"db", start, true},
		}, "server was stopped"},
		{"exits without a database are forgiven", stack, []observation{
			listed{server(), up("db", checked)}, changed(server(again(5))), tested{"db", start, true}, changed(server(again(6))),
		}, "waiting"},
		{"exits with one are not", stack, []observation{
			listed{server(), up("db", healthy)}, changed(server(again(1))), changed(server(again(2), ended("restarting", 4))),
		}, "server exited 2 times"},

		{"a line that says it all", Stack{}, []observation{listed{up("db", kept, checked)}, overheard("db", version, start)}, "db the database volume holds"},
		{"such a line, and it is well", Stack{}, []observation{listed{up("db", healthy)}, overheard("db", version, start)}, "done"},
		{"such a line of an earlier run", Stack{}, []observation{listed{up("db", checked, again(1))}, overheard("db", version, start)}, "waiting"},
		{"the password is refused", stack, []observation{listed{server(), up("db", healthy)}, overheard("db", refusal, start)}, "server the database refuses"},
		{"the password was refused before", stack,
			[]observation{listed{server(), up("db", healthy)}, overheard("db", refusal, start.Add(-time.Second))}, "waiting"},
		{"somebody else's password is refused", stack,
			[]observation{listed{server(), up("db", healthy), up("z", checked)}, serving("server"), overheard("db", refusal, start)}, "waiting"},

		{"only one is waited for", Stack{Orchestrator: "server", only: "db"}, []observation{listed{server(ended("exited", 1)), up("db", healthy)}}, "done"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := state{stack: test.stack}
			for _, o := range test.seen {
				s = next(s, o)
			}
			v := judge(s)
			got := "waiting"
			switch {
			case v.done:
				got = "done"
			case v.culprit != nil:
				got = v.culprit.Service + " " + v.culprit.why
			}
			if !strings.HasPrefix(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestNextLeavesTheStateItWasGiven(t *testing.T) {
	t.Parallel()
	before := next(state{}, listed{up("db", checked)})
	_ = next(before, tested{"db", start, true})
	_ = next(before, gone{"db"})
	_ = next(before, overheard("db", "No space left on device", start))
	if v := judge(before); v.done || v.culprit != nil || len(before.runs["db"].said) != 0 {
		t.Errorf("%+v", before)
	}
}

func TestWanted(t *testing.T) {
	t.Parallel()
	s := state{stack: Stack{Orchestrator: "server"}}
	late, first := start.Add(time.Minute), start.Add(-early)
	s = next(s, listed{
		up("db", healthy), up("far", healthy), up("plain"),
		up("server", checked, needing("db", ""), func(c *Container) { c.Started = late }),
		up("init", once, checked), up("ssh", checked), up("old", ended("exited", 0)), up("loop", checked, ended("restarting", 1)),
	})
	want := map[string]time.Time{
		"read db": first, "read server": late.Add(-early), "read plain": first, "read init": first, "read ssh": first, "read loop": first,
		"ask server": {}, "check ssh": {}, "stay plain": {},
	}
	for _, c := range wanted(s, judge(s)) {
		key := string(c.kind) + " " + c.run.Service
		since, ok := want[key]
		if !ok || !since.Equal(c.since) {
			t.Errorf("%s since %v: wanted %t, since %v", key, c.since, ok, since)
		}
		delete(want, key)
	}
	for key := range want {
		t.Errorf("not looked at: %s", key)
	}
}

func TestRootOfACircle(t *testing.T) {
	t.Parallel()
	s := next(state{}, listed{up("a", checked, needing("b", "")), up("b", checked, needing("a", ""))})
	if c := latest(s, judge(s)); c == nil {
		t.Error("nobody is to blame")
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	tests := []struct {
		took time.Duration
		news bool
		want time.Duration
	}{
		{0, false, 100 * time.Millisecond},
		{60 * time.Millisecond, false, 240 * time.Millisecond},
		{60 * time.Millisecond, true, 60 * time.Millisecond},
		{time.Millisecond, true, 10 * time.Millisecond},
		{time.Minute, false, 2 * time.Second},
		{time.Minute, true, time.Second},
	}
	for _, test := range tests {
		if got := pause(test.took, test.news); got != test.want {
			t.Errorf("%v, %t: %v, want %v", test.took, test.news, got, test.want)
		}
	}
}

// The lines of a run begin a little before the engine says that it began, and
// not before the end of the run before it.
func TestSpeaks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		started, finished, want time.Time
	}{
		"never started": {},
		"for the first": {started: start, want: start.Add(-early)},
		"long after":    {started: start, finished: start.Add(-time.Hour), want: start.Add(-early)},
		"soon after":    {started: start, finished: start.Add(-time.Second), want: start.Add(respite - time.Second)},
		"at once":       {started: start, finished: start.Add(-respite / 2), want: start.Add(-early)},
		"it has ended":  {started: start, finished: start.Add(time.Second), want: start.Add(-early)},
	} {
		if got := (Container{Started: c.started, Finished: c.finished}).speaks(); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestDone(t *testing.T) {
	t.Parallel()
	done := Done([]Container{
		up("init", once, ended("exited", 0)), up("failed", once, ended("exited", 2)), up("at work", once),
		up("migrate", ended("exited", 0)), up("web", healthy, needing("migrate", completed)), up("db", kept, ended("exited", 0)),
	})
	for id, is := range done {
		if want := id == "init" || id == "migrate"; is != want {
			t.Errorf("%s: %v", id, is)
		}
	}
	if len(done) != 6 {
		t.Errorf("%v", done)
	}
}

// What somebody else waits for keeps nobody waiting here, unless it is asked for.
func TestApart(t *testing.T) {
	t.Parallel()
	stack := Stack{Services: []string{"db", "replica", "absent"}, Apart: []string{"replica", "absent"}}
	replica := up("replica", unhealthy)
	if v := judge(next(state{stack: stack}, listed{up("db", healthy), replica})); !v.done || len(v.standings) != 1 {
		t.Errorf("without them it is %+v", v)
	}
	stack.only = "replica"
	if v := judge(next(state{stack: stack}, listed{up("db", healthy), replica})); v.done || len(v.standings) != 1 || v.standings[0].Service != "replica" {
		t.Errorf("of one alone it is %+v", v)
	}
}
