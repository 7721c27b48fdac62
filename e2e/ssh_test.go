package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// The files ssh_*_test.go log in to the ssh sidecar with the clients that its
// users have. `e2e/clients` installs those.

// sshScenarios are what runs against one and the same sidecar, side by side:
// none of them may change what another one sees.
var sshScenarios = []struct {
	name string
	run  func(*sidecar)
}{
	{"exec", execCommands},
	{"environment", sessionEnvironment},
	{"exit", exitStatus},
	{"scripts", scriptsOnStdin},
	{"streams", streams},
	{"broken-pipe", brokenPipe},
	{"rekeying", rekeying},
	{"multiplexing", multiplexing},
	{"terminal", terminal},
	{"terminal-ends", terminalEnds},
	{"forward-local", forwardLocal},
	{"forward-remote", forwardRemote},
	{"forward-dynamic", forwardDynamic},
	{"forward-sockets", forwardSockets},
	{"agent", forwardAgent},
	{"sftp", sftpClient},
	{"scp", scpClient},
	{"rsync", rsyncClient},
	{"rsync-inside", rsyncInside},
	{"sshfs", sshfsClient},
	{"git", gitClient},
	{"ansible", ansibleClient},
	{"paramiko", paramikoClient},
	{"asyncssh", asyncsshClient},
	{"go", goClient},
	{"key-types", keyTypes},
	{"security-key", securityKey},
	{"certificates", certificates},
	{"key-options", keyOptions},
	{"refused", refusedLogins},
	{"vscode", vscode},
	{"jetbrains", jetbrains},
	{"lsm", remoteOrchestrator},
	{"inmanta-cli", inmantaCLI},
	{"confined", confined},
	{"crash", crashOfOne},
	{"open-files", openFiles},
	{"hostile-names", hostileNames},
	{"trail", auditTrail},
}

// TestSSH runs every client against the sidecar of one stack.
func TestSSH(t *testing.T) {
	t.Parallel()
	s := newSidecar(t)
	s.start()
	for _, scenario := range sshScenarios {
		t.Run(scenario.name, func(t *testing.T) {
			t.Parallel()
			scenario.run(s.in(t))
		})
	}
}

// sidecar is the ssh sidecar of a stack, and somebody who may log in to it.
type sidecar struct {
	*stack
	// client is the user's side: a key, a configuration, and a bin with ssh,
	// scp and sftp that use those instead of what this machine's user has.
	client string
	// sshPort is where it listens on this machine.
	sshPort int
}

// sidecarUser is whom everybody is inside.
const sidecarUser = "inmanta"

