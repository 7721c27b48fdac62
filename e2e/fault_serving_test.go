package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Whatever keeps the orchestrator from serving, there is one report that says
// which container it is and shows what that said, and the next up, with the
// cause gone, serves.
func TestFailureReports(t *testing.T) {
	t.Parallel()
	s := newFragile(t)
	s.set("COMPOSE_FILE", "docker-compose.yml:own.yml")
	server := func(text string) { s.write("own.yml", "services: {server: {"+text+"}}\n") }
	logged := func(lines []string, words ...string) { t.Helper(); s.says(strings.Join(lines, "\n"), words...) }

	// It ends at once, again and again. Its words are in the report, and the
	// database password, which it was given and prints, is not.
	server(`entrypoint: [bash, -c, "echo the password is $$(sed -n 's/^password = //p' /etc/inmanta/inmanta.d/*.cfg); exit 9"]`)
	report := s.broken("server", "unknown")
	if report.TimedOut || report.Culprit.ExitCode != 9 {
		t.Errorf("it exited with %d, timed out: %v", report.Culprit.ExitCode, report.TimedOut)
	}
	logged(report.Culprit.Logs[0].Lines, "the password is ********")
	s.fails(3, []string{"unhealthy", s.server()}, "status")
	s.fails(1, []string{"exited 2 times, last with 9", "the password is ********", "inmanta-docker logs server"}, "up")

	// It starts and never answers.
	server(`entrypoint: [tini, --, sleep, infinity], healthcheck: {test: ["CMD-SHELL", "echo not yet; exit 1"], interval: 1s, start_period: 1ms, retries: 1}`)
	report = s.broken("server", "unknown")
	if report.Culprit.Health != "unhealthy" || len(report.Culprit.Probes) == 0 || !strings.Contains(report.Culprit.Probes[0].Output, "not yet") {
		t.Errorf("its health checks are not shown: %+v", report.Culprit)
	}
	server(`entrypoint: [tini, --, sleep, infinity], healthcheck: {interval: 10m}`)
	began := time.Now()
	report = s.broken("server", "unknown", "--timeout", "10s")
	if !report.TimedOut || time.Since(began) < 10*time.Second {
		t.Errorf("after %s it is said: %+v", time.Since(began), report)
	}
	s.says(report.What, "the time is up", s.server(), "does not answer")

	// It wants more memory than it may have.
	server(`mem_limit: 32m, memswap_limit: 32m, entrypoint: [/opt/inmanta/bin/python, -c, "x = b'1' * (1 << 28)"]`)
	report = s.broken("server", "out-of-memory")
	if !report.Culprit.OOMKilled {
		t.Errorf("the kernel did not end it: %+v", report.Culprit)
	}
	s.says(report.Cause.Fix, "more memory")

	// It is made for another machine.
	server(`entrypoint: [/etc/inmanta/foreign], configs: [{source: foreign, target: /etc/inmanta/foreign, mode: 0755}]`)
	s.write("own.yml", s.read("own.yml")+"configs: {foreign: {content: \"\\x7fELF of another kind\"}}\n")
	report = s.broken("server", "foreign-cpu")
	s.says(report.Cause.Fix, "for this machine's kind of CPU")

	// It is well, and of the services beside it one ends as it should, and one does not.
	once := func(name, words string, code int) string {
		return fmt.Sprintf(`  %s: {image: "${INMANTA_ORCHESTRATOR_IMAGE}", entrypoint: [bash, -c, "echo %s; exit %d"], `+
			`healthcheck: {disable: true}, labels: {com.inmanta.docker.one-shot: "true"}}`+"\n", name, words, code)
	}
	s.write("own.yml", "services:\n"+once("good", "a good day", 0))
	s.must("up")
	s.serves()
	if code := s.statusCode(); code != 0 {
		t.Errorf("with a service that is done, status ends with %d", code)
	}
	s.write("own.yml", s.read("own.yml")+once("bad", "a bad day", 3))
	report = s.broken("bad", "unknown")
	s.says(report.What, "exited with 3")
	logged(report.Culprit.Logs[0].Lines, "a bad day")
	s.serves()
}
