package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/postgres"
)

// The files durable_*_test.go break a pair of databases in every way of
// docs/durable-faults.md, while clients write to it.

// pair is the two databases of a stack, as docker-compose.db-replica.yml has
// them, without an orchestrator. They are on two networks: one leads to their
// clients, the other one from one to the other, so that the link can be cut
// while both are still reached, which is the worst of all partitions.
type pair struct {
	*stack
	// subnet is the clients' network, without its last number.
	subnet string
}

// nodes are the services; each one's address for clients ends in 2 and more.
var nodes = []string{postgres.FirstNode, postgres.SecondNode}

func other(node string) string {
	if node == nodes[0] {
		return nodes[1]
	}
	return nodes[0]
}

// pairs is how many run at a time: each keeps the disk and two cores busy.
var pairs = make(chan struct{}, 2)

// shape is what is different about a pair.
type shape struct {
	// arguments are the server's, environment the container's, each for both nodes.
	arguments   []string
	environment map[string]string
	// more is merged over all else.
	more string
}

// newPair is the pair's deployment directory. Nothing runs yet.
func newPair(t *testing.T, how shape) *pair {
	t.Helper()
	pairs <- struct{}{}
	t.Cleanup(func() { <-pairs })
	s := newStack(t)
	p := &pair{s, fmt.Sprintf("10.%d.%d.", s.port/256, s.port%256)}
	p.composeFiles()
	binary, err := os.ReadFile(filepath.Join(tools.dir, "inmanta-sidecar"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "inmanta-sidecar"), binary, 0o755); err != nil {
		t.Fatal(err)
	}
	p.set("COMPOSE_FILE", "docker-compose.yml:docker-compose.db-replica.yml:pair.yml:more.yml")
	p.set("COMPOSE_PROJECT_NAME", p.name)
	p.set("INMANTA_DATABASE_PASSWORD", "for-clients")
	p.set("INMANTA_DATABASE_REPLICATION_PASSWORD", "for-each-other")
	arguments, err := json.Marshal(append([]string{"postgres", "-c", "jit=off"}, how.arguments...))
	if err != nil {
		t.Fatal(err)
	}
	text := "services:\n"
	for i, node := range nodes {
		// Its name leads to it on the clients' network, too, hence the other one.
		text += fmt.Sprintf(`  %s:
    command: %s
    networks: {clients: {ipv4_address: %s%d}, link: {aliases: [link-%s]}}
    environment:
      INMANTA_PAIR_PEER_HOST: link-%s
`, node, arguments, p.subnet, i+2, node, other(node))
		for name, value := range how.environment {
			text += fmt.Sprintf("      %s: %q\n", name, value)
		}
	}
	text += fmt.Sprintf("networks:\n  clients: {ipam: {config: [{subnet: %s0/24}]}}\n  link: {}\n", p.subnet)
	p.write("pair.yml", text)
	if how.more == "" {
		how.more = "services: {}\n"
	}
	p.write("more.yml", how.more)
	return p
}

// in is the same pair for a subtest.
func (p *pair) in(t *testing.T) *pair {
	inner := *p.stack
	inner.t = t
	return &pair{&inner, p.subnet}
}

// compose runs stock docker compose.
func (p *pair) compose(arguments string) {
	p.t.Helper()
	if r := p.exec("bash", "-c", "docker compose "+arguments); r.code != 0 {
		p.t.Fatalf("docker compose %s: %s%s", arguments, r.stdout, r.stderr)
	}
}

// up starts both and returns once all is stored by both.
func (p *pair) up() (primary, standby string) {
	p.t.Helper()
	p.compose("up -d --no-deps " + strings.Join(nodes, " "))
	return p.whole()
}

// container is a node's.
func (p *pair) container(node string) string { return p.name + "-" + node }

// status is what a node says of itself; ok is false while it does not.
func (p *pair) status(node string) (s postgres.Both, ok bool) {
	out, err := exec.Command("docker", "exec", p.container(node), "/usr/local/bin/inmanta-sidecar", "postgres", "status").Output()
	return s, err == nil && json.Unmarshal(out, &s) == nil
}

// health is what a node's health check says.
func (p *pair) health(node string) (well bool, said string) {
	out, err := exec.Command("docker", "exec", p.container(node), "/usr/local/bin/inmanta-sidecar", "postgres", "health").CombinedOutput()
	return err == nil, strings.TrimSpace(string(out))
}

