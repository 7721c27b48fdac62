package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// logText is what a busy orchestrator logs, the same each time: lines as the
// scheduler and the server write them at level DEBUG, about thousands of
// resources that are deployed again and again. What tells how well it is
// compressed is what differs from line to line: times, identifiers, durations,
// and which resource it is about.
type logText struct {
	source    *rand.ChaCha8
	random    *rand.Rand
	now       time.Time
	resources []string
	buffer    []byte
}

const (
	loggedResources = 4000
	loggedAgents    = 60
)

func newLogText() *logText {
	source := rand.NewChaCha8([32]byte{})
	t := &logText{source: source, random: rand.New(source), now: time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)}
	kinds := []func(n int) string{
		func(n int) string { return fmt.Sprintf("path=/etc/network/interfaces.d/eth%d.%d", n%8, 100+n) },
		func(n int) string { return fmt.Sprintf("name=ge-0/%d/%d", n%4, n%48) },
		func(n int) string { return fmt.Sprintf("key=customer-%05d/vpn", 7*n) },
		func(n int) string { return "service_id=" + t.id() },
	}
	types := []string{"std::testing::NullResource", "files::TextFile", "net::Interface", "net::Vrf", "bgp::Neighbour", "lsm::LifecycleTransfer", "terraform::Resource", "kubernetes::Manifest"}
	for n := range loggedResources {
		t.resources = append(t.resources, fmt.Sprintf("%s[agent-%02d.lab.example.net,%s]", types[t.random.IntN(len(types))], n%loggedAgents, kinds[n%len(kinds)](n)))
	}
	return t
}

// writeTo writes so many bytes of it, which end with a line.
func (t *logText) writeTo(to io.Writer, size int64) error {
	for size > 0 {
		t.buffer = t.buffer[:0]
		for len(t.buffer) < 1<<20 && int64(len(t.buffer)) < size {
			t.happens()
		}
		if int64(len(t.buffer)) >= size {
			t.buffer = append(t.buffer[:size-1], '\n')
		}
		n, err := to.Write(t.buffer)
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}

// id is a random identifier.
func (t *logText) id() string {
	var b [16]byte
	_, _ = t.source.Read(b[:])
	text := hex.EncodeToString(b[:])
	return text[:8] + "-" + text[8:12] + "-4" + text[13:16] + "-" + text[16:20] + "-" + text[20:]
}

// line begins one: time, level, and who says it.
func (t *logText) line(level, logger, format string, args ...any) {
	t.now = t.now.Add(time.Duration(t.random.ExpFloat64() * float64(4*time.Millisecond)))
	t.buffer = t.now.AppendFormat(t.buffer, "2006-01-02 15:04:05,000 ")
	t.buffer = fmt.Appendf(t.buffer, "%-8s %-10s ", level, logger)
	t.buffer = fmt.Appendf(t.buffer, format, args...)
	t.buffer = append(t.buffer, '\n')
}

// happens is one thing that happens, in the lines that are written about it.
func (t *logText) happens() {
	switch n := t.random.IntN(100); {
	case n < 55:
		t.deploy()
	case n < 75:
		calls := []string{"POST /api/v1/agentstate", "POST /api/v2/db_status", "POST /api/v1/scheduler/", "GET /api/v2/agentrecovery?agent=%24__scheduler", "POST /api/v2/resource_action"}
		call := t.random.IntN(len(calls))
		t.line("INFO", "inmanta.protocol.websocket", "Received RPC_CALL %s (reply_id=%s)", calls[call], t.id())
		t.line("DEBUG", "inmanta.protocol.rest", "Calling method %s user=<>", []string{"set_state(agent=None, enabled=True)", "get_db_status()", "read_version(env=719c7ad...)", "recover(agent=$__sche...)", "update(action_id=" + t.id()[:7] + "...)"}[call])
	case n < 97:
		paths := []string{"/api/v2/project", "/api/v2/resource/" + t.resources[t.random.IntN(len(t.resources))], "/api/v2/compilereport/" + t.id(), "/lsm/v1/service_inventory/l3vpn/" + t.id(), "/api/v2/notification?limit=100", "/api/v1/serverstatus"}
		t.line("INFO", "tornado.access", "200 GET %s (10.20.%d.%d) %.2fms", paths[t.random.IntN(len(paths))], t.random.IntN(4), t.random.IntN(250), 1+20*t.random.ExpFloat64())
	case n < 99:
		t.line("DEBUG", "inmanta.deploy.scheduler", "Processing intent changes for %d resources between currently managed model version %d and new model version %d, because a new version was released", t.random.IntN(loggedResources), t.random.IntN(900), t.random.IntN(900))
	default:
		t.failure()
	}
}

// deploy is the deployment of one resource, which mostly changes nothing.
func (t *logText) deploy() {
	resource, version, deploy := t.resources[t.random.IntN(len(t.resources))], 1+t.random.IntN(900), t.id()
	agent := fmt.Sprintf("agent-%02d.lab.example.net", t.random.IntN(loggedAgents))
	logger := "inmanta.resource_action." + agent
	say := func(level, format string, args ...any) {
		t.line(level, logger, "resource %s,v=%d: "+format, append([]any{resource, version}, args...)...)
	}
	say("INFO", "Resource deploy started on agent %s, setting status to deploying", agent)
	say("DEBUG", "Start run because a new version was released (deploy_id: %s).", deploy)
	say("DEBUG", "Calling read_resource")
	if t.random.IntN(10) == 0 {
		say("DEBUG", "Calling update_resource, changes: {'mtu': {'current': %d, 'desired': %d}, 'description': {'current': '', 'desired': 'managed by %s'}}", 1500+t.random.IntN(7500), 1500+t.random.IntN(7500), t.id()[:8])
	}
	say("DEBUG", "End run for resource %s,v=%d. (deploy_id: %s) - duration: %.4f s", resource, version, deploy, t.random.ExpFloat64()/20)
}

// failure is a handler's, with where it came from.
func (t *logText) failure() {
	t.line("ERROR", "inmanta.resource_action.internal", "resource %s,v=%d: An error occurred during deployment of %s (exception: ConnectionError('timed out after %.3f s'))", t.resources[t.random.IntN(len(t.resources))], t.random.IntN(900), t.id(), 10+t.random.Float64())
	t.buffer = append(t.buffer, "Traceback (most recent call last):\n"...)
	for range 3 + t.random.IntN(8) {
		module := []string{"agent/handler.py", "agent/executor.py", "agent/forking_executor.py", "deploy/tasks.py", "agent/resourcepool.py"}[t.random.IntN(5)]
		function := []string{"execute", "do_changes", "read_resource", "get_connection", "create_member", "get"}[t.random.IntN(6)]
		t.buffer = fmt.Appendf(t.buffer, "  File \"/opt/inmanta/lib/python3.13/site-packages/inmanta/%s\", line %d, in %s\n    result = await self.%s(context, resource)\n             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n", module, 100+t.random.IntN(900), function, function)
	}
	t.buffer = append(t.buffer, "ConnectionError: timed out\n"...)
}
