package e2e

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The real orchestrator writes its real logs: two environments compile and deploy
// in a loop and its API is asked all the time, while the logs are rotated again
// and again and the sidecar is killed, restarted and made anew. Of each log there
// is a record that the sidecar has no part in, and both say the same.
func TestLogrotateOrchestrator(t *testing.T) {
	t.Parallel()
	s := newRotator(t)
	s.reachesPyPI()
	s.must("up")
	var environments []*environment
	for i := range 2 {
		environments = append(environments, s.environment(fmt.Sprintf("env-%d", i)))
	}
	var ready sync.WaitGroup
	for _, e := range environments {
		ready.Go(func() { e.compile(true) })
	}
	ready.Wait()
	if t.Failed() {
		t.FailNow()
	}

	var load sync.WaitGroup
	var over atomic.Bool
	askers := make([]asker, 4)
	for i := range askers {
		load.Go(func() {
			for !over.Load() {
				askers[i].ask(s, i)
			}
		})
	}
	for _, e := range environments {
		load.Go(func() {
			for !over.Load() {
				e.compile(false)
				e.deploy()
			}
		})
	}
	for _, disturb := range []func(){
		func() {},
		func() { s.kill9(s.container()) },
		func() { s.docker("restart", s.container()) },
		func() { s.kill9(s.container()) },
		func() { s.stock("up -d --no-deps --force-recreate logrotate") },
		func() { s.kill9(s.container()) },
		func() {},
	} {
		rotating := make(chan result, 1)
		go func() { rotating <- s.run("logrotate", "now") }()
		s.asked(askers) // while it rotates
		disturb()
		<-rotating // it may have been the one that was killed
		s.well()
		s.must("logrotate", "now")
		s.asked(askers)
	}
	s.until("there was a load", func() bool {
		s.must("logrotate", "now")
		s.asked(askers)
		return !slices.ContainsFunc(environments, func(e *environment) bool { return e.deployments() < 5*deployed })
	})
	over.Store(true)
	load.Wait()

	s.asked(askers)
	for _, e := range environments {
		e.idle()
		e.recorded()
	}
	for _, l := range s.ls().Logs {
		kinds := map[string][]string{".log": {"reopens", "unknown"}, ".out": {"unknown", "keeps", "own offset"}, ".err": {"unknown", "keeps", "own offset"}}
		if kind := kinds[l.Name[len(l.Name)-4:]]; !slices.Contains(kind, l.Writer) {
			t.Errorf("%s: its writer %q is none of %q", l.Name, l.Writer, kind)
		}
		if l.Result != "ok" && l.Result != "none yet" {
			t.Errorf("%s: %s", l.Name, l.Result)
		}
	}
	if archives := len(s.log("server.log").Archives); archives < 7 {
		t.Errorf("after all that server.log has %d archives", archives)
	}

	// What a scheduler printed is saved before the next one truncates it.
	for _, e := range environments {
		e.restart()
	}
	s.serves()
}

// asker asks the orchestrator's API for things that are not there, by number:
// each answer is a line in server.log.
type asker struct{ answered atomic.Int64 }

func (a *asker) ask(s *rotator, who int) {
	response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/nothing-%d-%d", s.port, who, a.answered.Load()+1))
	if err != nil {
		s.t.Errorf("asking the orchestrator: %v", err)
		time.Sleep(time.Second)
		return
	}
	response.Body.Close()
	a.answered.Add(1)
	time.Sleep(2 * time.Millisecond) // the rest of the machine is needed, too
}

var askedFor = regexp.MustCompile(` GET /nothing-(\d+)-(\d+) `)