// order has a node do what an operator asks for.
func (p *pair) order(node string, words ...string) (said string, err error) {
	args := append([]string{"exec", p.container(node), "/usr/local/bin/inmanta-sidecar", "postgres"}, words...)
	out, err := exec.Command("docker", args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// done is order, which must succeed.
func (p *pair) done(node string, words ...string) {
	p.t.Helper()
	if said, err := p.order(node, words...); err != nil {
		p.t.Fatalf("%s, %v: %s", node, words, said)
	}
}

// refused is order, which must not succeed, and say that.
func (p *pair) refused(node, words string, order ...string) {
	p.t.Helper()
	said, err := p.order(node, order...)
	if err == nil || !strings.Contains(said, words) {
		p.t.Errorf("%s, %v: %v, and it says %q, not %q", node, order, err, said, words)
	}
}

// sql asks a node's server, as whoever has the engine can.
func (p *pair) sql(node, statement string) string {
	p.t.Helper()
	return p.docker("exec", p.container(node), "psql", "-X", "-U", "inmanta", "-d", "inmanta", "-Atc", statement)
}

// shell runs something in a node's container, as the owner of its files.
func (p *pair) shell(node, script string) string {
	p.t.Helper()
	return p.docker("exec", "-u", "postgres", p.container(node), "sh", "-c", script)
}

// catch begins a script that lies in wait for something; caught returns once it has it.
func (p *pair) catch(node, script string) (caught func()) {
	p.t.Helper()
	command := exec.CommandContext(p.t.Context(), "docker", "exec", "-u", "postgres", p.container(node), "sh", "-c", script)
	if err := command.Start(); err != nil {
		p.t.Fatal(err)
	}
	return func() {
		p.t.Helper()
		if err := command.Wait(); err != nil {
			p.t.Fatalf("%s: %v", script, err)
		}
	}
}

// until asks again and again: nothing tells whoever is outside.
func (p *pair) until(what string, ok func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(150 * time.Millisecond) {
		if ok() {
			return
		}
	}
	for _, node := range nodes {
		s, _ := p.status(node)
		_, said := p.health(node)
		text, _ := json.Marshal(s.Status)
		p.t.Logf("%s: %s\n%s", node, said, text)
		out, _ := exec.Command("docker", "logs", "--tail", "40", p.container(node)).CombinedOutput()
		p.t.Logf("log of %s:\n%s", node, out)
	}
	p.t.Fatalf("not in time: %s", what)
}

// is waits until what a node says of itself is so.
func (p *pair) is(node, what string, so func(postgres.Status) bool) {
	p.t.Helper()
	p.until(node+" "+what, func() bool {
		s, ok := p.status(node)
		return ok && so(s.Status)
	})
}

// says waits until a node's health check fails and says that: whoever looks
// after the pair sees what is wrong.
func (p *pair) says(node, words string) {
	p.t.Helper()
	p.until(fmt.Sprintf("the health check of %s says %q", node, words), func() bool {
		well, said := p.health(node)
		return !well && strings.Contains(said, words)
	})
}

// logs waits until a node's log says that.
func (p *pair) logs(node, words string) {
	p.t.Helper()
	p.until(fmt.Sprintf("the log of %s says %q", node, words), func() bool {
		return strings.Contains(p.docker("logs", p.container(node)), words)
	})
}

// whole waits, and does nothing else, until there are a primary and a standby
// which has all that is acknowledged.
func (p *pair) whole() (primary, standby string) {
	p.t.Helper()
	p.until("the pair is whole", func() bool {
		for _, node := range nodes {
			s, ok := p.status(node)
			if !ok || s.Role != postgres.Primary {
				continue
			}
			o, ok := p.status(other(node))
			if ok && s.Durable && s.State == postgres.StateServing && o.Role == postgres.Standby && o.InStep && o.State == postgres.StateFollowing {
				primary, standby = node, other(node)
				return true
			}
		}
		return false
	})
	return primary, standby
}

// kill is the end of a container, as of a machine without power.
func (p *pair) kill(node string) {
	p.t.Helper()
	p.docker("kill", p.container(node))
}

func (p *pair) start(node string) {
	p.t.Helper()
	p.docker("start", p.container(node))
}

// cut takes the link between the two away; mend gives it back.
func (p *pair) cut() {
	p.t.Helper()
	p.docker("network", "disconnect", p.name+"_link", p.container(nodes[1]))
}

func (p *pair) mend() {
	p.t.Helper()
	p.docker("network", "connect", "--alias", "link-"+nodes[1], p.name+"_link", p.container(nodes[1]))
}
