package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	paircerts "github.com/inmanta/inmanta-docker/certificates"
	"github.com/inmanta/inmanta-docker/sidecar/postgres"
)

// hostPair is two machines with a database each, and a link between them.
type hostPair struct {
	t             *testing.T
	first, second *machine
}

// What the machines have on their link.
const (
	link          = "pair0"
	firstHost     = "10.77.0.1"
	secondHost    = "10.77.0.2"
	secondAnother = "fd77::2" // of the other kind
	// What is published on the second machine is so on ports of its own.
	secondPort, secondAgentPort = "6432", "6433"
	// How the first machine's deployment begins; it is remembered.
	firstUp = "inmanta-docker --with db-primary up"
)

// Two machines with an engine each: what is written is stored by both, over TLS
// that is verified; a link that is cut costs time and nothing else; and when the
// first machine is gone the second goes on, once somebody says so. The first has no
// compose files of its own; the second is run by the stock tool.
func TestDurableOnTwoHosts(t *testing.T) {
	t.Parallel()
	h := newHostPair(t)
	first, second := h.first, h.second
	h.refused()

	first.must("inmanta-docker db certificates --host db=" + firstHost + " --host db-replica=" + secondHost + " --host db-replica=" + secondAnother)
	h.handOver()
	// Alone it makes no cluster, and says at once what it waits for.
	first.says(firstUp+" --timeout 6s", 1, "Out of sight  start db-replica on its machine", "a new cluster is only made when that one has none",
		"nobody waited for it any more: NO PRIMARY")
	second.s.composeFiles()
	second.must("docker compose up -d")
	first.must("inmanta-docker up")
	h.whole(first, second)
	for _, m := range []*machine{first, second} {
		m.says("inmanta-docker db status", 0, "durable: every commit is stored by both")
		m.says("inmanta-docker status", 0, "healthy")
		m.says("inmanta-docker up --dry-run", 0, "leave")
		m.says("inmanta-docker image ensure", 0, "Present")
	}
	first.must("docker exec " + first.s.server() + " inmanta-cli project create --name precious")
	h.encrypted()
	h.strangers()

	h.linkCut()
	h.foreignAuthority()
	h.renewed()
	h.firstGone()
	h.otherAddresses()
}

// newHostPair is the two machines with their engines and images, and what init and
// the settings make of their deployments.
func newHostPair(t *testing.T) *hostPair {
	t.Helper()
	h := &hostPair{t: t}
	var secret string
	for i, one := range []struct {
		m      **machine
		suffix string
		env    map[string]string
		images []string
	}{
		{&h.first, "-1", map[string]string{
			"INMANTA_DATABASE_IP": firstHost, "INMANTA_DATABASE_PEER_HOST": secondHost,
			"INMANTA_DATABASE_PEER_PORT": secondPort, "INMANTA_DATABASE_PEER_AGENT_PORT": secondAgentPort,
		}, []string{tools.images["POSTGRESQL_IMAGE"], tools.images["INMANTA_ORCHESTRATOR_IMAGE"]}},
		{&h.second, "-2", map[string]string{
			"COMPOSE_FILE":        "docker-compose.db-standby.yml",
			"INMANTA_DATABASE_IP": secondHost, "INMANTA_DATABASE_PEER_HOST": firstHost,
			"INMANTA_DATABASE_PORT": secondPort, "INMANTA_DATABASE_AGENT_PORT": secondAgentPort,
		}, []string{tools.images["POSTGRESQL_IMAGE"]}},
	} {
		s := newStackNamed(t, one.suffix)
		s.must("init")
		for name, value := range one.env {
			s.set(name, value)
		}
		m := newMachine(t, s)
		m.must("host-engine")
		m.load(one.images...)
		if i == 0 {
			secret = m.must("sed -n s/^INMANTA_DATABASE_REPLICATION_PASSWORD=//p .env").stdout
		} else {
			s.set("INMANTA_DATABASE_REPLICATION_PASSWORD", strings.Trim(secret, "'\"\n"))
		}
		*one.m = m
	}
	// It goes when they go.
	cable := exec.Command("ip", "link", "add", link, "netns", strconv.Itoa(h.first.init), "type", "veth", "peer", "name", link, "netns", strconv.Itoa(h.second.init))
	if out, err := cable.CombinedOutput(); err != nil {
		t.Fatalf("linking two machines: %v\n%s", err, out)
	}
	h.first.must(fmt.Sprintf("ip address add %s/24 dev %[2]s && ip link set %[2]s up", firstHost, link))
	h.second.must(fmt.Sprintf("ip address add %s/24 dev %[2]s && ip link set %[2]s up", secondHost, link))
	t.Cleanup(func() {
		for _, m := range []*machine{h.first, h.second} {
			if t.Failed() {
				args := m.command("docker logs --tail 40 " + h.database(m)).Args
				log, _ := exec.Command(args[0], args[1:]...).CombinedOutput() // the test's context is over
				t.Logf("log of %s:\n%s", h.database(m), log)
			}
		}
	})
	return h
}

