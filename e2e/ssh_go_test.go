package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// goClient is golang.org/x/crypto/ssh as a client, for what the others do not do.
func goClient(s *sidecar) {
	client := s.dial()
	var wait sync.WaitGroup
	for i := range 40 {
		wait.Go(func() {
			session, err := client.NewSession()
			if err != nil {
				s.t.Errorf("session %d of one connection: %v", i, err)
				return
			}
			defer session.Close()
			out, err := session.Output(fmt.Sprintf("sleep 0.2; echo %d", i))
			if err != nil || string(out) != fmt.Sprintf("%d\n", i) {
				s.t.Errorf("session %d says %q, %v", i, out, err)
			}
		})
	}
	wait.Wait()

	// A signal from the client reaches what runs.
	session, err := client.NewSession()
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := session.StdoutPipe()
	if err == nil {
		err = session.Start("trap 'exit 42' TERM; echo ready; while :; do sleep 0.05; done")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 6)); err != nil {
		s.t.Fatal(err)
	}
	if err := session.Signal(ssh.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	var exit *ssh.ExitError
	if err := session.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 42 {
		s.t.Errorf("after TERM the command ended with %v", err)
	}

	// One command for each channel, and nothing after it.
	channel, requests, err := client.OpenChannel("session", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	go ssh.DiscardRequests(requests)
	command := ssh.Marshal(struct{ Command string }{"sleep 5"})
	for i, want := range []bool{true, false} {
		if ok, err := channel.SendRequest("exec", true, command); err != nil || ok != want {
			s.t.Errorf("command %d on one channel: %v, %v; want %v", i+1, ok, err, want)
		}
	}
	if ok, err := channel.SendRequest("shell", true, nil); err != nil || ok {
		s.t.Errorf("a shell after a command: %v, %v", ok, err)
	}
	if ok, err := channel.SendRequest("nonsense@example.com", true, nil); err != nil || ok {
		s.t.Errorf("a request that nobody knows: %v, %v", ok, err)
	}
	channel.Close()
	var refused *ssh.OpenChannelError
	if _, _, err := client.OpenChannel("nonsense@example.com", nil); !errors.As(err, &refused) {
		s.t.Errorf("a channel that nobody knows: %v", err)
	}
	// A question to the connection is answered, if only with a refusal.
	for _, name := range []string{"keepalive@openssh.com", "nonsense@example.com"} {
		if _, _, err := client.SendRequest(name, true, nil); err != nil {
			s.t.Errorf("%s: %v", name, err)
		}
	}

	// Connections from inside, of which the client is told who made them.
	listener, err := client.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, c.RemoteAddr())
			c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	if got := s.ok("ssh sidecar 'cat < /dev/tcp/127.0.0.1/" + port + "'"); !strings.HasPrefix(got, "127.0.0.1:") {
		s.t.Errorf("the client was told of %q", got)
	}
	listener.Close()
	if _, err := client.Dial("tcp", "127.0.0.1:1"); !strings.Contains(fmt.Sprint(err), "refused") {
		s.t.Errorf("a port where nobody listens: %v", err)
	}

	// A subsystem by name, and one that there is not.
	session, err = client.NewSession()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := session.RequestSubsystem("no-such"); err == nil {
		s.t.Error("there is a subsystem no-such")
	}
	session.Close()

	// A window that makes no sense must not end anything.
	session, err = client.NewSession()
	if err != nil {
		s.t.Fatal(err)
	}
	defer session.Close()
	var said bytes.Buffer
	session.Stdout = &said
	typed, err := session.StdinPipe()
	if err == nil {
		err = session.RequestPty("xterm", 0, 0, ssh.TerminalModes{ssh.ECHO: 0})
	}
	if err == nil {
		err = session.Start("read -r _; stty size")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	if err := session.WindowChange(1<<31, 1<<31); err != nil {
		s.t.Fatal(err)
	}
	if err := session.WindowChange(50, 100); err != nil {
		s.t.Fatal(err)
	}
	fmt.Fprintln(typed)
	if err := session.Wait(); err != nil || said.String() != "50 100\r\n" {
		s.t.Errorf("after sizes without sense: %q, %v", said.String(), err)
	}
}
