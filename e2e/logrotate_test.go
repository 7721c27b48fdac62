package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// The files logrotate_*_test.go rotate the logs of a real orchestrator. The
// algorithm under kills, on other file systems and against each kind of writer is
// tested in sidecar/logrotate/proof.

// rotator is the logrotate sidecar of a stack.
type rotator struct {
	*stack
	// beside is another container with the logs, which writes them.
	beside string
}

// logFolder is where logs are, in the containers.
const logFolder = "/var/log/inmanta"

// newRotator is a stack with a logrotate sidecar. Nothing runs yet.
func newRotator(t *testing.T) *rotator {
	t.Helper()
	s := &rotator{stack: newStack(t)}
	s.beside = s.server()
	s.must("init", s.dir)
	s.set("COMPOSE_FILE", "docker-compose.yml:docker-compose.logrotate.yml")
	return s
}

// newRotatorAlone is a rotator without an orchestrator, which a container of its own takes
// the place of: one that writes what it is told to.
func newRotatorAlone(t *testing.T) *rotator {
	t.Helper()
	s := newRotator(t)
	s.beside = s.name + "-writer"
	s.write("writer.yml", `services:
  writer:
    image: "${INMANTA_ORCHESTRATOR_IMAGE:-ghcr.io/inmanta/orchestrator:latest}"
    container_name: "${INMANTA_NAME:-inmanta}-writer"
    entrypoint: [sleep, infinity]
    init: true
    network_mode: none
    healthcheck: {disable: true}
    volumes: ["inmanta-server-logs:/var/log/inmanta"]
`)
	s.set("COMPOSE_FILE", "docker-compose.yml:docker-compose.logrotate.yml:writer.yml")
	return s
}

// container is the sidecar's container.
func (s *rotator) container() string { return s.name + "-logrotate-sidecar" }

// start starts the sidecar and what writes beside it, with the stock tool, and
// waits until its own health check passes, sooner than the engine would ask.
func (s *rotator) start() {
	s.t.Helper()
	s.stock("up -d logrotate writer")
	s.well()
}

// well waits until the sidecar's own health check passes.
func (s *rotator) well() {
	s.t.Helper()
	s.until("the sidecar is healthy", func() bool { return s.sh(s.health()).code == 0 })
}

// health is the health check that the compose file gives to the engine.
func (s *rotator) health() string {
	return "docker exec " + s.container() + " /usr/local/bin/inmanta-sidecar logrotate health"
}

// writes runs a line of shell in the folder of the logs, as their owner.
func (s *rotator) writes(line string) string {
	s.t.Helper()
	return s.docker("exec", "-u", "inmanta", "-w", logFolder, s.beside, "bash", "-euc", line)
}

// rotation is as much of `logrotate ls --json` as is looked at.
type rotation struct {
	Healthy bool
	Reasons []string
	Folder  string
	Next    time.Time
	Logs    []rotatedLog
}

type rotatedLog struct {
	Name, Writer, Result string
	SizeBytes            int64     `json:"size_bytes"`
	LastRotation         time.Time `json:"last_rotation"`
	Archives             []struct{ File, Format string }
	Waiting              []struct{ File, Why string }
}

// ls is what there is, as the sidecar says it.
func (s *rotator) ls() rotation {
	s.t.Helper()
	return decoded[rotation](s.t, "logrotate_ls", s.must("logrotate", "ls", "--json").stdout)
}

// log is what there is of one.
func (s *rotator) log(name string) rotatedLog {
	s.t.Helper()
	all := s.ls()
	at := slices.IndexFunc(all.Logs, func(l rotatedLog) bool { return l.Name == name })
	if at < 0 {
		s.t.Fatalf("there is no log %s: %+v", name, all)
	}
	return all.Logs[at]
}

// inFolder are the names of the files in the folder of the logs.
func (s *rotator) inFolder() []string {
	s.t.Helper()
	return strings.Fields(s.writes("ls -A"))
}

