package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The page's commands run as they stand, in its order, but for where the user's
// own ssh files are and which ports are free here.
func TestSSHPage(t *testing.T) {
	t.Parallel()
	s := newSidecar(t)
	s.set("INMANTA_AUTHORIZED_KEYS", "") // on one line
	s.ok("sed -i '/^COMPOSE_FILE=/d; /^INMANTA_AUTHORIZED_KEYS=/d' .env && rmdir authorized_keys.d")
	overlays := fenced(t, sshPage, "yaml")
	if len(overlays) != 1 {
		t.Fatalf("the page has %d overlays", len(overlays))
	}
	s.write("keys.yml", overlays[0])
	bin, err := pythonClients()
	if err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer("~/.ssh/", "client/", "2222", fmt.Sprint(s.sshPort), "8080", fmt.Sprint(freePort(t)))
	for _, block := range fenced(t, sshPage, "bash") {
		if strings.HasPrefix(block, "mkdir -p files\nsshfs ") {
			s.finally("fusermount3 -u -z " + s.dir + "/files")
			if why := mountable(t); why != "" {
				fmt.Fprintf(os.Stderr, "e2e: the page's lines for sshfs were NOT RUN: this machine does not let anybody mount with FUSE: %s\n", why)
				continue
			}
		}
		r := s.sh("export HOME=$PWD/client PATH=$PATH:" + bin + "\n" + here.Replace(block))
		if r.code != 0 {
			t.Fatalf("%s: exit code %d\n%s%s", block, r.code, r.stdout, r.stderr)
		}
		switch {
		case strings.Contains(block, "ssh --known-hosts"):
			s.says(r.stdout, "inmanta")
		case strings.HasPrefix(block, "ansible"):
			s.says(r.stdout, "pong")
		case strings.Contains(block, "rsync"):
			s.prints("cat copies/main.cf copies/project/main.cf", "import std\nimport std")
		}
	}
	s.prints("ssh inmanta git -C /var/lib/inmanta/model.git log --format=%s main", "first")
}

// inmanta-docker ssh is the client that is installed here, with nothing to ask
// and nobody to believe.
func TestSSHVerb(t *testing.T) {
	t.Parallel()
	s := newSidecar(t)
	s.fails(1, []string{"the ssh sidecar has no container", "inmanta-docker up"}, "ssh")
	s.fails(1, []string{"start it: inmanta-docker -f docker-compose.yml -f docker-compose.ssh.yml up"}, "--with", "ssh", "ssh")
	s.must("up")

	// Its client trusts nobody but what the verb tells it.
	s.write("client/known_hosts", "")
	s.prints("inmanta-docker ssh whoami", "inmanta")
	s.prints("echo 'echo $0 in; exit 3' | inmanta-docker ssh -- sh || echo $?", "sh in\n3")
	s.ends(7, "inmanta-docker ssh -T 'exit 7'")
	s.prints("inmanta-docker ssh -o BatchMode=yes -- printf %s_ a b", "a_b_")
	at := s.sit(30, 100, "inmanta-docker ssh")
	at.types("stty size; kill -TERM $$; exit 4\r")
	at.sees("30 100\r\n")
	at.leaves(4)
	s.ends(255, "inmanta-docker ssh -o PubkeyAuthentication=no true", "Permission denied")

	// What it prints for other tools is what they are served.
	keys := s.hostKeys()
	var want []string
	for _, key := range keys {
		want = append(want, fmt.Sprintf("[127.0.0.1]:%d %s", s.sshPort, key))
	}
	if got := strings.Split(s.ok("inmanta-docker ssh --known-hosts"), "\n"); !slices.Equal(got, want) {
		t.Errorf("known hosts\n%q\nwant\n%q", got, want)
	}
	s.ends(255, "ssh sidecar true")
	s.ok("inmanta-docker ssh --known-hosts > client/known_hosts")
	s.prints("ssh sidecar whoami", "inmanta")

	// status says the same.
	fingerprints := s.ok("ssh-keygen -lf client/known_hosts")
	shown := s.must("status")
	found := decoded[struct {
		Health string
		SSH    struct {
			Command, Host, User string
			Port                int
			HostKeys            []struct{ Type, Fingerprint string } `json:"host_keys"`
		}
	}](t, "status", s.must("status", "--json").stdout)
	command := fmt.Sprintf("ssh -p %d inmanta@127.0.0.1", s.sshPort)
	if found.SSH.Command != command || found.SSH.Port != s.sshPort || found.SSH.User != "inmanta" || found.SSH.Host != "127.0.0.1" || len(found.SSH.HostKeys) != len(keys) {
		t.Errorf("status is %+v", found)
	}
	s.says(shown.stdout, command)
	for _, key := range found.SSH.HostKeys {
		s.says(fingerprints, key.Fingerprint)
		s.says(shown.stdout, key.Fingerprint+" "+key.Type)
	}
	s.prints(command+" whoami", "inmanta")

	// Where no port is published, the container's own address.
	s.write("unpublished.yml", "services:\n  ssh:\n    ports: !reset []\n")
	s.must("-f", "docker-compose.yml", "-f", "docker-compose.ssh.yml", "-f", "unpublished.yml", "up")
	s.prints("inmanta-docker ssh whoami", "inmanta")
	s.says(s.must("ssh", "--known-hosts").stdout, s.docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{print .IPAddress}}{{end}}", s.container())+" ssh-ed25519 ")

	// And where there is nothing to log in to.
	s.docker("pause", s.container())
	s.fails(1, []string{"is paused", "docker unpause"}, "ssh", "true")
	s.docker("unpause", s.container())
	s.must("stop", "ssh")
	s.fails(1, []string{"does not run", "inmanta-docker up"}, "ssh", "true")
	s.fails(3, []string{s.container() + " is exited"}, "status")
	s.must("-f", "docker-compose.yml", "up", "--remove-orphans")
	s.fails(1, []string{"this deployment has no ssh sidecar", "-f docker-compose.yml -f docker-compose.ssh.yml up"}, "-f", "docker-compose.yml", "ssh")
}

