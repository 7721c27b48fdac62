package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// alone starts the sidecar without an orchestrator, with the stock tool.
func (s *sidecar) alone() {
	s.t.Helper()
	s.stock("up -d ssh")
	s.reachable()
}

// reachable waits until the sidecar's own health check passes, sooner than the
// engine would ask, and trusts what it shows.
func (s *sidecar) reachable() {
	s.t.Helper()
	s.until("the sidecar is healthy", func() bool { return s.sh(s.health()).code == 0 })
	s.trust()
}

// health is the health check that the compose file gives to the engine.
func (s *sidecar) health() string {
	return "docker exec " + s.container() + " /usr/local/bin/inmanta-sidecar ssh health"
}

// The host keys are made once, and the keys that get in are those of the last up.
func TestSSHKeysOverTime(t *testing.T) {
	t.Parallel()
	s := newSidecar(t)
	s.alone()
	s.prints("ssh sidecar whoami", "inmanta")
	first := s.hostKeys()
	if len(first) != 3 {
		t.Errorf("there are %d host keys: %q", len(first), first)
	}

	// down and up is another container with the same keys.
	s.stock("down")
	s.alone()
	if again := s.hostKeys(); !slices.Equal(again, first) {
		t.Errorf("after down and up the host keys are\n%q\nand were\n%q", again, first)
	}
	s.prints("ssh sidecar whoami", "inmanta")

	// So are those of a container of another image, and of one that no network leads out of.
	s.set("INMANTA_ORCHESTRATOR_IMAGE", s.image("newer:1", orchestratorImage(), "LABEL newer=yes"))
	s.write("newer.yml", "networks: {default: {internal: true}}\n")
	s.stock("down")
	s.stock("-f docker-compose.yml -f docker-compose.ssh.yml -f newer.yml up -d ssh")
	s.reachable()
	if again := s.hostKeys(); !slices.Equal(again, first) {
		t.Errorf("after an upgrade the host keys are\n%q\nand were\n%q", again, first)
	}
	inside := s.docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{print .IPAddress}}{{end}}", s.container())
	s.prints(fmt.Sprintf("ssh -o HostKeyAlias='[127.0.0.1]:%d' -o HostName=%s -p 22 sidecar whoami", s.sshPort, inside), "inmanta")
	s.stock("down")
	s.alone()

	// Another key, and the one that was there is gone at the next up.
	_, old := s.key(s.client, "old", "-t ed25519")
	second, secondPublic := s.key(s.client, "second", "-t ed25519")
	s.set("INMANTA_AUTHORIZED_KEYS", secondPublic+"\n"+old)
	s.alone()
	s.prints(with(second)+"sidecar whoami", "inmanta")
	s.prints(with(s.client+"/old")+"sidecar whoami", "inmanta")
	s.denied("ssh sidecar whoami")
	s.set("INMANTA_AUTHORIZED_KEYS", secondPublic)
	s.alone()
	s.denied(with(s.client+"/old") + "sidecar whoami")
	if again := s.hostKeys(); !slices.Equal(again, first) {
		t.Errorf("with other keys to let in, the host keys are\n%q\nand were\n%q", again, first)
	}

	// Files of a mounted directory are read again for each who comes, and take nothing from who is there.
	at := s.sit(24, 80, with(second)+"sidecar")
	at.types("echo re''ady\r")
	at.sees("ready\r\n")
	s.allow("team", s.read("client/id_ed25519.pub"))
	s.prints("ssh sidecar whoami", "inmanta")
	if err := os.Remove(filepath.Join(s.dir, "authorized_keys.d", "team")); err != nil {
		t.Fatal(err)
	}
	s.denied("ssh sidecar whoami")
	at.types("echo st''ill here\r")
	at.sees("still here\r\n")
	at.types("exit\r")
	at.leaves(0)

	// One file, in place of the directory. It is written to, not replaced: a mounted
	// file stays the one that was mounted.
	s.write("my_keys", "# none yet\n")
	s.write("keys.yml", `services:
  ssh:
    volumes:
      - {type: bind, source: ./my_keys, target: /etc/inmanta-sidecar/authorized_keys, read_only: true}
`)
	s.alone()
	s.denied("ssh sidecar whoami")
	s.ok("cat client/id_ed25519.pub >> my_keys")
	s.prints("ssh sidecar whoami", "inmanta")
	s.ok("echo > my_keys")
	s.denied("ssh sidecar whoami")
	s.prints(with(second)+"sidecar whoami", "inmanta")

	// The host keys lie in a volume of their own, which only root may look into.
	s.prints("docker exec -u 0 "+s.container()+" stat -c '%a %u' /etc/inmanta-sidecar/host-keys", "700 0")
	for line := range strings.Lines(s.ok("docker exec -u 0 " + s.container() + " bash -c 'stat -c \"%n %a %u\" /etc/inmanta-sidecar/host-keys/*'")) {
		fields := strings.Fields(line)
		if want := map[bool]string{true: "644", false: "600"}[strings.HasSuffix(fields[0], ".pub")]; fields[1] != want || fields[2] != "0" {
			t.Errorf("a host key file is %s", line)
		}
	}
}

