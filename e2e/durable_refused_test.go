package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/sidecar/postgres"
)

// The tests of this file give a pair what it must refuse before data is touched.

// refuses waits until a node says that, and does nothing.
func (p *pair) refuses(node, words string) {
	p.t.Helper()
	p.is(node, fmt.Sprintf("refuses: %q", words), func(s postgres.Status) bool {
		return s.State == postgres.StateRefusing && strings.Contains(s.Why, words)
	})
	p.says(node, words)
}

// volume is a node's.
func (p *pair) volume(node string) string {
	p.t.Helper()
	return p.docker("inspect", "-f", `{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}}{{end}}{{end}}`, p.container(node))
}

// TestDurableRefused has volumes that are in use, foreign, and empty.
func TestDurableRefused(t *testing.T) {
	t.Parallel()
	p := newPair(t, shape{})
	p.up()
	for _, f := range []fault{
		{"volume-in-use", volumeInUse},
		{"foreign-cluster", foreignCluster},
		{"volume-emptied", volumeEmptied},
		{"volumes-swapped", volumesSwapped},
		{"second-standby", secondStandby},
		{"secret", secrets},
		{"itself", itself},
	} {
		if !t.Run(f.name, func(t *testing.T) { f.run(p.in(t)) }) {
			return
		}
	}
}

// image is what the nodes run.
func (p *pair) image() string {
	p.t.Helper()
	return p.docker("inspect", "-f", "{{.Config.Image}}", p.container(nodes[0]))
}

// volumeInUse starts another container on the primary's volume.
func volumeInUse(p *pair) {
	c := p.clients(2, longAnswer)
	primary, _ := p.whole()
	second := p.name + "-second"
	p.t.Cleanup(func() { _ = exec.Command("docker", "rm", "-f", second).Run() })
	p.docker("run", "-d", "--name", second, "--volumes-from", p.container(primary), "--user", "0:0", "--cap-add", "SETPCAP",
		"-e", "POSTGRES_USER=inmanta", "-e", "POSTGRES_PASSWORD=x", "-e", "INMANTA_PAIR_NODE="+primary, "-e", "INMANTA_PAIR_PEER="+other(primary), "-e", "INMANTA_PAIR_SECRET=x",
		"--entrypoint", "/usr/local/bin/inmanta-sidecar", p.image(), "postgres")
	p.until("the second one is refused", func() bool {
		out, err := exec.Command("docker", "exec", second, "/usr/local/bin/inmanta-sidecar", "postgres", "health").CombinedOutput()
		return err != nil && strings.Contains(string(out), "another container uses this volume; stop the other container")
	})
	if got := p.docker("exec", second, "sh", "-c", "pgrep -x postgres || true"); got != "" {
		p.t.Errorf("it runs a server all the same: %s", got)
	}
	p.docker("rm", "-f", second)
	c.goesOn()
	c.judge()
}

// replaceVolume runs a script on a node's volume, while the node is down.
func (p *pair) replaceVolume(node, script string) {
	p.t.Helper()
	p.docker("stop", p.container(node))
	p.docker("run", "--rm", "-v", p.volume(node)+":/var/lib/postgresql/data", "--user", "0:0", "--entrypoint", "sh", p.image(), "-c", script)
	p.start(node)
}

const emptied = "find /var/lib/postgresql/data -mindepth 1 -delete"

// foreignCluster gives the standby a volume with the cluster of somebody else.
func foreignCluster(p *pair) {
	c := p.clients(2, longAnswer)
	_, standby := p.whole()
	p.replaceVolume(standby, emptied+`; chown postgres /var/lib/postgresql/data
		runuser -u postgres -- initdb --auth=trust -D /var/lib/postgresql/data >/dev/null && touch /var/lib/postgresql/data/precious`)
	p.refuses(standby, "the volume holds another cluster")
	p.shell(standby, "test -e $PGDATA/precious")
	p.replaceVolume(standby, emptied)
	c.goesOn()
	c.judge()
}

// volumeEmptied starts a primary with an empty volume beside a standby that has
// all of its data, and alone: a new cluster is made in neither case.
func volumeEmptied(p *pair) {
	c := p.clients(2, longAnswer)
	c.goesOn()
	primary, standby := p.whole()
	p.kill(standby)
	p.replaceVolume(primary, emptied)
	p.is(primary, "waits for the other one", func(s postgres.Status) bool {
		return s.Empty && s.State == postgres.StateWaiting && strings.Contains(s.Why, "the volume is empty")
	})
	p.start(standby)
	p.refuses(primary, "the volume is empty, and "+standby+" has the data as a standby")
	p.takeOver(standby)
	c.goesOn()
	if now, _ := p.whole(); now != standby {
		p.t.Errorf("%s is the primary", now)
	}
	c.judge()
}

// volumesSwapped gives a node the other one's volume.
func volumesSwapped(p *pair) {
	c := p.clients(2, longAnswer)
	_, standby := p.whole()
	swap := fmt.Sprintf(`cd /var/lib/postgresql/data/pgsql_tmp.inmanta-docker && sed -i 's/"node": *"%%s"/"node": "%%s"/' node.json`)
	p.replaceVolume(standby, fmt.Sprintf(swap, standby, other(standby)))
	p.refuses(standby, "this is the volume of "+other(standby))
	p.replaceVolume(standby, fmt.Sprintf(swap, other(standby), standby))
	c.goesOn()
	c.judge()
}

// secondStandby has somebody who knows the secret ask for the log in the
// standby's name, from another address.
func secondStandby(p *pair) {
	primary, _ := p.whole()
	out, err := exec.Command("docker", "run", "--rm", "--network", p.name+"_clients", "-e", "PGPASSWORD=for-each-other", "--entrypoint", "psql", p.image(),
		fmt.Sprintf("host=%s%d user=inmanta_replication replication=true application_name=db-replica sslmode=disable", p.subnet, 2+strings.Index("db db-replica", primary)/3), "-c", "IDENTIFY_SYSTEM").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "pg_hba.conf") {
		p.t.Errorf("a stranger gets the log: %s", out)
	}
	p.whole()
}

// again makes a node's container again: a changed secret does not by itself.
func (p *pair) again(node string) {
	p.t.Helper()
	p.compose("up -d --no-deps --force-recreate " + node)
}

// secrets gives one node another secret, and then both a new one.
func secrets(p *pair) {
	c := p.clients(2, longAnswer)
	c.goesOn()
	primary, standby := p.whole()
	p.set("INMANTA_DATABASE_REPLICATION_PASSWORD", "a-new-one")
	p.again(standby)
	p.is(standby, "says that the secrets differ", func(s postgres.Status) bool {
		return strings.Contains(s.LastFailure.What, "it does not have the same replication password: set one and the same for both")
	})
	p.says(primary, "commits wait: "+standby+" is away")
	p.again(primary)
	c.goesOn()
	if now, _ := p.whole(); now != primary {
		p.t.Errorf("%s is the primary", now)
	}
	c.judge()
}

// itself sets a node's peer to its own address.
func itself(p *pair) {
	c := p.clients(2, longAnswer)
	_, standby := p.whole()
	p.write("more.yml", fmt.Sprintf("services: {%s: {environment: {INMANTA_PAIR_PEER_HOST: link-%s}}}\n", standby, standby))
	p.compose("up -d --no-deps " + standby)
	p.refuses(standby, "what answers as "+other(standby)+" calls itself "+standby)
	p.write("more.yml", "services: {}\n")
	p.compose("up -d --no-deps " + standby)
	c.goesOn()
	c.judge()
}
