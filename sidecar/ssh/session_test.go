package ssh

import (
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"golang.org/x/crypto/ssh"
)

func TestEndings(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	client := s.dial(t, key)
	for command, want := range map[string]string{
		"exit 0":                                "0",
		"exit 7":                                "7",
		"exit 255":                              "255",
		"no-such-command":                       "127",
		"kill -TERM $$":                         "TERM",
		"kill -KILL $$":                         "KILL",
		"ulimit -c 0; kill -SEGV $$":            "SEGV",
		"(exit 3) | cat; exit ${PIPESTATUS[0]}": "3",
		// Signals without a name of their own are signals still.
		"kill -40 $$": "SIG40@inmanta.com",
	} {
		_, err := run(t, client, command)
		var exited *ssh.ExitError
		got := "0"
		if errors.As(err, &exited) {
			got = exited.Signal()
			if got == "" {
				got = fmt.Sprint(exited.ExitStatus())
			}
		} else if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s ends with %s, want %s", command, got, want)
		}
	}
}

// The file server's reports are read as long as it runs, not as long as
// somebody keeps the other end open.
func TestReportsEndWithTheFileServer(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "", func(c *Config) {
		c.SFTP = []string{"/bin/bash", "-c", `
			trap '' PIPE
			echo '{"operation":"remove","path":"honest\nx"}' >&3
			echo 'not a report' >&3
			(while echo '{"operation":"remove","path":"forged"}' >&3; do sleep 0.01; done; echo >closed) </dev/null >/dev/null 2>&1 &
		`}
	})
	client := s.dial(t, key)
	session := open(t, client)
	if err := session.RequestSubsystem("sftp"); err != nil {
		t.Fatal(err)
	}
	s.log.await(t, "what it did", func(e Event) bool { return e.Event == EventFile && e.Action == "remove" && e.Path == "honest\nx" })
	_ = client.Close()
	eventually(t, "nobody reads what else is said", func() bool {
		_, err := os.Stat(s.home("closed"))
		return err == nil
	})
}

func TestReportThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "", func(c *Config) {
		c.SFTP = []string{"/bin/bash", "-c", `trap '' PIPE; head -c 10000000 /dev/zero >&3; echo over; exit 5`}
	})
	client := s.dial(t, key)
	session := open(t, client)
	output, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.RequestSubsystem("sftp"); err != nil {
		t.Fatal(err)
	}
	if said, err := io.ReadAll(output); err != nil || string(said) != "over\n" {
		t.Errorf("it said %q (%v)", said, err)
	}
	ended := s.log.await(t, "its end", kind(EventSessionEnd))
	if ended.ExitCode == nil || *ended.ExitCode != 5 {
		t.Errorf("it ended with %+v", ended)
	}
	unharmed(t, client)
}

// `ssh HOST yes | head -n 1`: the client's own reader has ended, and what it
// still sends says so. The program learns of it as it would at a pipe.
func TestClientThatHearsNoMore(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	session := open(t, s.dial(t, key))
	out, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start("yes"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	// As OpenSSH's client: it goes on taking what it then drops.
	go func() { _, _ = io.Copy(io.Discard, out) }()
	if _, err := session.SendRequest("eow@openssh.com", false, nil); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = session.Wait()
	}()
	within(t, done, "the end of what nobody reads")
	var exited *ssh.ExitError
	if !errors.As(err, &exited) || exited.Signal() != "PIPE" {
		t.Errorf("it ends with %v, want SIGPIPE", err)
	}
}