// Without a key that could get in, ours refuses to start it; where the stock
// tool starts it, it lets nobody in and says why.
func TestSSHWithoutKeys(t *testing.T) {
	t.Parallel()
	s := newSidecar(t)
	for keys, says := range map[string]string{"": "", "not a key at all": `there is no option "not"`, "# a comment\nssh-rsa AAAA": "line 2"} {
		s.set("INMANTA_AUTHORIZED_KEYS", keys)
		s.fails(1, []string{"INMANTA_AUTHORIZED_KEYS", says}, "up")
		if got := s.containers(); len(got) != 0 {
			t.Errorf("with the keys %q, up made %v", keys, got)
		}
	}
	s.set("INMANTA_AUTHORIZED_KEYS", "# a comment\nssh-rsa AAAA")
	// The engine is to look sooner than it would.
	s.write("keys.yml", "services: {ssh: {healthcheck: {interval: 1s, retries: 1, start_period: 1ms}}}\n")
	s.stock("up -d ssh")
	s.until("the engine finds it unhealthy for that", func() bool {
		// Not for having asked before it listened.
		return strings.Contains(s.docker("inspect", "-f", "{{.State.Health.Status}}{{range .State.Health.Log}}{{.Output}}{{end}}", s.container()), "INMANTA_AUTHORIZED_KEYS")
	})
	if health := s.docker("inspect", "-f", "{{.State.Health.Status}}", s.container()); health != "unhealthy" {
		t.Errorf("without keys the container is %s", health)
	}
	s.ends(1, s.health(), "INMANTA_AUTHORIZED_KEYS")
	if state := s.docker("inspect", "-f", "{{.State.Status}} {{.RestartCount}}", s.container()); state != "running 0" {
		t.Errorf("without keys the container is %s", state)
	}
	s.says(s.docker("logs", s.container()), "INMANTA_AUTHORIZED_KEYS, line 2", "nobody can log in")
	s.trust()
	s.denied("ssh sidecar true")
}

// A stop is announced, waits for who is there, and lets nobody else in.
func TestSSHDrains(t *testing.T) {
	t.Parallel()
	s := newSidecar(t)
	s.alone()
	at := s.sit(24, 80, "ssh sidecar")
	at.types("trap '' HUP; echo re''ady\r")
	at.sees("ready\r\n")
	short := s.sit(24, 80, "ssh -T sidecar 'echo running; until test -e /tmp/finish; do sleep 0.05; done; echo finished; exit 6'")
	short.sees("running")

	stop := s.command(t.Context(), "bash", "-c", "exec docker stop -t 20 "+s.container())
	if err := stop.Start(); err != nil {
		t.Fatal(err)
	}
	at.sees("The ssh sidecar is stopping")
	s.ends(255, "ssh -o ConnectTimeout=5 sidecar true")
	// Whoever was in still works, and ends by itself.
	at.types("touch /tmp/fi''nish; echo wor''ks\r")
	at.sees("works\r\n")
	short.sees("finished")
	short.leaves(6)
	at.types("exit 4\r")
	at.leaves(4)
	// With the last one gone there is nothing to wait for.
	if err := stop.Wait(); err != nil {
		t.Error(err)
	}
	s.ended(0)
}