// handOver copies what the second machine needs to it, and nothing else.
func (h *hostPair) handOver() {
	h.t.Helper()
	for _, name := range []string{"ca.crt", "db-replica.crt", "db-replica.key"} {
		h.give(filepath.Join(h.first.s.dir, paircerts.Folder), name)
	}
}

func (h *hostPair) give(folder, name string) {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		h.t.Fatal(err)
	}
	h.second.s.write(filepath.Join(paircerts.Folder, name), string(text))
}

// says runs a line, which must end with that code and say that.
func (m *machine) says(line string, code int, words ...string) {
	m.s.t.Helper()
	r := m.run(line)
	for _, w := range words {
		if r.code != code || !strings.Contains(r.stdout+r.stderr, w) {
			m.s.t.Errorf("%s: exit code %d, want %d and %q\n%s%s", line, r.code, code, w, r.stdout, r.stderr)
		}
	}
}

// database is the name of the machine's container with one.
func (h *hostPair) database(m *machine) string {
	if m == h.first {
		return m.s.db()
	}
	return m.s.name + "-db-replica"
}

// sql asks the machine's database.
func (h *hostPair) sql(m *machine, statement string) string {
	h.t.Helper()
	return strings.TrimSpace(m.must(fmt.Sprintf("docker exec %s psql -X -U inmanta -Atc %q", h.database(m), statement)).stdout)
}

// agent is what the machine's database says of itself.
func (h *hostPair) agent(m *machine) (s postgres.Both, ok bool) {
	r := m.run("docker exec " + h.database(m) + " inmanta-sidecar postgres status")
	return s, r.code == 0 && json.Unmarshal([]byte(r.stdout), &s) == nil
}

// whole waits until that machine has the primary and the other one all that it acknowledges.
func (h *hostPair) whole(primary, standby *machine) {
	h.t.Helper()
	h.first.s.eventually("both have all that is acknowledged", func() bool {
		p, answers := h.agent(primary)
		s, both := h.agent(standby)
		return answers && both && p.Role == postgres.Primary && p.Durable && p.State == postgres.StateServing &&
			s.Role == postgres.Standby && s.InStep && s.State == postgres.StateFollowing
	})
}

// explained waits until the machine's database says what is wrong.
func (h *hostPair) explained(m *machine, words string) {
	h.t.Helper()
	m.s.eventually(h.database(m)+" says "+words, func() bool {
		return strings.Contains(m.run("docker exec "+h.database(m)+" inmanta-sidecar postgres health").stderr, words)
	})
}

// refused: without certificates nothing is started.
func (h *hostPair) refused() {
	h.t.Helper()
	for m, line := range map[*machine]string{h.first: firstUp, h.second: "inmanta-docker up"} {
		m.says(line, 1, "tls: the compose files mount this, and it is not there", "inmanta-docker db certificates")
	}
}

// encrypted: replication and the orchestrator use TLS, and verify it.
func (h *hostPair) encrypted() {
	h.t.Helper()
	if got := h.sql(h.first, "SELECT ssl, version, client_addr FROM pg_stat_ssl JOIN pg_stat_replication USING (pid)"); got != "t|TLSv1.3|"+secondHost {
		h.t.Errorf("replication: %q", got)
	}
	const clients = "SELECT ssl, client_addr, usename, application_name, state, query FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_addr IS NOT NULL AND backend_type = 'client backend' ORDER BY ssl"
	if got := h.sql(h.first, clients); !strings.HasPrefix(got, "t|") {
		h.t.Errorf("not all of the orchestrator's connections are encrypted, or it has none:\n%s", got)
	}
	if got := h.sql(h.second, "SELECT conninfo LIKE '%sslmode=verify-full%' FROM pg_stat_wal_receiver"); got != "t" {
		h.t.Error("the standby does not verify whom it copies")
	}
	if got := h.first.must("docker exec " + h.first.s.server() + " printenv PGSSLMODE").stdout; got != "verify-full\n" {
		h.t.Errorf("the orchestrator verifies %q", got)
	}
}

