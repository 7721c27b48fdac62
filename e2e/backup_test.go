package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/backup"
)

// environments are the names of the orchestrator's, with "halted" after those that
// are.
func (s *stack) environments() []string {
	s.t.Helper()
	var answer struct {
		Data []struct {
			Name   string
			Halted bool
		}
	}
	if err := s.get("/api/v2/environment", &answer); err != nil {
		s.t.Fatal(err)
	}
	names := []string{}
	for _, e := range answer.Data {
		if e.Halted {
			e.Name += " halted"
		}
		names = append(names, e.Name)
	}
	slices.Sort(names)
	return names
}

// has fails the scenario unless the orchestrator serves exactly these environments.
func (s *stack) has(when string, want ...string) {
	s.t.Helper()
	s.serves()
	if got := s.environments(); !slices.Equal(got, want) {
		s.t.Errorf("%s the environments are %q, want %q", when, got, want)
	}
}

// backedUp takes a backup and returns where it is.
func (s *stack) backedUp(args ...string) backup.Made {
	s.t.Helper()
	r := s.must(append([]string{"backup", "--json"}, args...)...)
	var made backup.Made
	if err := json.Unmarshal([]byte(r.stdout), &made); err != nil {
		s.t.Fatalf("%v\n%s", err, r.stdout)
	}
	return made
}

// shown is what the orchestrator shows of an environment, as far as two that are
// the same cannot differ.
func (s *stack) shown(environment string) string {
	s.t.Helper()
	var versions struct {
		Data []struct {
			Version int
			Status  string
			Total   int
		}
	}
	if err := s.call(http.MethodGet, "/api/v2/desiredstate", environment, nil, &versions); err != nil {
		s.t.Fatal(err)
	}
	var resources struct {
		Data []struct {
			ID    string `json:"resource_id"`
			Agent string `json:"id_details.agent"`
		}
	}
	if err := s.call(http.MethodGet, "/api/v2/resource?limit=1000&sort=resource_type.asc", environment, nil, &resources); err != nil {
		s.t.Fatal(err)
	}
	var ids []string
	for _, r := range resources.Data {
		ids = append(ids, r.ID)
	}
	slices.Sort(ids)
	return fmt.Sprint(versions.Data, ids)
}

