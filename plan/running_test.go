package plan_test

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/plan"
)

// Each service is one thing that only happens to containers that run, or ran.
var running = []definition{
	{service: "still", before: "healthcheck: {test: [CMD, /idle, ok]}, configs: [still], volumes: ['kept:/kept']", want: plan.Leave},
	{service: "content", before: "configs: [{source: greeting, target: /etc/greeting}]", want: plan.Recreate, beyond: true, reasons: "configs.greeting: content changed"},
	{service: "secret", before: "secrets: [word]", want: plan.Recreate, beyond: true, reasons: "secrets.word: content changed (PLAN_HUSH)"},
	{service: "config-more", before: "configs: [still]", after: "configs: [still, {source: greeting, target: more}]", want: plan.Recreate, reasons: "configs: added /more"},
	{service: "overwritten", before: "configs: [still]", want: plan.Recreate, beyond: true, reasons: "configs.still: content changed"},
	{service: "killed", want: plan.Start, reasons: "service: it ended with exit code 137"},
	{service: "killed-content", before: "configs: [greeting]", want: plan.Recreate, beyond: true, reasons: "configs.greeting: content changed"},
	{service: "disconnected", want: plan.Recreate, reasons: "networks: it is not connected to %s_default"},
	{service: "network-renamed", before: "networks: [renamed]", want: plan.Recreate, reasons: "networks: it is not connected to %s-after"},
	{service: "killed-network-renamed", before: "networks: [renamed]", want: plan.Recreate, beyond: true, reasons: "networks: it is not connected to %s-after"},
	{service: "network-changed", before: "networks: [changed]", want: plan.Recreate, beyond: true, reasons: "networks: %s_changed is made again, and the name network-changed is lost to a container that is only connected again"},
	{service: "adjusted", before: "restart: always", want: plan.Leave, reasons: "restart: unless-stopped → always, changed on the container itself, which `up` does not see"},
	{service: "dependency", before: "environment: {A: one}", after: "environment: {A: two}", want: plan.Recreate, reasons: "environment.A: one → two"},
	{service: "dependent", before: "depends_on: {dependency: {condition: service_started, restart: true}}", want: plan.Restart, reasons: "depends_on.dependency.restart: the container of dependency is another"},
	{service: "dependent-only", before: "depends_on: [dependency]", want: plan.Leave},
	{service: "sharing", before: "network_mode: 'service:dependency'", want: plan.Recreate, reasons: "network_mode: the container of dependency, which it shares, is another"},
	{service: "more", before: "scale: 1", after: "scale: 2", want: plan.Leave},
	{service: "fewer", before: "scale: 2", after: "scale: 1", want: plan.Leave},
}

const (
	runningRest = `
networks: {default: {}, renamed: {name: '${PLAN_PROJECT}-before'}, changed: {labels: {a: b}}}
configs: {still: {content: still}, greeting: {content: hello}}
secrets: {word: {environment: PLAN_HUSH}}
volumes: {kept: {}}
`
	runningRestAfter = `
networks: {default: {}, renamed: {name: '${PLAN_PROJECT}-after'}, changed: {labels: {a: c}}}
configs: {still: {content: still}, greeting: {content: hallo}}
secrets: {word: {environment: PLAN_HUSH}}
volumes: {kept: {}}
`
)