// strangers: whoever is not the peer does not replicate, with the right password
// or not, and nobody connects in clear.
func (h *hostPair) strangers() {
	h.t.Helper()
	secret := strings.Trim(h.first.must("sed -n s/^INMANTA_DATABASE_REPLICATION_PASSWORD=//p .env").stdout, "'\"\n")
	ask := func(m *machine, host, words string) {
		h.t.Helper()
		m.says(fmt.Sprintf("docker run --rm --network %s_default -e PGPASSWORD=%s --entrypoint psql %s %q -c 'IDENTIFY_SYSTEM'",
			filepath.Base(m.s.dir), secret, tools.images["POSTGRESQL_IMAGE"],
			"host="+host+" user=inmanta_replication "+words), 2, "pg_hba.conf")
	}
	ask(h.first, "db", "replication=true sslmode=require")
	ask(h.second, firstHost, "dbname=inmanta sslmode=require")
	ask(h.second, firstHost, "replication=true sslmode=disable")
	// So that it is the address, and not the password, that they are refused for:
	h.second.says(fmt.Sprintf("docker run --rm --network %s_default -e PGPASSWORD=%s --entrypoint psql %s 'host=%s user=inmanta_replication replication=true sslmode=require' -c IDENTIFY_SYSTEM",
		filepath.Base(h.second.s.dir), secret, tools.images["POSTGRESQL_IMAGE"], firstHost), 0, "systemid")
}

// linkCut: while the two do not see each other nothing is acknowledged, both say
// so, and then all goes on.
func (h *hostPair) linkCut() {
	h.t.Helper()
	h.sql(h.first, "CREATE TABLE journal (entry int)")
	h.first.must("ip link set " + link + " down")
	acknowledged := make(chan result, 1)
	go func() {
		acknowledged <- h.first.run("docker exec " + h.database(h.first) + " psql -X -U inmanta -c 'INSERT INTO journal VALUES (1)'")
	}()
	h.explained(h.first, "commits wait: db-replica is away")
	h.explained(h.second, "nothing comes from db")
	h.first.says("inmanta-docker db status", 1, "commits wait")
	select {
	case r := <-acknowledged:
		h.t.Errorf("a commit was acknowledged by one alone: %s%s", r.stdout, r.stderr)
	default:
	}
	h.first.must("ip link set " + link + " up")
	r := <-acknowledged
	if r.code != 0 || r.stderr != "" || strings.TrimSpace(r.stdout) != "INSERT 0 1" {
		h.t.Errorf("the commit that waited: %d %s%s", r.code, r.stdout, r.stderr)
	}
	h.whole(h.first, h.second)
	h.holds(h.second, 1)
}

// holds waits until the machine's database shows so many entries: a standby
// shows what it has stored a moment later.
func (h *hostPair) holds(m *machine, entries int) {
	h.t.Helper()
	m.s.eventually(fmt.Sprint(entries, " entries are there"), func() bool { return h.sql(m, "SELECT count(*) FROM journal") == strconv.Itoa(entries) })
}

// foreignAuthority: a second machine with certificates of its own making neither
// believes the first nor is believed.
func (h *hostPair) foreignAuthority() {
	h.t.Helper()
	foreign := h.t.TempDir()
	if _, err := paircerts.Make(foreign, []paircerts.Node{{Name: "db-replica", Hosts: []string{secondHost}}}, time.Now()); err != nil {
		h.t.Fatal(err)
	}
	for _, name := range []string{"ca.crt", "db-replica.crt", "db-replica.key"} {
		h.give(foreign, name)
	}
	h.second.must("inmanta-docker restart db-replica")
	h.explained(h.second, "db's certificate is not of the authority in ca.crt")
	h.handOver()
	h.second.must("inmanta-docker restart db-replica")
	h.whole(h.first, h.second)
}

