package e2e

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// master starts a connection in the background that forwards, by a line of
// shell that begins like that, and ends it with the scenario. The line that it
// returns begins commands about it.
func (s *sidecar) master(ssh, forward string) (client string) {
	s.t.Helper()
	dir := s.shortDir()
	client = ssh + " -S " + dir + "/c "
	s.finally(client + "-O exit sidecar")
	s.ok(client + "-fNM -o ExitOnForwardFailure=yes " + forward + " sidecar >/dev/null 2>&1")
	return client
}

// shortDir is a directory for sockets, whose paths must be short.
func (s *sidecar) shortDir() string {
	s.t.Helper()
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// inPython runs Python inside: the image is sure to have it, at that path.
func inPython(program string) string {
	return "/opt/inmanta/bin/python -c '" + program + "'"
}

// forwardLocal is -L: ports near the sidecar, and ports inside.
func forwardLocal(s *sidecar) {
	near, inside := freePort(s.t), freePort(s.t)
	client := s.master("ssh", fmt.Sprintf("-L %d:server:8888 -L %d:127.0.0.1:7777", near, inside))
	if got := s.ok(fmt.Sprintf("curl -sf http://127.0.0.1:%d/api/v1/serverstatus", near)); !strings.Contains(got, "Inmanta") {
		s.t.Errorf("through -L the orchestrator says %q", got)
	}
	// Nobody listens there yet: the connection is refused, and stays good.
	s.ends(1, fmt.Sprintf("curl -s http://127.0.0.1:%d/ || exit 1", inside))

	// One end done, the other goes on: what a lot of protocols rely on.
	s.listensInside(client, "socket.AF_INET", `("127.0.0.1", 7777)`)
	for range 3 {
		s.counts("tcp", fmt.Sprintf("127.0.0.1:%d", inside))
	}
	// And more of them on the way.
	s.ok(fmt.Sprintf("%s -O forward -L %d:server:8888 sidecar", client, freePort(s.t)))
}

// listensInside starts a server inside, through that client, that reads all
// there is and then says how much that was.
func (s *sidecar) listensInside(client, family, address string) {
	s.t.Helper()
	program := fmt.Sprintf(`
import socket
l = socket.socket(%s)
l.bind(%s)
l.listen()
print("listening", flush=True)
while True:
    c = l.accept()[0]
    n = 0
    while data := c.recv(65536):
        n += len(data)
    c.sendall(str(n).encode())
    c.close()`, family, address)
	ctx, cancel := context.WithCancel(s.t.Context())
	cmd := s.command(ctx, "bash", "-c", "exec "+client+" sidecar "+quoted(inPython(program)))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { cancel(); cmd.Wait() }) //nolint:errcheck // it ends by being killed
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "listening\n" {
		s.t.Fatalf("instead of listening inside, it says %q (%v)", line, err)
	}
}

// counts sends much to where listensInside listens, and believes the answer.
func (s *sidecar) counts(network, address string) {
	s.t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer c.Close()
	if _, err := io.CopyN(c, rand.Reader, 3_000_000); err != nil {
		s.t.Errorf("%s: %v", address, err)
		return
	}
	err = c.(interface{ CloseWrite() error }).CloseWrite()
	answer, err2 := io.ReadAll(c)
	if err != nil || err2 != nil || string(answer) != "3000000" {
		s.t.Errorf("%s answers %q (%v, %v) after 3000000 bytes", address, answer, err, err2)
	}
}

// forwardRemote is -R: the user's machine is reached from inside, and from
// nowhere else.
func forwardRemote(s *sidecar) {
	client := s.master("ssh", "")
	// Each to a listener of its own: the client asks only once for what is the same to it.
	targets := map[string]string{}
	allocated := func(bind string) string {
		s.t.Helper()
		target := s.echoes("tcp", "127.0.0.1:0")
		port := s.ok(fmt.Sprintf("%s -O forward -R %s0:%s sidecar", client, bind, target))
		targets[port] = target
		return port
	}
	speak := func(port string) string {
		return s.sh(client + "sidecar 'exec 3<>/dev/tcp/127.0.0.1/" + port + " || exit 1; echo hello >&3; head -n 1 <&3'").stdout
	}
	// Port 0 is one of the other side's choice, another each time.
	first, second := allocated(""), allocated("")
	if first == second || first == "" {
		s.t.Errorf("twice port 0 is %q and %q", first, second)
	}
	for _, port := range []string{first, second} {
		if got := speak(port); got != "hello\n" {
			s.t.Errorf("through -R %s comes %q", port, got)
		}
	}
	s.ok(fmt.Sprintf("%s -O cancel -R 0:%s sidecar", client, targets[first]))
	if got := speak(first); got != "" {
		s.t.Errorf("the cancelled port %s still says %q", first, got)
	}
	if got := speak(second); got != "hello\n" {
		s.t.Errorf("after the other was cancelled, %s says %q", second, got)
	}

	// Whatever the client asks for, only the inside gets it.
	address := s.docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", s.container())
	for _, bind := range []string{"'':", "'*':", "0.0.0.0:"} {
		port := allocated(bind)
		if got := speak(port); got != "hello\n" {
			s.t.Errorf("through -R %s%s comes %q", bind, port, got)
		}
		if r := s.sh("docker exec " + s.server() + " bash -c '</dev/tcp/" + address + "/" + port + "'"); r.code == 0 {
			s.t.Errorf("-R %s%s is open to the network", bind, port)
		}
	}
	// A port that is taken is refused, and everything else goes on.
	s.ends(255, fmt.Sprintf("%s -O forward -R %s:%s sidecar", client, second, targets[first]), "forwarding failed")
	if got := speak(second); got != "hello\n" {
		s.t.Errorf("after a refusal, %s says %q", second, got)
	}
}