func TestRunningContainers(t *testing.T) {
	t.Parallel()
	b := open(t, "running")
	b.environment = map[string]string{"PLAN_PROJECT": b.name, "PLAN_HUSH": "quiet"}
	before := composeFile(running, false, runningRest)
	b.marked = true
	b.up(before)
	b.marked = false
	if p := b.plan(before); !p.Empty() || p.ExitCode() != plan.ExitNothing || len(plan.Drift(p)) > 0 {
		t.Fatalf("nothing changed, and the plan says\n%s", p)
	}
	if b.reads != 0 {
		t.Errorf("%d files were read though their containers vouch for them", b.reads)
	}

	for _, service := range []string{"killed", "killed-content", "killed-network-renamed"} {
		b.kill(b.container(service))
	}
	b.overwrite(b.container("overwritten"), "/still", "stilt")
	if _, err := b.engine.NetworkDisconnect(b.ctx, b.name+"_default", client.NetworkDisconnectOptions{Container: b.container("disconnected")}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.engine.ContainerUpdate(b.ctx, b.container("adjusted"), client.ContainerUpdateOptions{
		RestartPolicy: &container.RestartPolicy{Name: container.RestartPolicyUnlessStopped},
	}); err != nil {
		t.Fatal(err)
	}
	b.environment["PLAN_HUSH"] = "louder"
	after := composeFile(running, true, runningRestAfter)
	p := b.plan(after)
	t.Logf("the plan:\n%s", p)
	for _, d := range running {
		d.check(t, p)
	}
	if said := lines(node(t, p, plan.Network, "changed").Reasons); said != "networks.changed.labels.a: b → c" {
		t.Errorf("of a network that differs, the plan says %q", said)
	}
	if text := p.String(); strings.Contains(text, "louder") || strings.Contains(text, "quiet") {
		t.Error("the plan shows a secret")
	}

	containers := b.made()
	b.up(after)
	b.agrees(p, containers)

	// What Compose has left as it was is all that is left to do.
	rest := b.plan(after)
	t.Logf("after Compose's own up:\n%s", rest)
	for service, reason := range map[string]string{
		"content":     "configs.greeting: content changed",
		"secret":      "secrets.word: content changed (PLAN_HUSH)",
		"overwritten": "configs.still: content changed",
		// Compose has only connected it again.
		"network-changed": "services.network-changed.networks: on " + b.name + "_changed it does not answer to the name network-changed",
		// It runs now, and on the wrong network.
		"killed-network-renamed": "services.killed-network-renamed.networks: it is not connected to " + b.name + "-after",
	} {
		if n := node(t, rest, plan.Container, service); n.Action != plan.Recreate || lines(n.Reasons) != reason {
			t.Errorf("of %s is left:\n%s\nwant a recreation with\n%s", service, n, reason)
		}
	}
	containers = b.made()
	b.up(after, forced(rest)...)
	for _, n := range rest.Nodes {
		if _, kept := containers[n.Name]; n.Kind == plan.Container && kept {
			same := b.made()[n.Name].ID == containers[n.Name].ID
			if same != (n.Action == plan.Leave) {
				t.Errorf("with force, the same container stands here (%v):\n%s", same, n)
			}
		}
	}
	if p := b.plan(after); !p.Empty() || b.reads == 0 {
		t.Errorf("all has been done (and %d files read, of containers that nobody marked), and the plan still says\n%s", b.reads, p)
	}
}

// container is the ID of a service's first container.
func (b *bench) container(service string) string {
	b.Helper()
	return b.made()[b.name+"-"+service+"-1"].ID
}

// kill ends a container and waits until it has.
func (b *bench) kill(id string) {
	b.Helper()
	ended := b.engine.ContainerWait(b.ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	if _, err := b.engine.ContainerKill(b.ctx, id, client.ContainerKillOptions{Signal: "KILL"}); err != nil {
		b.Fatal(err)
	}
	select {
	case <-ended.Result:
	case err := <-ended.Error:
		b.Fatal(err)
	}
}

// overwrite replaces a file in a container.
func (b *bench) overwrite(id, path, text string) {
	b.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: path, Mode: 0o444, Size: int64(len(text))}); err != nil {
		b.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	if _, err := b.engine.CopyToContainer(b.ctx, id, client.CopyToContainerOptions{DestinationPath: "/", Content: &archive}); err != nil {
		b.Fatal(err)
	}
}

// forced are the services whose containers Compose would keep and the plan does not.
func forced(p plan.Plan) []string {
	var services []string
	for _, n := range p.Nodes {
		if n.BeyondCompose && n.Action == plan.Recreate {
			services = append(services, n.Key)
		}
	}
	return services
}
