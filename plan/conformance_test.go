package plan_test

import (
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/plan"
)

// definition is one service before and after one change, and what the plan
// must say of it. %s stands for the project's name.
type definition struct {
	service string
	// before and after are the insides of a YAML mapping; an empty after is before.
	before, after string
	want          plan.Action
	// beyond is set where Compose would not do what the plan says.
	beyond bool
	// reasons are the plan's, one a line; "services.NAME" is left out.
	reasons string
}

// compose writes the services and, below them, the rest of the file.
func composeFile(definitions []definition, after bool, rest string) string {
	var text strings.Builder
	text.WriteString("services:\n")
	for _, d := range definitions {
		body := d.before
		if after && d.after != "" {
			body = d.after
		}
		if body == "none" {
			continue
		}
		if !strings.Contains(body, "image:") {
			body = "image: " + image + ":1, " + body
		}
		text.WriteString("  " + d.service + ": {" + strings.TrimSuffix(body, ", ") + "}\n")
	}
	return text.String() + rest
}

// check compares the plan's step for a service with what is wanted.
func (d definition) check(t *testing.T, p plan.Plan) {
	t.Helper()
	n := node(t, p, plan.Container, d.service)
	said := strings.ReplaceAll(lines(n.Reasons), "services."+d.service+".", "")
	said = strings.ReplaceAll(said, "services."+d.service+":", "service:")
	said = strings.ReplaceAll(strings.ReplaceAll(said, p.Project, "%s"), image, "IMAGE")
	if n.Action != d.want || n.BeyondCompose != d.beyond {
		t.Errorf("%s: %s (beyond Compose: %v), want %s (%v)\n%s", d.service, n.Action, n.BeyondCompose, d.want, d.beyond, said)
	}
	if said != d.reasons {
		t.Errorf("%s: the reasons are\n%s\nwant\n%s", d.service, said, d.reasons)
	}
}

// everything a service can say that must not be taken for a change.
const everything = `command: [], environment: {A: "1", B: "x=y z", GIVEN: "1"}, labels: {a: b, given: "1"}, ports: ["127.0.0.1:39999:80", "81", "82:82/udp"],
    expose: ["90", "91-92", "93/udp"], volumes: ["kept:/kept", "/nameless", "./:/here:ro", {type: tmpfs, target: /tmpfs}], tmpfs: ["/t", "/u:size=1m"],
    configs: [{source: inline, target: /a/b, mode: 0400}, file], secrets: [word, {source: word, target: other}, wordfile], healthcheck: {test: [CMD, /idle, ok], interval: 90s, timeout: 2s, retries: 4, start_period: 1m},
    restart: "on-failure:3", cap_add: [CHOWN, net_admin], cap_drop: [ALL], security_opt: ["no-new-privileges:true"], user: "5:6", working_dir: /w,
    hostname: h, domainname: d.e, shm_size: 256mb, ulimits: {nofile: 1000, nproc: {soft: 5, hard: 6}}, sysctls: {net.core.somaxconn: "99"}, extra_hosts: ["a:1.2.3.4"],
    dns: [9.9.9.9], dns_search: [a.b], dns_opt: ["ndots:2"], logging: {driver: json-file, options: {max-size: 1m, max-file: "2"}}, stop_grace_period: 90s, stop_signal: SIGINT, init: true, tty: true, stdin_open: true,
    read_only: false, group_add: ["7"], mem_limit: 64m, memswap_limit: 128m, mem_reservation: 32m, cpus: 0.3, cpu_shares: 100, pids_limit: 50, oom_score_adj: 10,
    devices: ["/dev/null:/dev/nil:r"], networks: {default: {aliases: [p, q]}, second: {}}, ipc: shareable, pid: host, cgroup_parent: "", runtime: runc, depends_on: [environment]`