// The sidecar needs nothing but the log directory: it rotates, lists and reads,
// and does so again after each way of ending it.
func TestLogrotate(t *testing.T) {
	t.Parallel()
	s := newRotatorAlone(t)
	began := time.Now()
	s.start()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it is healthy after %s", took)
	}
	confinedRotator(s)

	// One writer of each kind, as the shell can make them, and what nobody holds.
	const lines = 600
	s.writes(fmt.Sprintf(`long=$(printf %%0500d 0) # a file of less than a block is left to its writer
		each() { for i in {1..%d}; do echo "$1 $long $i"; sleep 0.05; done; }
		(exec >> appends.log; each appends) > /dev/null 2>&1 &
		(exec > offset.out; each offset) > /dev/null 2>&1 &
		(for i in {1..%[1]d}; do echo "reopens $i" >> reopens.log; sleep 0.05; done) > /dev/null 2>&1 &
		seq -f 'nobody %%.0f' %[1]d > nobody.err
		: > empty.log
		echo 'not a log' > notes.txt`, lines))
	logs := map[string]int{"appends.log": lines, "offset.out": lines, "reopens.log": lines, "nobody.err": lines}
	for _, disturb := range []func(){
		func() {},
		func() { s.kill9(s.container()) },
		func() { s.docker("restart", s.container()) },
		func() { s.stock("up -d --force-recreate logrotate") },
		func() { s.kill9(s.container()) },
	} {
		s.must("logrotate", "now")
		s.numbered("so far", logs, false)
		for name, kinds := range map[string][]string{"appends.log": {"keeps", "appends"}, "offset.out": {"keeps", "own offset"}} {
			if writer := s.log(name).Writer; !slices.Contains(kinds, writer) {
				t.Errorf("the writer of %s is %q, want one of %q", name, writer, kinds)
			}
		}
		disturb()
		s.well()
	}
	s.until("the writers are done", func() bool {
		return !strings.Contains(s.docker("exec", s.beside, "bash", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"), "each")
	})
	s.must("logrotate", "now")
	s.numbered("in the end", logs, true)
	if names := s.inFolder(); !slices.Contains(names, "notes.txt") || slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "notes.txt-") || strings.HasPrefix(n, "empty.log-") }) {
		t.Errorf("what is no log, or empty, was touched: %q", names)
	}

	// What it knows outlives the containers, and goes with the volumes.
	before := s.ls()
	s.stock("down")
	s.start()
	after := s.ls()
	for _, l := range before.Logs {
		at := slices.IndexFunc(after.Logs, func(other rotatedLog) bool { return other.Name == l.Name })
		if at < 0 || !after.Logs[at].LastRotation.Equal(l.LastRotation) || len(after.Logs[at].Archives) != len(l.Archives) || after.Logs[at].Result != l.Result {
			t.Errorf("after down and up %s is %+v, and was %+v", l.Name, after.Logs, l)
		}
	}
	s.numbered("after down and up", logs, true)
	s.stock("down -v")
	if got := s.volumes(); len(got) != 0 {
		t.Errorf("after down -v there is %v", got)
	}
}

// numbered fails the scenario unless each of the logs is lines that end with 1, 2,
// 3 …, each once, at most so many; all of them if they must be complete.
func (s *rotator) numbered(when string, logs map[string]int, complete bool) {
	s.t.Helper()
	for log, most := range logs {
		shown := s.must("logrotate", "show", log).stdout
		count := 0
		for line := range strings.Lines(shown) {
			count++
			if want := fmt.Sprintf(" %d\n", count); !strings.HasSuffix(line, want) || count > most {
				s.t.Fatalf("%s, line %d of %s is %q", when, count, log, line)
			}
		}
		if count == 0 || complete && count != most {
			s.t.Errorf("%s, %s has %d lines, want %d", when, log, count, most)
		}
	}
}

// confinedRotator is what the sidecar's process may do, as the kernel tells it.
func confinedRotator(s *rotator) {
	s.t.Helper()
	all := s.processesOf(s.container())
	if len(all) != 1 || all[0].command != "/usr/local/bin/inmanta-sidecar logrotate" {
		s.t.Fatalf("in its container there are %v", all)
	}
	all[0].powerless(s.t)
	uids := strings.Fields(all[0].status["Uid"])
	if len(uids) != 4 || uids[1] != "997" || uids[3] != "997" {
		s.t.Errorf("it acts as %v", uids)
	}
	if interfaces := strings.Fields(s.docker("exec", s.container(), "ls", "/sys/class/net")); !slices.Equal(interfaces, []string{"lo"}) {
		s.t.Errorf("it has the networks %v", interfaces)
	}
	if owner := s.docker("exec", s.container(), "stat", "-c", "%U", "/var/lib/inmanta-sidecar/logrotate"); owner != "inmanta" {
		s.t.Errorf("its state is %s's", owner)
	}
}

// The README's lines, as they stand.
func TestLogrotateExample(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"sudo docker compose", "inmanta-docker"} {
		t.Run(strings.ReplaceAll(tool, " ", "-"), func(t *testing.T) {
			s := newRotator(t)
			s.runsExample(logRotated, tool, s.container(), 4, func() { s.must("--with", "logrotate", "logrotate", "now") })
		})
	}
}