// asked fails the scenario unless the log has the requests of each asker, all
// that were answered before now, each once and in order. (The line of the last
// one may come after its answer.)
func (s *rotator) asked(askers []asker) {
	s.t.Helper()
	var answered, logged []int64
	for i := range askers {
		answered = append(answered, askers[i].answered.Load())
	}
	logged = make([]int64, len(askers))
	for _, found := range askedFor.FindAllStringSubmatch(s.must("logrotate", "show", "server.log").stdout, -1) {
		who, _ := strconv.Atoi(found[1])
		number, _ := strconv.ParseInt(found[2], 10, 64)
		if number != logged[who]+1 {
			s.t.Fatalf("server.log has request %d of asker %d after %d", number, who, logged[who])
		}
		logged[who] = number
	}
	for who, number := range logged {
		if number < answered[who]-1 {
			s.t.Fatalf("of asker %d, server.log has %d requests, and %d were answered", who, number, answered[who])
		}
	}
}

// reachesPyPI lets the orchestrator's compiler trust what this machine trusts: a
// proxy's certificate may be among it.
func (s *rotator) reachesPyPI() {
	s.t.Helper()
	const bundle = "/etc/ssl/certs/ca-certificates.crt"
	if _, err := os.Stat(bundle); err != nil {
		return
	}
	s.write("trust.yml", `services:
  server:
    environment: {PIP_CERT: /etc/ssl/certs/host.crt}
    volumes: ["`+bundle+`:/etc/ssl/certs/host.crt:ro"]
`)
	s.set("COMPOSE_FILE", "docker-compose.yml:docker-compose.logrotate.yml:trust.yml")
}

// environment is one of the orchestrator's, with a model that deploys something.
type environment struct {
	*rotator
	id string
	// compiled counts the compiles.
	compiled int
}

// deployed is how many resources the model has.
const deployed = 8

func (s *rotator) environment(name string) *environment {
	s.t.Helper()
	var made struct{ Data struct{ ID string } }
	if err := s.call(http.MethodPut, "/api/v2/environment", "", map[string]string{"project_id": s.project(name), "name": name}, &made); err != nil {
		s.t.Fatal(err)
	}
	return &environment{rotator: s, id: made.Data.ID}
}

// compile has the orchestrator compile another version of the model, the first
// time with what it needs from PyPI. It is called beside the test's own goroutine.
func (e *environment) compile(first bool) {
	e.compiled++
	folder := "/var/lib/inmanta/server/" + e.id + "/compiler"
	model := fmt.Sprintf("import std\nimport std::testing\nfor i in std::sequence(%d):\n  std::testing::NullResource(name=\"r{{i}}\", agentname=\"internal\", value=\"%d\")\nend\n", deployed, e.compiled)
	project := "name: load\nmodulepath: libs\ndownloadpath: libs\npip: {use_system_config: true}\n"
	r := e.sh(fmt.Sprintf("docker exec -u inmanta %s bash -euc %s", e.server(),
		quoted(fmt.Sprintf("mkdir -p %s; cd %[1]s; printf %%s %s > project.yml; printf %%s %s > main.cf", folder, quoted(project), quoted(model)))))
	if r.code != 0 {
		e.t.Errorf("writing the model: %s", r.stderr)
		return
	}
	if err := e.call(http.MethodPost, "/api/v1/notify/"+e.id, "", map[string]bool{"update": first}, nil); err != nil {
		e.t.Errorf("asking for a compile: %v", err)
		return
	}
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		var reports struct {
			Data []struct {
				Completed *string
				Success   *bool
			}
		}
		if err := e.call(http.MethodGet, "/api/v2/compilereport", e.id, nil, &reports); err != nil {
			e.t.Errorf("asking for the compile: %v", err)
			return
		}
		if len(reports.Data) == e.compiled && reports.Data[0].Completed != nil {
			if success := reports.Data[0].Success; success == nil || !*success {
				e.t.Errorf("the orchestrator cannot compile: does it reach PyPI?")
			}
			return
		}
	}
	e.t.Errorf("compile %d of %s does not end", e.compiled, e.id)
}

// deploy has everything deployed once more, as soon as there is a scheduler to do it.
// It is called beside the test's own goroutine.
func (e *environment) deploy() {
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		err := e.call(http.MethodPost, "/api/v1/deploy", e.id, map[string]string{"agent_trigger_method": "push_full_deploy"}, nil)
		if err == nil {
			return
		}
		if away := fmt.Sprint(http.StatusServiceUnavailable); !strings.Contains(err.Error(), away) || time.Now().After(deadline) {
			e.t.Errorf("asking for a deployment: %v", err)
			return
		}
	}
}