// Each service is one change and stands for itself: what the plan says of it is
// held against what Compose then really does. Nothing needs to run for these.
var configured = []definition{
	{service: "nothing", before: everything, want: plan.Start, reasons: "service: it was never started"},
	{service: "replicas", before: "deploy: {replicas: 1, resources: {limits: {memory: 64m, cpus: '0.5', pids: 9}}, restart_policy: {condition: on-failure, max_attempts: 3}}", want: plan.Start, reasons: "service: it was never started"},
	{service: "environment", before: "environment: {A: one}", after: "environment: {A: two}", want: plan.Recreate, reasons: "environment.A: one → two"},
	{service: "environment-more", after: "environment: [TZ=UTC, EMPTY=]", want: plan.Recreate, reasons: "environment.EMPTY: added \"\"\nenvironment.TZ: added UTC"},
	{service: "environment-secret", before: "environment: {DATABASE_PASSWORD: one}", after: "environment: {DATABASE_PASSWORD: two}", want: plan.Recreate, reasons: "environment.DATABASE_PASSWORD: changed [hidden]"},
	{service: "label", before: "labels: {a.b: c}", after: "labels: {a.b: d}", want: plan.Recreate, reasons: "labels.a.b: c → d"},
	{service: "port", before: "ports: ['127.0.0.1:39001:80']", after: "ports: ['127.0.0.1:${PLAN_PORT}:80']", want: plan.Recreate, reasons: "ports: 127.0.0.1:39001:80 → 127.0.0.1:39002:80 (PLAN_PORT)"},
	{service: "image-other", after: "image: '" + image + ":2'", want: plan.Recreate, reasons: "image: IMAGE:1 → IMAGE:2"},
	{service: "image-moved", before: "image: '" + image + ":moved'", want: plan.Recreate, reasons: "image: sha256:OLD → sha256:NEW, IMAGE:moved is another image now"},
	{service: "command", before: "command: [a]", after: "command: [a, 'b c']", want: plan.Recreate, reasons: `command: a → a "b c"`},
	{service: "command-none", before: "command: [a]", after: "init: false", want: plan.Recreate, reasons: "command: removed a"},
	{service: "entrypoint", after: "entrypoint: [/idle, x]", want: plan.Recreate, reasons: "entrypoint: added /idle x"},
	{service: "healthcheck", before: "healthcheck: {test: [CMD, /idle, ok], interval: 5s}", after: "healthcheck: {test: [CMD, /idle, ok], interval: 10s}", want: plan.Recreate, reasons: "healthcheck.interval: 5s → 10s"},
	{service: "capability", before: "cap_add: [CHOWN]", after: "cap_add: [CHOWN, SETUID]", want: plan.Recreate, reasons: "cap_add: added SETUID"},
	{service: "security", after: "security_opt: ['no-new-privileges:true']", want: plan.Recreate, reasons: "security_opt: added no-new-privileges:true"},
	{service: "volume-more", before: "volumes: ['kept:/a']", after: "volumes: ['kept:/a', 'other:/b']", want: plan.Recreate, reasons: "volumes: added %s_other:/b"},
	{service: "volume-readonly", before: "volumes: ['kept:/a']", after: "volumes: ['kept:/a:ro']", want: plan.Recreate, reasons: "volumes: %s_kept:/a → %s_kept:/a:ro"},
	{service: "volume-renamed", before: "volumes: ['renamed:/a']", want: plan.Recreate, reasons: "volumes: %s-after is not mounted"},
	{service: "volume-relabelled", before: "volumes: ['relabelled:/a']", want: plan.Start, reasons: "service: it was never started"},
	{service: "tmpfs", after: "tmpfs: ['/t:size=1m']", want: plan.Recreate, reasons: "tmpfs: added /t:size=1m"},
	{service: "network-more", before: "networks: [default]", after: "networks: [default, second]", want: plan.Recreate, reasons: "networks: added %s_second"},
	{service: "network-alias", before: "networks: {default: {aliases: [a]}}", after: "networks: {default: {aliases: [b]}}", want: plan.Recreate, reasons: "networks.default.aliases: a → b"},
	{service: "network-mode", after: "network_mode: none", want: plan.Recreate, reasons: "network_mode: added none\nnetworks: removed %s_default"},
	{service: "restart", before: "restart: 'no'", after: "restart: always", want: plan.Recreate, reasons: "restart: no → always"},
	{service: "logging", before: "logging: {driver: json-file, options: {max-size: 1m}}", after: "logging: {driver: json-file, options: {max-size: 2m}}", want: plan.Recreate, reasons: "logging.options.max-size: 1m → 2m"},
	{service: "container-name", before: "container_name: '${PLAN_PROJECT}-x'", after: "container_name: '${PLAN_PROJECT}-y'", want: plan.Recreate, reasons: "container_name: %s-x → %s-y"},
	{service: "grace-period", before: "stop_grace_period: 30s", after: "stop_grace_period: 1m", want: plan.Recreate, reasons: "stop_grace_period: 30s → 60s"},
	{service: "stop-signal", after: "stop_signal: SIGQUIT", want: plan.Recreate, reasons: "stop_signal: added SIGQUIT"},
	{service: "user", after: "user: '5'", want: plan.Recreate, reasons: "user: added 5"},
	{service: "hostname", after: "hostname: h", want: plan.Recreate, reasons: "hostname: added h"},
	{service: "shm", before: "shm_size: 128m", after: "shm_size: 256m", want: plan.Recreate, reasons: "shm_size: 128m → 256m"},
	{service: "ulimit", before: "ulimits: {nofile: 100}", after: "ulimits: {nofile: {soft: 100, hard: 200}}", want: plan.Recreate, reasons: "ulimits.nofile: 100 → 100:200"},
	{service: "memory", before: "mem_limit: 64m", after: "mem_limit: 128m", want: plan.Recreate, reasons: "mem_limit: 64m → 128m"},
	{service: "read-only", after: "read_only: true", want: plan.Recreate, reasons: "read_only: added true"},
	{service: "hooks", after: "post_start: [{command: [/idle, ok]}]", want: plan.Recreate, reasons: "service: configuration hash differs, though no field that can be seen does"},
	{service: "depends-on", after: "depends_on: [nothing]", want: plan.Start, reasons: "service: it was never started"},
	{service: "pull-policy", after: "pull_policy: missing", want: plan.Start, reasons: "service: it was never started"},
	{service: "shares", before: "network_mode: 'service:environment'", want: plan.Recreate, reasons: "network_mode: the container of environment, which it shares, is another"},
	{service: "shares-kept", before: "network_mode: 'service:label-kept', volumes_from: [label-kept]", want: plan.Start, reasons: "service: it was never started"},
	{service: "label-kept", before: "labels: {a: b}", want: plan.Start, reasons: "service: it was never started"},
	{service: "new", before: "none", after: "init: false", want: plan.Create, reasons: "service: has no container yet"},
	{service: "orphan", after: "none", want: plan.Leave, reasons: "service: the files have no such service"},
}