// The page's commands run as they stand, in its order.
func TestLogrotatePage(t *testing.T) {
	t.Parallel()
	s := newRotator(t)
	s.ok("sed -i '/^COMPOSE_FILE=/d' .env")
	overlays := fenced(t, logrotatePage, "yaml")
	if len(overlays) != 1 {
		t.Fatalf("the page has %d overlays", len(overlays))
	}
	s.write("rotation.yml", overlays[0])
	for _, block := range fenced(t, logrotatePage, "bash") {
		r := s.sh(block)
		if r.code != 0 {
			t.Fatalf("%s: exit code %d\n%s%s", block, r.code, r.stdout, r.stderr)
		}
		switch {
		case strings.Contains(block, "logrotate now"):
			s.says(r.stdout, "server.log")
		case strings.Contains(block, "logrotate ls --json"):
			s.says(r.stdout, `"server.log"`, "server.log-20")
		case strings.Contains(block, "logrotate show"):
			if count, _, _ := strings.Cut(r.stdout, "\n"); count == "0" {
				t.Errorf("%s finds nothing:\n%s", block, r.stdout)
			}
			s.says(r.stdout, " INFO ")
		case strings.Contains(block, "logrotate metrics"):
			s.says(s.read("inmanta_logrotate.prom"), "inmanta_logrotate_healthy 1\n", `inmanta_logrotate_log_failed{log="server.log"} 0`)
		}
	}
	if got := s.docker("exec", s.container(), "cat", "/etc/inmanta-sidecar/logrotate.conf"); !strings.Contains(got, "maxsize 100M") {
		t.Errorf("the sidecar's configuration is\n%s", got)
	}
}

// Archives that upstream's logrotate made are read before ours, and go when their
// time is over.
func TestLogrotateAfterLogrotate(t *testing.T) {
	t.Parallel()
	s := newRotatorAlone(t)
	s.set("INMANTA_LOGROTATE_KEEP", "-1")
	s.start()
	s.writes(`seq -f 'line %.0f' 1 10 | gzip > server.log.3.gz
		seq -f 'line %.0f' 11 20 | gzip > server.log.2.gz
		seq -f 'line %.0f' 21 30 > server.log.1
		seq -f 'line %.0f' 31 40 > server.log-20250103
		seq -f 'line %.0f' 41 50 | gzip > server.log-20250104.gz
		seq -f 'line %.0f' 51 60 > server.log
		touch -d 2025-01-02 server.log.*`)
	logs := map[string]int{"server.log": 60}
	s.until("it has seen them", func() bool {
		return slices.ContainsFunc(s.ls().Logs, func(l rotatedLog) bool { return l.Name == "server.log" })
	})
	s.numbered("before a rotation", logs, true)
	s.must("logrotate", "now", "server.log")
	s.numbered("after it", logs, true)
	if found := s.log("server.log"); len(found.Archives) != 6 || found.Archives[0].File != "server.log.3.gz" || found.Archives[4].File != "server.log-20250104.gz" {
		t.Errorf("the archives are %+v", found.Archives)
	}
	s.set("INMANTA_LOGROTATE_KEEP", "2")
	s.start()
	s.until("what is not kept is gone", func() bool {
		return slices.Equal(slices.DeleteFunc(s.inFolder(), func(name string) bool { return strings.HasSuffix(name, "Z.gz") || name == "server.log" }), []string{"server.log-20250104.gz"})
	})
	if shown := s.must("logrotate", "show", "server.log").stdout; !strings.HasPrefix(shown, "line 41\n") || !strings.HasSuffix(shown, "line 60\n") || strings.Count(shown, "\n") != 20 {
		t.Errorf("what is kept is\n%s", shown)
	}
}

