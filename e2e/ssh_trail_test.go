package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// trailed is a line of the sidecar's log, as much as is looked at.
type trailed struct {
	Time, Event, Remote, User, Client, Key, Kind, Command, To, Listen, Action, Path, Signal, Reason string

	KeyComment string `json:"key_comment"`
	Connection uint64
	Session    uint64
	PTY        bool
	ExitCode   *int `json:"exit_code"`
}

// trail is the sidecar's log so far.
func (s *sidecar) trail() []trailed {
	s.t.Helper()
	var all []trailed
	for line := range strings.Lines(s.docker("logs", s.container())) {
		var one trailed
		if err := json.Unmarshal([]byte(line), &one); err != nil || one.Time == "" || one.Event == "" {
			s.t.Fatalf("a line of the log is not an event: %v\n%s", err, line)
		}
		all = append(all, one)
	}
	return all
}

// auditTrail is what the log says of a connection, and what nobody can make it say.
func auditTrail(s *sidecar) {
	local, remote := s.room()
	private, public := s.key(local, "trailed", "-t ed25519")
	s.allow("trailed", strings.Replace(public, " trailed", ` forger"},{"event":"forged`, 1))
	login := with(private)
	fingerprint := strings.Fields(s.ok("ssh-keygen -lf " + private))[1]

	const forgery = "echo x\n{\"time\":\"2000-01-01T00:00:00Z\",\"event\":\"forged\"}\n\x1b[2Jü\u202e"
	s.sh(login + "sidecar " + quoted(forgery))
	s.ends(3, login+"-tt sidecar 'exit 3' </dev/null")
	s.ends(255, login+"sidecar 'kill -TERM $$'")
	s.ok("sftp -q -F client/stranger -i " + private + " -b - sidecar <<<'put " + private + ".pub " + remote + "/sent\nget " + remote + "/sent " + local + "/back\nrename " + remote + "/sent " + remote + "/moved\nrm " + remote + "/moved'")
	// With rsync and the old scp, which the session's shell starts.
	s.ok("mkdir " + local + "/sync && echo x > " + local + "/sync/a && rsync -r -e '" + strings.TrimSpace(login) + "' " + local + "/sync/ sidecar:" + remote + "/sync/ && rm " + local + "/sync/a && rsync -r --delete -e '" + strings.TrimSpace(login) + "' " + local + "/sync/ sidecar:" + remote + "/sync/")
	s.ok("printf 'C0644 3 c\\n123\\0' | " + login + "sidecar " + s.ownSCP() + "/scp -t " + remote + " > " + local + "/answers")
	port := freePort(s.t)
	client := s.master(login, fmt.Sprintf("-L %d:server:8888", port))
	s.ok(fmt.Sprintf("curl -sf http://127.0.0.1:%d/api/v1/serverstatus", port))
	listening := s.ok(client + "-O forward -R 0:127.0.0.1:9 sidecar")
	s.ok(client + "-O exit sidecar 2>&1")
	// A user whose name is an attempt, with a key that nobody knows.
	_, unknown, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(unknown)
	if err != nil {
		s.t.Fatal(err)
	}
	name := "mallory\"}\n{\"time\":\"2000-01-01T00:00:00Z\",\"event\":\"forged\"}\r\x00"
	if _, _, err := s.dialAs(name, signer); err == nil {
		s.t.Error("mallory got in")
	}

	expected := map[string]func(trailed) bool{
		"the login": func(e trailed) bool {
			return e.Event == "authenticated" && e.Key == fingerprint && e.KeyComment == `forger"},{"event":"forged` && e.User == "inmanta" && strings.HasPrefix(e.Client, "SSH-2.0-OpenSSH") && strings.Contains(e.Remote, ":")
		},
		"the command as it was": func(e trailed) bool { return e.Event == "session_start" && e.Command == forgery },
		"a terminal":            func(e trailed) bool { return e.Event == "session_start" && e.PTY && e.Command == "exit 3" },
		"an exit code":          func(e trailed) bool { return e.Event == "session_end" && e.ExitCode != nil && *e.ExitCode == 3 },
		"a signal":              func(e trailed) bool { return e.Event == "session_end" && e.Signal == "TERM" },
		"a subsystem":           func(e trailed) bool { return e.Event == "session_start" && e.Kind == "subsystem" },
		"a file that came":      func(e trailed) bool { return e.Event == "file" && e.Path == remote+"/sent" },
		"a file that went":      func(e trailed) bool { return e.Event == "file" && e.Action == "remove" && e.Path == remote+"/moved" },
		"what rsync took": func(e trailed) bool {
			return e.Event == "file" && e.Action == "transfer" && e.Path == remote+"/sync/a" && e.Session > 0
		},
		"what rsync removed": func(e trailed) bool { return e.Event == "file" && e.Action == "remove" && e.Path == remote+"/sync/a" },
		"what scp took": func(e trailed) bool {
			return e.Event == "file" && e.Action == "transfer" && e.Path == remote+"/c" && e.Session > 0
		},
		"a connection":    func(e trailed) bool { return e.Event == "connected" && strings.Contains(e.Remote, ":") },
		"a forward there": func(e trailed) bool { return e.Event == "forward" && e.To == "server:8888" },
		"a forward back": func(e trailed) bool {
			return e.Event == "forward" && strings.HasSuffix(e.Listen, ":"+listening)
		},
		"an end":          func(e trailed) bool { return e.Event == "disconnected" },
		"who was refused": func(e trailed) bool { return e.Event == "refused" && e.User == name && e.Reason != "" },
	}
	for what, matches := range expected {
		s.until("the log tells of "+what, func() bool { return slices.ContainsFunc(s.trail(), matches) })
	}
	for _, e := range s.trail() {
		if e.Event == "forged" {
			s.t.Errorf("a client wrote a line of the log: %+v", e)
		}
	}
	raw := s.docker("logs", s.container())
	if i := strings.IndexFunc(raw, func(r rune) bool { return r != '\n' && (r < ' ' || r == 0x7f || r == '\u202e') }); i >= 0 {
		s.t.Errorf("the log has a character that a terminal obeys: %q", raw[max(0, i-50):min(len(raw), i+50)])
	}
	if strings.Contains(raw, strings.Fields(public)[1]) {
		s.t.Error("the log has a whole key")
	}
}