// renewed: new certificates, and each database restarted by itself.
func (h *hostPair) renewed() {
	h.t.Helper()
	serial := func(m *machine) string {
		return m.must(fmt.Sprintf("docker exec %s sha256sum /run/inmanta-postgres/server.crt", h.database(m))).stdout
	}
	before := [2]string{serial(h.first), serial(h.second)}
	h.first.says("inmanta-docker db certificates", 0, "kept ", "db-replica is good for "+secondHost)
	h.handOver()
	h.first.s.composeFiles()
	h.first.must("docker compose up -d --force-recreate --no-deps db")
	h.whole(h.first, h.second)
	h.second.must("inmanta-docker restart db-replica")
	h.whole(h.first, h.second)
	if serial(h.first) == before[0] || serial(h.second) == before[1] {
		h.t.Error("the databases have the certificates from before")
	}
	h.encryptedAgain()
}

// encryptedAgain: the orchestrator is back, over TLS.
func (h *hostPair) encryptedAgain() {
	h.t.Helper()
	h.first.s.eventually("the orchestrator serves", func() bool { return h.first.run("inmanta-docker status").code == 0 })
	h.encrypted()
}

// firstGone: the power fails on the first machine. The second takes over when it is
// told that the first is dead, and the first follows it when it is back.
func (h *hostPair) firstGone() {
	h.t.Helper()
	h.sql(h.first, "INSERT INTO journal VALUES (2)")
	// Nowhere but on the machine of our own; it may end the shell, too.
	h.first.run(`[ "$(cat /proc/1/comm)" = sleep ] && kill -9 -1`)
	failover := "docker exec " + h.database(h.second) + " inmanta-sidecar postgres failover"
	h.explained(h.second, "nothing comes from db")
	h.second.says(failover, 1, "db does not answer", "--primary-is-dead")
	h.second.says("inmanta-docker db failover", 1, "db is on another machine: whether it runs cannot be found out from here", failover+" --primary-is-dead")
	h.second.must(failover + " --primary-is-dead")
	h.holds(h.second, 2)
	h.second.says("inmanta-docker db status", 1, "db-replica", "primary")

	h.first.must("host-engine")
	h.whole(h.second, h.first)
	h.holds(h.first, 2)
	h.first.s.eventually("the orchestrator serves", func() bool {
		r := h.first.run("docker exec " + h.first.s.server() + " inmanta-cli project list")
		return r.code == 0 && strings.Contains(r.stdout, "precious")
	})
	if got := h.sql(h.second, "SELECT count(*) > 0 AND bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_addr = '"+firstHost+"' AND usename = 'inmanta'"); got != "t" {
		h.t.Error("the orchestrator's connections to the other machine are not all encrypted")
	}
}

// otherAddresses: the first machine reaches the second by IPv6, whose engine passes
// that on from an address of its own. It is not the one that the log is given to,
// until it is said that it is.
func (h *hostPair) otherAddresses() {
	h.t.Helper()
	h.first.must("ip address add fd77::1/64 dev " + link + " nodad")
	h.second.must("ip address add " + secondAnother + "/64 dev " + link + " nodad && ip route add fd78::/64 via fd77::1")
	h.second.s.set("INMANTA_DATABASE_IP", "["+secondAnother+"]")
	h.second.must("docker compose up -d")
	h.first.s.write("ipv6.yml", "networks: {default: {enable_ipv6: true, ipam: {config: [{subnet: 'fd78::/64'}]}}}\n")
	h.first.s.set("COMPOSE_FILE", "docker-compose.yml:docker-compose.db-primary.yml:ipv6.yml")
	h.first.s.set("INMANTA_DATABASE_PEER_HOST", "["+secondAnother+"]")
	h.first.must("docker compose down && docker compose up -d --no-deps db")
	h.explained(h.first, "db-replica does not expect this node at the address that it connects from")
	gateway := strings.TrimSpace(h.second.must("docker network inspect -f '{{(index .IPAM.Config 0).Gateway}}' " + filepath.Base(h.second.s.dir) + "_default").stdout)
	h.second.s.set("INMANTA_DATABASE_PEER_SOURCE", gateway+"/32")
	h.second.must("docker compose up -d")
	h.whole(h.second, h.first)
	if got := h.sql(h.second, "SELECT ssl, client_addr FROM pg_stat_ssl JOIN pg_stat_replication USING (pid)"); got != "t|"+gateway {
		h.t.Errorf("replication: %q", got)
	}
	h.first.must("inmanta-docker up")
	if got := h.first.must("docker exec " + h.first.s.server() + " inmanta-cli project list").stdout; !strings.Contains(got, "precious") {
		h.t.Errorf("the orchestrator has another database: %s", got)
	}
}