// A configuration of the operator's own is refused before anything is touched, and
// where the stock tool starts it all the same, it rotates nothing and says why.
func TestLogrotateConfiguration(t *testing.T) {
	t.Parallel()
	s := newRotatorAlone(t)
	s.write("rotation.yml", fenced(t, logrotatePage, "yaml")[0])
	s.set("COMPOSE_FILE", "docker-compose.yml:docker-compose.logrotate.yml:writer.yml:rotation.yml")
	s.write("logrotate.conf", "/var/log/inmanta/*.log {\n  daily\n  rotate 3\n  postrotate\n    kill -HUP 1\n  endscript\n  mail root\n}\n")
	s.set("INMANTA_LOGROTATE_TIMEZONE", "Mars/Olympus")
	s.fails(1, []string{s.dir + "/logrotate.conf:4", "postrotate", s.dir + "/logrotate.conf:7", "mail", "INMANTA_LOGROTATE_TIMEZONE", "3 problems"}, "up")
	if got := s.containers(); len(got) != 0 {
		t.Errorf("what was refused made %v", got)
	}
	s.stock("up -d logrotate writer")
	s.until("it says what is wrong", func() bool { return strings.Contains(s.docker("logs", s.container()), "Mars/Olympus") })
	s.ends(1, s.health(), "INMANTA_LOGROTATE_TIMEZONE", "Mars/Olympus")
	s.set("INMANTA_LOGROTATE_TIMEZONE", "Europe/Brussels")
	s.stock("up -d logrotate writer")
	s.until("it says what is wrong", func() bool { return strings.Contains(s.docker("logs", s.container()), "postrotate") })
	s.ends(1, s.health(), "logrotate.conf:4", "postrotate", "logrotate.conf:7", "mail")
	s.writes("echo kept > kept.log")
	s.ends(1, "inmanta-docker logrotate now", "postrotate")
	if got := s.inFolder(); !slices.Equal(got, []string{"kept.log"}) {
		t.Errorf("it rotated all the same: %q", got)
	}

	// Mended, it counts: the setting does not.
	s.write("logrotate.conf", "/var/log/inmanta/*.log {\n  hourly\n  rotate 3\n  missingok\n}\n")
	s.set("INMANTA_LOGROTATE_COMPRESSION", "zstd")
	s.says(s.must("preflight").stderr+s.must("preflight").stdout, "INMANTA_LOGROTATE_COMPRESSION has no effect")
	s.docker("restart", s.container())
	s.well()
	s.says(s.docker("logs", s.container()), "logrotate.conf:4: missingok: a log that is missing is never a mistake")
	s.must("logrotate", "now")
	if found := s.log("kept.log"); len(found.Archives) != 1 || !strings.HasSuffix(found.Archives[0].File, "Z") {
		t.Errorf("it was rotated as %+v", found)
	}
	s.prints("inmanta-docker logrotate show kept.log", "kept")
}

// The health check says which log it is and why, status says it at once, and both
// are well again when it is mended.
func TestLogrotateHealth(t *testing.T) {
	t.Parallel()
	s := newRotator(t)
	s.must("up")
	s.must("logrotate", "now")
	sick := func(words ...string) {
		t.Helper()
		s.until("the health check fails", func() bool { return s.sh(s.health()).code != 0 })
		s.ends(1, s.health(), words...)
		s.fails(3, append([]string{"unhealthy", "logrotate: "}, words...), "status")
		found := decoded[struct {
			Health    string
			Logrotate rotation
		}](t, "status", s.fails(3, nil, "status", "--json").stdout)
		if found.Health != "unhealthy" || found.Logrotate.Healthy || len(found.Logrotate.Reasons) == 0 {
			t.Errorf("status says %+v", found)
		}
		s.says(s.fails(0, words, "logrotate", "ls").stdout, words...)
	}
	well := func() {
		t.Helper()
		s.well()
		s.until("the engine knows that, too", func() bool { return s.run("status").code == 0 })
	}

	// A log that cannot be read: nobody else's is held up by it.
	s.writes("echo secret > broken.log; chmod 000 broken.log; echo fine > fine.log")
	s.ends(1, "inmanta-docker logrotate now", "broken.log", "fine.log-20")
	sick("broken.log", "permission denied")
	// The engine's own check, and whoever asks it, say the same.
	s.until("the engine knows", func() bool {
		return s.docker("inspect", "-f", "{{.State.Health.Status}}", s.container()) == "unhealthy"
	})
	s.says(s.fails(0, nil, "logrotate", "ls").stderr, "the logrotate sidecar is unhealthy", "broken.log")
	s.writes("chmod 644 broken.log*")
	s.must("logrotate", "now")
	well()
	s.prints("inmanta-docker logrotate show broken.log", "secret")

	// The directory.
	s.writes("chmod 555 .")
	sick(logFolder, "permission denied")
	s.writes("chmod 755 .")
	well()

	// A link in the place of a log is not followed.
	s.writes("mv fine.log elsewhere 2>/dev/null || echo x > elsewhere; rm -f broken.log; ln -s /etc/passwd broken.log")
	s.must("logrotate", "now")
	s.until("it is noticed", func() bool { return strings.Contains(s.must("logrotate", "ls").stdout, "broken.log is not rotated") })
	s.writes("rm broken.log")
	s.must("logrotate", "now")
	well()
	s.serves()
}