// echoes says back whatever it hears, on this machine, until the scenario ends.
func (s *sidecar) echoes(network, address string) string {
	s.t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c) //nolint:errcheck // whoever speaks may leave
			}()
		}
	}()
	return listener.Addr().String()
}

// forwardDynamic is -D: names are looked up at the far side.
func forwardDynamic(s *sidecar) {
	port := freePort(s.t)
	s.master("ssh", fmt.Sprintf("-D %d", port))
	for _, version := range []string{"--socks5-hostname", "--socks4a"} {
		got := s.ok(fmt.Sprintf("curl -sf %s 127.0.0.1:%d http://server:8888/api/v1/serverstatus", version, port))
		if !strings.Contains(got, "Inmanta") {
			s.t.Errorf("through -D the orchestrator says %q", got)
		}
	}
	s.ends(97, fmt.Sprintf("curl -s --socks5-hostname 127.0.0.1:%d http://nowhere.invalid/", port))
}

// forwardSockets is -L and -R with paths in place of ports.
func forwardSockets(s *sidecar) {
	dir := s.shortDir()
	here, there, back := dir+"/here", "/tmp/there.sock", "/tmp/back.sock"

	s.echoes("unix", dir+"/echo")
	client := s.master("ssh", fmt.Sprintf("-L %s:%s -R %s:%s/echo", here, there, back, dir))
	s.listensInside(client, "socket.AF_UNIX", `"`+there+`"`)
	s.counts("unix", here)
	s.counts("unix", here)
	s.prints(client+"sidecar "+quoted(inPython(`
import socket
s = socket.socket(socket.AF_UNIX)
s.connect("`+back+`")
s.sendall(b"hello")
print(s.recv(5).decode())`)), "hello")

	// What is in the way is refused, and never removed.
	s.ok("ssh sidecar 'echo precious > /tmp/precious'")
	s.ends(255, fmt.Sprintf("%s -O forward -R /tmp/precious:%s/echo sidecar", client, dir), "forwarding failed")
	s.prints("ssh sidecar cat /tmp/precious", "precious")
}

// quoted is a text as one word of shell.
func quoted(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// forwardAgent is -A: keys of the user's machine used from inside.
func forwardAgent(s *sidecar) {
	dir := s.shortDir()
	s.ok("eval $(ssh-agent -a " + dir + "/a) && echo $SSH_AGENT_PID > " + dir + "/pid; SSH_AUTH_SOCK=" + dir + "/a ssh-add -q client/id_ed25519")
	s.finally("kill $(cat " + dir + "/pid)")

	count := inPython(`
import os, socket, struct
s = socket.socket(socket.AF_UNIX)
s.connect(os.environ["SSH_AUTH_SOCK"])
s.sendall(struct.pack(">IB", 1, 11))
s.recv(5)
print(struct.unpack(">I", s.recv(4))[0], "key")`)
	s.prints("SSH_AUTH_SOCK="+dir+"/a ssh -A -o IdentityAgent=SSH_AUTH_SOCK sidecar "+quoted(count), "1 key")
	// It is nobody else's, and goes with the session.
	socket := s.ok("SSH_AUTH_SOCK=" + dir + "/a ssh -A -o IdentityAgent=SSH_AUTH_SOCK sidecar 'echo $(stat -c %a $(dirname $SSH_AUTH_SOCK)) $SSH_AUTH_SOCK'")
	mode, path, _ := strings.Cut(socket, " ")
	if mode != "700" {
		s.t.Errorf("the agent's directory has mode %s", mode)
	}
	s.until("the agent's socket goes with its session", func() bool { return s.sh("ssh sidecar test -e "+path).code == 1 })
	s.ends(1, "ssh -a sidecar printenv SSH_AUTH_SOCK")

	// Through Go's client, a signature that only the key here can make.
	raw, err := ssh.ParseRawPrivateKey([]byte(s.read("client/id_ed25519")))
	if err != nil {
		s.t.Fatal(err)
	}
	client, keyring := s.dial(), agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: raw}); err != nil {
		s.t.Fatal(err)
	}
	if err := agent.ForwardToAgent(client, keyring); err != nil {
		s.t.Fatal(err)
	}
	session, err := client.NewSession()
	if err != nil {
		s.t.Fatal(err)
	}
	defer session.Close()
	if err := agent.RequestAgentForwarding(session); err != nil {
		s.t.Fatal(err)
	}
	stdin, err := session.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := session.StdoutPipe()
	if err == nil {
		err = session.Start("echo $SSH_AUTH_SOCK; cat")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	path, err = bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		s.t.Fatal(err)
	}
	inside, err := client.Dial("unix", strings.TrimSpace(path))
	if err != nil {
		s.t.Fatal(err)
	}
	defer inside.Close()
	asked := agent.NewClient(inside)
	keys, err := asked.List()
	if err != nil || len(keys) != 1 {
		s.t.Fatalf("through the agent inside there are the keys %v, %v", keys, err)
	}
	signature, err := asked.Sign(keys[0], []byte("to be signed"))
	if err == nil {
		err = keys[0].Verify([]byte("to be signed"), signature)
	}
	if err != nil {
		s.t.Errorf("a signature from inside: %v", err)
	}
}