// newSidecar is a stack with an ssh sidecar to which one key has access, the
// client's. Nothing runs yet.
func newSidecar(t *testing.T) *sidecar {
	t.Helper()
	s := &sidecar{stack: newStack(t), sshPort: freePort(t)}
	s.client = filepath.Join(s.dir, "client")
	s.must("init", s.dir)
	s.set("COMPOSE_FILE", "docker-compose.yml:docker-compose.ssh.yml:keys.yml")
	s.set("INMANTA_SSH_SIDECAR_PORT", fmt.Sprint(s.sshPort))
	// Keys of single scenarios come and go as files of a mounted directory.
	s.write("keys.yml", `services:
  ssh:
    volumes:
      - {type: bind, source: ./authorized_keys.d, target: /etc/inmanta-sidecar/authorized_keys.d, read_only: true}
`)
	if err := os.Mkdir(filepath.Join(s.dir, "authorized_keys.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]string{"config": s.client + "/id_ed25519", "stranger": "none"} {
		s.write("client/"+name, fmt.Sprintf(`Host sidecar
  HostName 127.0.0.1
  Port %d
Host *
  User %s
  IdentityFile %s
  IdentityAgent none
  IdentitiesOnly yes
  UserKnownHostsFile %s/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  UpdateHostKeys no
  PasswordAuthentication no
  BatchMode yes
  ConnectTimeout 30
`, s.sshPort, sidecarUser, key, s.client))
	}
	for _, name := range []string{"ssh", "scp", "sftp", "sshfs"} {
		s.wrap(name)
	}
	s.env = append(s.env, "PATH="+filepath.Join(s.client, "bin")+":"+tools.dir+":"+os.Getenv("PATH"))
	s.ok("ssh-keygen -q -t ed25519 -N '' -C user@laptop -f client/id_ed25519")
	s.set("INMANTA_AUTHORIZED_KEYS", s.read("client/id_ed25519.pub"))
	return s
}

// wrap puts a client that reads our configuration on the path.
func (s *sidecar) wrap(name string) {
	s.t.Helper()
	real, err := exec.LookPath(name)
	if err != nil {
		s.t.Fatalf("%s is not installed, so nothing can be said of it: `e2e/clients` installs what these tests need", name)
	}
	s.write("client/bin/"+name, fmt.Sprintf("#!/bin/sh\nexec %s -F %s/config \"$@\"\n", real, s.client))
	if err := os.Chmod(filepath.Join(s.client, "bin", name), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

// start brings the stack up and believes the host keys that the sidecar shows
// to whoever has the engine.
func (s *sidecar) start() {
	s.t.Helper()
	s.must("up")
	s.trust()
}

// hostKeys are the sidecar's public host keys, as the engine's owner reads them.
func (s *sidecar) hostKeys() []string {
	s.t.Helper()
	return strings.Split(s.docker("exec", s.container(), "inmanta-sidecar", "ssh", "host-keys"), "\n")
}

// trust writes the client's known_hosts, and nothing else in these tests does:
// every connection proves that the keys shown are the keys served.
func (s *sidecar) trust() {
	s.t.Helper()
	var known strings.Builder
	for _, key := range s.hostKeys() {
		fmt.Fprintf(&known, "[127.0.0.1]:%d %s\n", s.sshPort, key)
	}
	s.write("client/known_hosts", known.String())
}

// in is the same sidecar for a subtest.
func (s *sidecar) in(t *testing.T) *sidecar {
	subject, inner := *s, *s.stack
	inner.t = t
	subject.stack = &inner
	return &subject
}

// container is the sidecar's container.
func (s *sidecar) container() string { return s.name + "-ssh-sidecar" }

// room is a directory of the scenario's own, and below it a path of the same
// name inside: /var/lib/inmanta/NAME, on the volume.
func (s *sidecar) room() (local, remote string) {
	s.t.Helper()
	local = s.t.TempDir()
	remote = "/var/lib/inmanta/" + strings.ToLower(strings.ReplaceAll(filepath.Base(s.t.Name()), "/", "-"))
	s.ok("ssh sidecar mkdir -p " + remote)
	return local, remote
}

// allow lets more keys in until the scenario ends.
func (s *sidecar) allow(name, lines string) {
	s.t.Helper()
	path := filepath.Join(s.dir, "authorized_keys.d", name)
	s.write(name+".keys", lines+"\n")
	// Renamed into place: the sidecar may be reading the directory.
	if err := os.Rename(filepath.Join(s.dir, name+".keys"), path); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { os.Remove(path) })
}

// key makes a key pair and says where the private half is.
func (s *sidecar) key(dir, name, kind string) (private, public string) {
	s.t.Helper()
	private = filepath.Join(dir, name)
	s.ok(fmt.Sprintf("ssh-keygen -q %s -N '' -C %s -f %s", kind, name, private))
	text, err := os.ReadFile(private + ".pub")
	if err != nil {
		s.t.Fatal(err)
	}
	return private, strings.TrimSpace(string(text))
}

// dial is a connection of Go's own ssh client.
func (s *sidecar) dial() *ssh.Client {
	s.t.Helper()
	_, client := s.dialRaw()
	return client
}

// dialRaw is dial, with what is below it.
func (s *sidecar) dialRaw() (*net.TCPConn, *ssh.Client) {
	s.t.Helper()
	signer, err := ssh.ParsePrivateKey([]byte(s.read("client/id_ed25519")))
	if err != nil {
		s.t.Fatal(err)
	}
	connection, client, err := s.dialAs(sidecarUser, signer)
	if err != nil {
		s.t.Fatal(err)
	}
	return connection, client
}

// dialAs is dialRaw for some other user or key.
func (s *sidecar) dialAs(user string, signer ssh.Signer) (*net.TCPConn, *ssh.Client, error) {
	s.t.Helper()
	known, err := knownhosts.New(filepath.Join(s.client, "known_hosts"))
	if err != nil {
		s.t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", s.sshPort)
	connection, err := net.Dial("tcp", address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { connection.Close() })
	c, channels, requests, err := ssh.NewClientConn(connection, address, &ssh.ClientConfig{
		User:              user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback:   known,
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	})
	if err != nil {
		return nil, nil, err
	}
	return connection.(*net.TCPConn), ssh.NewClient(c, channels, requests), nil
}