const (
	configuredRest = `
networks: {default: {}, second: {}}
configs: {inline: {content: hello}, file: {file: ./docker-compose.yml}}
secrets: {word: {environment: PLAN_HUSH}, wordfile: {file: ./docker-compose.yml}}
volumes: {kept: {}, other: {}, renamed: {name: '${PLAN_PROJECT}-before'}, relabelled: {labels: {a: b}}}
`
	configuredRestAfter = `
networks: {default: {}, second: {}}
configs: {inline: {content: hello}, file: {file: ./docker-compose.yml}}
secrets: {word: {environment: PLAN_HUSH}, wordfile: {file: ./docker-compose.yml}}
volumes: {kept: {}, other: {}, renamed: {name: '${PLAN_PROJECT}-after'}, relabelled: {labels: {a: c}}}
`
)

func TestRecreatesExactlyWhatComposeDoes(t *testing.T) {
	t.Parallel()
	b := open(t, "configured")
	b.environment = map[string]string{"PLAN_PROJECT": b.name, "PLAN_PORT": "39002", "PLAN_IP": "127.0.0.1", "PLAN_HUSH": "hush"}
	old, latest := b.tag("1", "moved"), b.tag("2", "")
	before := composeFile(configured, false, configuredRest)
	b.create(before)

	for _, n := range b.plan(before).Nodes {
		if n.Action != plan.Leave && n.Action != plan.Start {
			t.Errorf("nothing changed, and the plan says %s", n)
		}
	}

	b.tag("2", "moved")
	after := composeFile(configured, true, configuredRestAfter)
	p := b.plan(after)
	t.Logf("the plan:\n%s", p)
	for _, d := range configured {
		d.reasons = strings.NewReplacer("sha256:OLD", old[:19], "sha256:NEW", latest[:19]).Replace(d.reasons)
		d.check(t, p)
	}
	for key, want := range map[string]plan.Action{"renamed": plan.Create, "kept": plan.Leave, "other": plan.Create, "relabelled": plan.Leave} {
		if n := node(t, p, plan.Volume, key); n.Action != want {
			t.Errorf("want %s of this volume:\n%s", want, n)
		}
	}
	const kept = "volumes.relabelled.labels.a: b → c\nvolumes.relabelled: configuration hash differs; the volume stays as it is, since making it again would lose what is in it"
	if said := lines(node(t, p, plan.Volume, "relabelled").Reasons); said != kept {
		t.Errorf("of a volume that differs, the plan says\n%s\nwant\n%s", said, kept)
	}

	containers := b.made()
	b.create(after)
	b.agrees(p, containers)
	for _, n := range b.plan(after).Nodes {
		if n.Action != plan.Leave && n.Action != plan.Start {
			t.Errorf("all has been done, and the plan still says %s", n)
		}
	}
}