// The binary belongs to the command line: up puts it in place, and whatever
// takes its place makes the container anew, by ours and not by the stock tool.
func TestSidecarBinary(t *testing.T) {
	t.Parallel()
	s := newSidecar(t)
	placed := filepath.Join(s.dir, "inmanta-sidecar")
	same := func() bool { return s.sh("cmp -s inmanta-sidecar "+tools.dir+"/inmanta-sidecar").code == 0 }
	id := func() string { return s.docker("inspect", "-f", "{{.Id}}", s.container()) }
	if err := os.Remove(placed); err != nil {
		t.Fatal(err)
	}
	s.says(s.must("up").stderr, "wrote "+placed)
	if !same() {
		t.Error("up puts another binary there than the one beside it")
	}
	made := id()

	// Nothing is different to either tool.
	s.must("up", "--dry-run")
	s.stock("up -d")
	s.must("up")
	if id() != made {
		t.Error("the container was made again for nothing")
	}
	if s.says(s.stock("up -d --force-recreate ssh"), ""); id() == made {
		t.Fatal("the stock tool did not do as told")
	}
	made = id()
	s.must("up", "--dry-run")

	// A command line with another binary beside it: its own, one byte longer.
	other := t.TempDir()
	s.ok("cp " + tools.dir + "/inmanta-docker " + tools.dir + "/inmanta-sidecar " + other + " && echo >> " + other + "/inmanta-sidecar")
	r := s.ends(2, other+"/inmanta-docker up --dry-run", "recreate  container "+s.container(), placed+" is another program than the one that it runs")
	if strings.Contains(r.stdout, "recreate  container "+s.server()) || id() != made || !same() {
		t.Errorf("the dry run did something, or foresees too much:\n%s", r.stdout)
	}
	s.says(s.ok(other+"/inmanta-docker up 2>&1"), "wrote "+placed)
	if id() == made || s.sh("cmp -s inmanta-sidecar "+other+"/inmanta-sidecar").code != 0 {
		t.Error("the container goes on with the old binary")
	}
	s.trust()
	s.prints("ssh sidecar whoami", "inmanta")
	s.ok(other + "/inmanta-docker up --dry-run")

	// And what it cannot put in place it says, and touches nothing.
	made = id()
	s.ok("mv inmanta-sidecar kept && mkdir inmanta-sidecar")
	s.fails(1, []string{"something else is here", "rmdir " + placed}, "up")
	s.ok("rmdir inmanta-sidecar && mkdir " + other + "/alone && cp " + tools.dir + "/inmanta-docker " + other + "/alone")
	s.ends(1, other+"/alone/inmanta-docker up", "neither here, where the compose files mount it from, nor beside inmanta-docker")
	if id() != made {
		t.Error("what was refused made the container anew")
	}
}
