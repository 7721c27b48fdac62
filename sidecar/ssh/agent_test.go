package ssh

import (
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh/agent"
)

func TestAgentIsForwarded(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	before, client := s.dial(t, key), s.dial(t, key)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := agent.NewKeyring()
	if err := keys.Add(agent.AddedKey{PrivateKey: private, Comment: "at home"}); err != nil {
		t.Fatal(err)
	}
	if err := agent.ForwardToAgent(client, keys); err != nil {
		t.Fatal(err)
	}
	asking := open(t, client)
	if err := agent.RequestAgentForwarding(asking); err != nil {
		t.Fatal(err)
	}
	output, err := asking.Output("echo $SSH_AUTH_SOCK")
	if err != nil {
		t.Fatal(err)
	}
	path := strings.TrimSpace(string(output))
	// One that does not ask is not told, nor one of another connection.
	says(t, client, "echo $SSH_AUTH_SOCK", "\n")
	says(t, before, "echo $SSH_AUTH_SOCK", "\n")
	mode(t, filepath.Dir(path), 0o700)
	for range 3 {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		held, err := agent.NewClient(conn).List()
		if err != nil || len(held) != 1 || held[0].Comment != "at home" {
			t.Errorf("the agent has %v (%v)", held, err)
		}
		_ = conn.Close()
	}
	_ = client.Close()
	eventually(t, "the way to the agent is gone", func() bool {
		_, err := os.Lstat(filepath.Dir(path))
		return os.IsNotExist(err)
	})
	unharmed(t, before)
}

// A client that forwards an agent and answers for none costs a channel each time
// it is asked, and no more than it may have.
func TestAgentThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	const most = 4
	s, key := serveOne(t, "", limited(func(l *Limits) { l.Channels = most }))
	before := s.dial(t, key)
	w := enter(t, s, key)
	channel, err := w.open("session", 0, 1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := w.request(channel, "auth-agent-req@openssh.com", nil); !ok {
		t.Fatal(err)
	}
	if ok, err := w.request(channel, "exec", textOf("echo $SSH_AUTH_SOCK > path.new && mv path.new path; cat")); !ok {
		t.Fatal(err)
	}
	var path string
	eventually(t, "the session has an agent", func() bool {
		text, err := os.ReadFile(s.home("path"))
		path = strings.TrimSpace(string(text))
		return err == nil
	})
	asked, turnedAway := 0, 0
	for range 10 {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if asked < most-1 { // one is the session's
			if _, err := w.await(msgChannelOpen); err != nil {
				t.Fatal(err)
			}
			asked++
		} else if _, err := conn.Read(make([]byte, 1)); err != nil {
			turnedAway++
		}
	}
	if want := 10 - (most - 1); turnedAway != want {
		t.Errorf("%d are turned away, want %d", turnedAway, want)
	}
	unharmed(t, before)
}