// A deployment with a model that is deployed all the while is backed up and
// restored under another project name: the orchestrator there shows the same, and
// goes on with it.
func TestBackup(t *testing.T) {
	t.Parallel()
	r := newRotator(t)
	r.reachesPyPI()
	r.set("COMPOSE_FILE", "docker-compose.yml:trust.yml")
	r.must("up")
	e := r.environment("backed-up")
	e.compile(true)
	e.compile(false)
	if t.Failed() {
		t.FailNow()
	}
	r.write("passphrase", "correct horse battery staple\n")

	var over atomic.Bool
	var load sync.WaitGroup
	load.Go(func() {
		for !over.Load() {
			// Refused while the environment is halted, and asked again.
			_ = e.call(http.MethodPost, "/api/v1/deploy", e.id, map[string]string{"agent_trigger_method": "push_full_deploy"}, nil)
			time.Sleep(200 * time.Millisecond) // the rest of the machine is needed, too
		}
	})
	defer func() { over.Store(true); load.Wait() }()
	r.until("it deploys", func() bool { return e.deployments() > 3*deployed })
	made := r.backedUp("--passphrase-file", "passphrase")
	if !made.Consistent || !made.Encrypted || made.HaltedSeconds <= 0 {
		t.Errorf("made is %+v", made)
	}
	r.has("after the backup", "backed-up")
	deployments := e.deployments()
	r.until("it deploys again", func() bool { return e.deployments() > deployments+deployed })
	over.Store(true)
	load.Wait()

	second := newStackNamed(t, "-second")
	second.must("init", second.dir)
	for _, name := range []string{"trust.yml", "passphrase"} {
		text, err := os.ReadFile(filepath.Join(r.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		second.write(name, string(text))
	}
	second.set("COMPOSE_FILE", "docker-compose.yml:trust.yml")
	second.fails(1, []string{"encrypted with a passphrase"}, "restore", made.Where)
	second.must("restore", made.Where, "--passphrase-file", "passphrase")
	second.has("on the second", "backed-up")
	if want, got := r.shown(e.id), second.shown(e.id); got != want {
		t.Errorf("the second shows\n%s\nand the first\n%s", got, want)
	}
	model := "/var/lib/inmanta/server/" + e.id + "/compiler/main.cf"
	if want, got := r.docker("exec", r.server(), "sha256sum", model), second.docker("exec", second.server(), "sha256sum", model); want != got {
		t.Errorf("the model is %s, and was %s", got, want)
	}
	there := &environment{rotator: &rotator{stack: second, beside: second.server()}, id: e.id, compiled: 2}
	recorded := there.deployments()
	second.until("the second deploys", func() bool {
		there.deploy() // nobody hears it before there is a scheduler
		return there.deployments() >= recorded+deployed
	})

	// And seen to be restorable, from the deployment that it is of.
	r.says(r.must("backup", "verify", made.Where, "--passphrase-file", "passphrase").stderr, "can be restored")
	r.says(r.must("status").stdout, "consistent, encrypted; verified: ")
	if left := r.docker("ps", "-aq", "--filter", "label=com.docker.compose.project="+r.name+"-verify"); left != "" {
		t.Errorf("verifying has left %s", left)
	}
}

// to is a moment of a command, as the engine sees it.
func to(name, method, path string, nth int) moment {
	return moment{name: name, method: method, path: regexp.MustCompile(path), nth: nth}
}

// late is a moment after the engine has done it.
func late(m moment) moment { m.name, m.late = m.name+", done", true; return m }

// A restore that is killed, wherever: what there is serves or says what to do, and
// is gone on with, or undone, and nothing of either side is lost.
func TestRestoreKilled(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	g := newGate(t)
	s.must("up")
	r := &rotator{stack: s, beside: s.server()}
	r.environment("restored")
	// The server ends what waits, and what takes long: not what a backup needs.
	limit := func(change string) {
		s.docker("exec", s.db(), "psql", "-XqU", "inmanta", "-c", "alter role inmanta "+change)
	}
	limit("set idle_in_transaction_session_timeout = '20ms'")
	made := s.backedUp()
	limit("reset idle_in_transaction_session_timeout")
	r.environment("newer")
	s.has("before", "newer", "restored")
	s.fails(1, []string{"newer, restored", "--replace"}, "restore", made.Where)
	s.has("refused,", "newer", "restored")

	once := `^/containers/create$`
	for i, m := range []moment{
		to("making room for the database", "POST", `^/exec/\w+/start`, 5),
		late(to("unpacking", "POST", once, 3)),
		late(to("swapping the volume", "POST", once, 4)),
		to("swapping the databases", "POST", `^/exec/\w+/start`, 9),
		to("making the orchestrator", "POST", `^/containers/create\?name=`+s.server()+`$`, 0),
		to("resuming environments", "POST", once, 5),
	} {
		s.killed(g, m, "restore", "--replace", made.Where)
		j, cutShort, err := backup.UnderWay(s.dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %t, %s", m.name, cutShort, j.Phase)
		if !cutShort {
			s.has(m.name+":", "newer", "restored")
			continue
		}
		s.fails(1, []string{"cut short", "--continue", "--put-back"}, "up")
		if j.Phase == backup.Keeping {
			s.fails(1, []string{"serves already"}, "restore", "--put-back")
		}
		if j.Phase == backup.Swapping || j.Phase == backup.Keeping {
			s.must("down") // somebody tries what they can think of
		}
		if i%2 == 0 && j.Phase != backup.Keeping {
			s.must("restore", "--put-back")
			s.has(m.name+", put back:", "newer", "restored")
		} else {
			s.must("restore", "--continue")
			s.has(m.name+", gone on with:", "restored")
			r.environment("newer")
		}
		s.complete()
	}
	s.must("restore", "--replace", made.Where)
	s.has("at last", "restored")
	s.complete()
	if got := s.docker("exec", s.db(), "psql", "-XAtU", "inmanta", "-c", "select string_agg(datname, ' ' order by datname) from pg_database"); got != "inmanta postgres template0 template1" {
		t.Errorf("the databases are %s", got)
	}
	if got := s.docker("exec", s.server(), "ls", "-A", "/var/lib/inmanta"); strings.Contains(got, "restore") {
		t.Errorf("the state volume has %s", got)
	}
}

// What does not serve is not left in the place of what does.
func TestRestoreThatDoesNotServe(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	s.must("up")
	r := &rotator{stack: s, beside: s.server()}
	r.environment("precious")
	s.must("stop", "server")
	s.docker("exec", s.db(), "psql", "-XqU", "inmanta", "-c", "alter table environment rename to lost; create view environment as select 1 as id")
	broken := s.backedUp()
	s.docker("exec", s.db(), "psql", "-XqU", "inmanta", "-c", "drop view environment; alter table lost rename to environment")
	s.must("up")
	s.has("before", "precious")
	s.fails(1, []string{"Put back"}, "restore", "--replace", "--timeout", "30s", broken.Where)
	s.has("after", "precious")
	s.complete()
	s.fails(1, nil, "backup", "verify", "--timeout", "30s", broken.Where)
	s.says(s.must("backup", "ls").stdout, "FAILED")
}

// runningAndHalted are two environments of those names, as they are.
func (s *stack) runningAndHalted() (running, halted *environment) {
	s.t.Helper()
	r := &rotator{stack: s, beside: s.server()}
	running, halted = r.environment("running"), r.environment("halted")
	if err := s.call(http.MethodPost, "/api/v2/actions/environment/halt", halted.id, nil, nil); err != nil {
		s.t.Fatal(err)
	}
	return running, halted
}

// A backup that is killed while environments are halted for it leaves none halted,
// and no file.
func TestBackupKilled(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	g := newGate(t)
	s.must("up")
	running, _ := s.runningAndHalted()
	s.killed(g, to("packing", "POST", `^/containers/create$`, 2), "backup")
	s.until("the environments are as they were", func() bool { return slices.Equal(s.environments(), []string{"halted halted", "running"}) })
	// They are: somebody who halts them now has a reason, and no backup undoes that.
	s.until("it has ended", func() bool {
		return s.docker("ps", "-q", "--filter", "label=com.inmanta.docker.once="+s.name) == ""
	})
	act := func(action string) {
		if err := s.call(http.MethodPost, "/api/v2/actions/environment/"+action, running.id, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	act("halt")
	aside := s.backedUp(t.TempDir() + "/")
	s.has("halted by somebody", "halted halted", "running halted")
	if !aside.Consistent || aside.HaltedSeconds != 0 {
		t.Errorf("made is %+v", aside)
	}
	act("resume")
	made := s.backedUp()
	s.has("after another backup", "halted halted", "running")
	files, err := os.ReadDir(filepath.Join(s.dir, "backups"))
	if err != nil || len(files) != 1 || files[0].Name() != filepath.Base(made.Where) {
		t.Errorf("there are %v, %v", files, err)
	}
	// Interrupted, it cleans up itself.
	s.interrupted(g, to("packing", "POST", `^/containers/create$`, 2), os.Interrupt, "backup")
	s.has("interrupted", "halted halted", "running")
	if files, err := os.ReadDir(filepath.Join(s.dir, "backups")); err != nil || len(files) != 1 {
		t.Errorf("there are %v, %v", files, err)
	}
	// Restored, those are halted that were.
	s.must("restore", "--replace", made.Where)
	s.has("restored", "halted halted", "running")
	// And all of them, where nothing is to be deployed.
	s.must("restore", "--replace", "--halted", made.Where)
	s.has("restored to look at,", "halted halted", "running halted")
}

// Where what would resume the environments dies with the backup, as when the engine
// does, the next up resumes them.
func TestUpResumesWhatABackupLeftHalted(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	g := newGate(t)
	s.must("up")
	_, halted := s.runningAndHalted()
	s.struck(g, to("packing", "POST", `^/containers/create$`, 2), func(backup *os.Process) {
		// Neither can do anything any more.
		_ = backup.Signal(syscall.SIGSTOP)
		s.docker("kill", s.docker("ps", "-q", "--no-trunc", "--filter", "label=com.inmanta.docker.once="+s.name))
		_ = backup.Kill()
	}, "backup")
	s.has("left behind", "halted halted", "running halted")
	s.says(s.run("status").stdout, "halted for a backup", "inmanta-docker up resumes")
	s.says(s.must("up").stderr, "resumed")
	s.has("after up", "halted halted", "running")
	if left := s.run("status").stdout; strings.Contains(left, "for a backup") {
		t.Errorf("status still says:\n%s", left)
	}
	// Somebody who halts it now has a reason.
	if err := s.call(http.MethodPost, "/api/v2/actions/environment/halt", halted.id, nil, nil); err != nil {
		t.Fatal(err)
	}
	s.must("up")
	s.has("after another up", "halted halted", "running")
}