// tag puts a name on one of the tests' images, unless it is empty, and says which image that is.
func (b *bench) tag(image1, name string) (id string) {
	b.Helper()
	if name != "" {
		if _, err := b.engine.ImageTag(b.ctx, client.ImageTagOptions{Source: image + ":" + image1, Target: image + ":" + name}); err != nil {
			b.Fatal(err)
		}
	}
	found, err := b.engine.ImageInspect(b.ctx, image+":"+image1)
	if err != nil {
		b.Fatal(err)
	}
	return found.ID
}

// agrees holds a plan against what Compose did: before are the containers it found.
func (b *bench) agrees(p plan.Plan, before map[string]plan.ObservedContainer) {
	b.Helper()
	after := b.made()
	stays := map[string]plan.ObservedContainer{}
	for _, c := range after {
		stays[c.ID] = c
	}
	for _, n := range p.Nodes {
		if n.Kind != plan.Container {
			continue
		}
		now, exists := after[n.Name]
		was, existed := before[n.Name]
		for _, c := range before {
			if !existed && c.Service == n.Key && n.Action == plan.Recreate {
				was, existed = c, true // under another name
			}
		}
		_, same := stays[was.ID]
		switch {
		case n.Action == plan.Create && (existed || !exists),
			n.Action == plan.Remove && (!existed || exists),
			n.Action == plan.Recreate && !n.BeyondCompose && (!existed || same || !exists),
			n.Action == plan.Recreate && n.BeyondCompose && !same,
			(n.Action == plan.Leave || n.Action == plan.Start || n.Action == plan.Restart) && !same,
			n.Action == plan.Leave && !now.Started.Equal(was.Started),
			n.Action == plan.Restart && !now.Started.After(was.Started):
			b.Errorf("Compose did otherwise (there before: %v, there now: %v, the same: %v):\n%s", existed, exists, same, n)
		}
		delete(after, n.Name)
	}
	for name := range after {
		b.Errorf("Compose made %s, of which the plan says nothing", name)
	}
}