// idle waits until nothing is deployed any more. What an orchestrator that died was
// at stays unfinished in the records for ever, and is not waited for.
func (e *environment) idle() {
	e.t.Helper()
	began := e.docker("inspect", "-f", "{{.State.StartedAt}}", e.server())
	last := ""
	e.until("nothing is deployed any more", func() bool {
		time.Sleep(3 * time.Second)
		before := last
		last = e.sql("select count(*), count(*) filter (where finished is null and started > '" + began + "') from resourceaction where environment = '" + e.id + "'")
		return last == before && strings.HasSuffix(last, "|0")
	})
}

// deployments is how many deployments of single resources there were.
func (e *environment) deployments() int {
	e.t.Helper()
	count, err := strconv.Atoi(e.sql("select count(*) from resourceaction where action = 'deploy' and environment = '" + e.id + "'"))
	if err != nil {
		e.t.Fatal(err)
	}
	return count
}

// sql asks the orchestrator's database.
func (e *environment) sql(query string) string {
	e.t.Helper()
	return e.docker("exec", e.db(), "psql", "-U", "inmanta", "-At", "-c", query)
}

// recorded compares the environment's logs with what the orchestrator's database
// has: each message of each deployment stands once in either log.
func (e *environment) recorded() {
	e.t.Helper()
	want := map[string]int{}
	for line := range strings.Lines(e.sql("select message->>'msg' from resourceaction, unnest(messages) as message where action = 'deploy' and environment = '" + e.id + "'")) {
		want[strings.TrimSuffix(line, "\n")]++
	}
	// Each begins with a line that is in the logs only.
	want["Resource deploy started on agent internal, setting status to deploying"] = e.deployments()
	for _, log := range []string{"resource-actions-" + e.id + ".log", "agent-" + e.id + ".log"} {
		got := map[string]int{}
		for line := range strings.Lines(e.must("logrotate", "show", log).stdout) {
			_, said, of := strings.Cut(line, " inmanta.resource_action.internal resource ")
			_, message, _ := strings.Cut(said, ": ")
			if message = strings.TrimSuffix(message, "\n"); of && want[message] > 0 {
				got[message]++
			}
		}
		for message, times := range want {
			if got[message] != times {
				e.t.Errorf("%s has %d times %q, and the database %d", log, got[message], message, times)
			}
		}
		if archives := len(e.log(log).Archives); archives < 3 {
			e.t.Errorf("%s has %d archives only", log, archives)
		}
	}
}

// restart halts the environment, whose scheduler then ends, and resumes it at
// once: the next one begins with empty files while children of the one before may
// still have them, and what it runs prints when it deploys.
func (e *environment) restart() {
	e.t.Helper()
	out := "agent-" + e.id + ".out"
	runs := func() bool { return strings.Contains(e.top(e.server()), e.id+"/scheduler.cfg") }
	executors := func() bool { return strings.Contains(e.top(e.server()), "inmanta: executor") }
	e.until("it has such children", func() bool {
		e.deploy()
		return executors()
	})
	printed := e.must("logrotate", "show", out).stdout
	if printed == "" {
		e.t.Errorf("%s is empty: there is nothing to lose", out)
	}
	e.act("halt") // it waits for the scheduler's end
	e.act("resume")
	e.until("the next scheduler runs", runs)
	e.until("what it runs prints", func() bool {
		e.deploy()
		again := e.must("logrotate", "show", out).stdout
		if !strings.HasPrefix(again, printed) {
			e.t.Fatalf("%s was\n%s\nand is\n%s", out, printed, again)
		}
		return len(again) > len(printed)
	})
}

// act halts or resumes the environment.
func (e *environment) act(action string) {
	e.t.Helper()
	if err := e.call(http.MethodPost, "/api/v2/actions/environment/"+action, e.id, nil, nil); err != nil {
		e.t.Fatal(err)
	}
}