// A session that will not end is ended when its time is over, before the engine
// would kill everything: nothing else is cut short.
func TestSSHDrainsInTime(t *testing.T) {
	t.Parallel()
	s := newSidecar(t)
	s.alone()
	at := s.sit(24, 80, "ssh sidecar")
	at.types("trap '' HUP TERM INT; echo re''ady\r")
	at.sees("ready\r\n")
	s.ok("docker stop -t 60 " + s.container())
	at.sees("The ssh sidecar is stopping")
	at.leaves(255)
	s.ended(0)
}

// ended fails the scenario unless the sidecar's process has ended with that code.
func (s *sidecar) ended(code int) {
	s.t.Helper()
	if got := s.docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", s.container()); got != fmt.Sprint("exited ", code) {
		s.t.Errorf("the sidecar is %s, want exited %d", got, code)
	}
}

// The README's lines, as they stand: by the port of this machine, and by the
// container's own address.
func TestSSHExample(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"sudo docker compose", "inmanta-docker"} {
		t.Run(strings.ReplaceAll(tool, " ", "-"), func(t *testing.T) {
			s := newSidecar(t)
			s.set("INMANTA_AUTHORIZED_KEYS", "") // on one line
			s.ok("sed -i '/^COMPOSE_FILE=/d; /^INMANTA_AUTHORIZED_KEYS=/d' .env")
			s.tagConfigured(borrowed[0])
			mine := strings.TrimSpace(s.read("client/id_ed25519.pub"))
			for _, line := range example(t, overSSH) {
				line = strings.ReplaceAll(line, "INMANTA_ORCHESTRATOR_IMAGE=...", "INMANTA_ORCHESTRATOR_IMAGE="+borrowed[0])
				line = strings.ReplaceAll(line, "ssh-rsa ...", mine)
				ours := strings.ReplaceAll(line, "sudo docker compose", tool)
				if r := s.sh(ours); r.code != 0 {
					t.Fatalf("%s: exit code %d\n%s%s", ours, r.code, r.stdout, r.stderr)
				}
				if strings.HasSuffix(line, "up -d") {
					s.reachable()
					s.logsIn()
				}
				if strings.HasSuffix(line, "down -v") {
					if got := append(s.containers(), s.volumes()...); len(got) != 0 {
						t.Errorf("after %s there is %v", ours, got)
					}
				}
			}
		})
	}
}

// logsIn runs the two lines with which the README logs in, but for the name of
// the container, which INMANTA_NAME changes, and for whom they believe.
func (s *sidecar) logsIn() {
	s.t.Helper()
	address := s.docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{print .IPAddress}}{{end}}", s.container())
	var known strings.Builder
	for _, key := range s.hostKeys() {
		fmt.Fprintf(&known, "[127.0.0.1]:%d,%s %s\n", s.sshPort, address, key)
	}
	s.write("client/known_hosts", known.String())
	text, err := os.ReadFile("../README.md")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, line := range []string{
		`ssh inmanta@$(docker inspect -f '{{range .NetworkSettings.Networks}}{{print .IPAddress}}{{end}}' inmanta-ssh-sidecar)`,
		`ssh -p "${INMANTA_SSH_SIDECAR_PORT:-2222}" "inmanta@${INMANTA_SSH_SIDECAR_IP:-127.0.0.1}"`,
	} {
		if !strings.Contains(string(text), line) {
			s.t.Errorf("the README does not say\n%s", line)
		}
		at := s.sit(24, 80, "bash -c "+quoted("set -a; . ./.env; "+strings.ReplaceAll(line, "inmanta-ssh-sidecar", s.container())))
		at.types("echo $(whoami) at $SSH_TTY; exit 5\r")
		at.sees("inmanta at /dev/pts/")
		at.leaves(5)
	}
}
