package e2e

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

// execCommands are single commands: their output, arguments and two streams.
func execCommands(s *sidecar) {
	s.prints("ssh sidecar whoami", "inmanta")
	s.prints("ssh sidecar pwd", "/var/lib/inmanta")
	s.prints("ssh sidecar id -u", s.docker("exec", s.server(), "id", "-u"))
	// The words arrive as one line for the shell: quoting is the client's matter.
	s.prints(`ssh sidecar echo 'a  b' '$HOME' '*none*'`, "a b /var/lib/inmanta *none*")
	s.prints(`ssh sidecar "echo 'a  b' \"\$0\""`, "a  b bash")
	s.prints(`ssh sidecar 'printf "%s\n" "ü ✓"'`, "ü ✓")
	s.prints("ssh -T sidecar 'test -t 0 || echo no terminal'", "no terminal")
	s.prints("ssh -n sidecar 'cat; echo nothing on stdin'", "nothing on stdin")

	r := s.ends(0, "ssh sidecar 'echo out; echo err >&2'")
	if r.stdout != "out\n" || r.stderr != "err\n" {
		s.t.Errorf("out and err arrive as %q and %q", r.stdout, r.stderr)
	}
	// What is in the image works: the orchestrator's own Python, for one.
	s.prints("ssh sidecar /opt/inmanta/bin/python -c '\"import inmanta; print(inmanta.__name__)\"'", "inmanta")
}

// sessionEnvironment is what a session starts with, and what a client may add.
func sessionEnvironment(s *sidecar) {
	for name, want := range map[string]string{
		"HOME":                               "/var/lib/inmanta",
		"USER":                               "inmanta",
		"LOGNAME":                            "inmanta",
		"SHELL":                              "/bin/bash",
		"INMANTA_CLIENT_REST_TRANSPORT_HOST": "server",
		"INMANTA_CONFIG_STATE_DIR":           "/var/lib/inmanta",
	} {
		s.prints("ssh sidecar printenv "+name, want)
	}
	connection := strings.Fields(s.ok("ssh sidecar printenv SSH_CONNECTION"))
	if len(connection) != 4 || connection[3] != "22" {
		s.t.Errorf("SSH_CONNECTION is %q", connection)
	}
	if client := strings.Fields(s.ok("ssh sidecar printenv SSH_CLIENT")); len(client) != 3 || client[0] != connection[0] || client[2] != "22" {
		s.t.Errorf("SSH_CLIENT is %q", client)
	}
	for _, absent := range []string{"SSH_TTY", "SSH_AUTH_SOCK", "SSH_ORIGINAL_COMMAND", "INMANTA_AUTHORIZED_KEYS"} {
		s.ends(1, "ssh sidecar printenv "+absent)
	}

	// A login shell reads the profile, which must not lose the way to the tools.
	s.prints(`ssh sidecar "bash -l -c 'command -v inmanta-cli; echo \$INMANTA_CLIENT_REST_TRANSPORT_HOST'"`, "/usr/bin/inmanta-cli\nserver")

	// What clients send by themselves gets through, what changes how programs load does not.
	s.prints(`LANG=nl_BE.UTF-8 LC_TIME=fr_FR.UTF-8 ssh -o SendEnv='LANG LC_*' sidecar 'echo $LANG $LC_TIME'`, "nl_BE.UTF-8 fr_FR.UTF-8")
	s.prints("ssh -o SetEnv=GIT_PROTOCOL=version=2 sidecar printenv GIT_PROTOCOL", "version=2")
	s.prints("ssh -o SetEnv='LD_PRELOAD=/evil BASH_ENV=/evil PATH=/evil HOME=/evil' sidecar 'echo $LD_PRELOAD $BASH_ENV $HOME; command -v ls'",
		"/var/lib/inmanta\n/usr/bin/ls")
}

// exitStatus is how commands end, which scripts rely on to the digit.
func exitStatus(s *sidecar) {
	for _, code := range []int{0, 1, 7, 126, 254, 255} {
		s.ends(code, fmt.Sprintf("ssh sidecar exit %d", code))
	}
	s.ends(127, "ssh sidecar no-such-command", "no-such-command")
	s.ends(126, "ssh sidecar /etc/passwd")
	// OpenSSH has no exit code for a signal but 255; it is the protocol that has more to say.
	s.ends(255, "ssh sidecar 'kill -TERM $$'")

	client := s.dial()
	run := func(line string) error {
		session, err := client.NewSession()
		if err != nil {
			s.t.Fatal(err)
		}
		defer session.Close()
		return session.Run(line)
	}
	for _, signal := range []string{"TERM", "KILL", "HUP", "USR1", "SEGV"} {
		var exit *ssh.ExitError
		err := run("ulimit -c 0; kill -" + signal + " $$")
		if !errors.As(err, &exit) || exit.Signal() != signal {
			s.t.Errorf("a shell that SIG%s ended ends with %v", signal, err)
		}
	}
	// What the shell itself makes of a signalled child is the shell's number.
	var exit *ssh.ExitError
	if err := run("sh -c 'kill -TERM $$'; exit $?"); !errors.As(err, &exit) || exit.Signal() != "" || exit.ExitStatus() != 143 {
		s.t.Errorf("a shell whose child was signalled ends with %v", err)
	}
}

// scriptsOnStdin are scripts that come over the connection.
func scriptsOnStdin(s *sidecar) {
	local, _ := s.room()
	script := filepath.Join(local, "script")
	s.ok("cat > " + script + ` <<'END'
set -eu
name=$1
for i in 1 2 3; do echo "$name $i"; done
exit 9
echo not reached
END`)
	want := "x 1\nx 2\nx 3\n"
	for _, shell := range []string{"sh -s x", "bash -s x", "bash -l -s x", "'exec bash -s x'"} {
		if r := s.ends(9, "ssh sidecar "+shell+" < "+script); r.stdout != want {
			s.t.Errorf("ssh sidecar %s < script prints %q, want %q", shell, r.stdout, want)
		}
	}
	// A program that the script runs reads on where bash stopped.
	s.prints("printf 'read -r line\\nthe line\\necho read: $line\\n' | ssh sidecar bash", "read: the line")
	// No command at all is a login shell, which reads its commands just the same.
	s.prints("echo 'shopt -q login_shell && echo login' | ssh -T sidecar", "login")
	s.prints("ssh sidecar sh <<<'whoami'", "inmanta")
	s.ends(3, "ssh sidecar bash -l -c 'exit\\ 3' < /dev/null")
}

// streams are the ends of pipes: what has been written arrives, whole and in
// order, whoever closes first.
func streams(s *sidecar) {
	local, _ := s.room()
	s.ok("head -c 5000000 /dev/urandom > " + local + "/blob")
	s.prints("ssh sidecar cat < "+local+"/blob | cmp - "+local+"/blob && echo same", "same")
	s.prints("ssh sidecar sha256sum < "+local+"/blob | cut -c1-64", s.ok("sha256sum < "+local+"/blob | cut -c1-64"))
	// Both streams at once, each more than any buffer.
	r := s.ends(0, "ssh sidecar 'head -c 3000000 /dev/zero & head -c 3000000 /dev/zero >&2; wait'")
	if len(r.stdout) != 3000000 || len(r.stderr) != 3000000 {
		s.t.Errorf("of 3000000 bytes each, %d and %d arrived", len(r.stdout), len(r.stderr))
	}
	s.prints("printf half | ssh sidecar 'cat; echo -closed'", "half-closed")
	r = s.ends(3, "ssh sidecar 'exec >&-; echo late >&2; exit 3'")
	if r.stderr != "late\n" {
		s.t.Errorf("after stdout was closed, stderr brought %q", r.stderr)
	}
	// A reader that has enough ends the writer.
	s.prints("ssh sidecar 'yes | head -n 200000' | wc -l", "200000")
	s.prints("yes | ssh sidecar 'head -n 1'", "y")
	// Who does not listen to what comes does not hold up the end.
	s.ends(5, "head -c 20000000 /dev/zero | ssh sidecar 'exit 5'")
	// A command that leaves something running behind it is over when it says so.
	s.prints("ssh sidecar 'sleep 600 </dev/null >/dev/null 2>&1 & echo $! > /tmp/left; echo gone'", "gone")
	s.prints("ssh sidecar 'kill $(cat /tmp/left) && echo it ran on'", "it ran on")
	// The client's questions after the other end are answered.
	s.prints("ssh -o ServerAliveInterval=1 -o ServerAliveCountMax=1 sidecar 'sleep 3; echo alive'", "alive")
}

// brokenPipe is a reader here that has enough of what a command there says,
// which goes on for ever: who looks for one line in a log, say.
func brokenPipe(s *sidecar) {
	s.prints("ssh sidecar yes | head -n 1", "y")
	s.prints("ssh sidecar 'while echo found; do sleep 0.1; done' | grep -m1 found", "found")
}

// rekeying is new keys in the middle of much data, again and again.
func rekeying(s *sidecar) {
	local, _ := s.room()
	const size = 200_000_000
	s.ok(fmt.Sprintf("head -c %d /dev/urandom > %s/blob", size, local))
	want := s.ok("sha256sum < " + local + "/blob")
	s.prints("ssh -v -o RekeyLimit=1M sidecar cat < "+local+"/blob 2> "+local+"/log | sha256sum", want)
	if times := s.ok("grep -c 'rekeying in progress\\|SSH2_MSG_NEWKEYS received' " + local + "/log"); len(times) < 3 {
		s.t.Errorf("with 200 MB each way and a limit of 1 MB there were %s new keys", times)
	}
}

// multiplexing is one connection with many sessions.
func multiplexing(s *sidecar) {
	local, _ := s.room()
	control := "-o ControlPath=" + local + "/ctl"
	s.ok("ssh -fNM " + control + " sidecar >/dev/null 2>&1")
	s.ends(0, "ssh -O check "+control+" sidecar", "Master running")
	first := s.ok("ssh " + control + " sidecar printenv SSH_CONNECTION")
	// More at once than one connection of sshd allows by default, which is what tools expect to have.
	s.prints("for i in 1 2 3 4 5 6 7 8 9; do ssh "+control+" sidecar \"sleep 0.3; echo $i; exit $i\" > "+local+"/out$i & done; for j in $(jobs -p); do wait $j || true; done; sort "+local+"/out* | tr -d '\\n'",
		"123456789")
	if again := s.ok("ssh " + control + " sidecar printenv SSH_CONNECTION"); again != first {
		s.t.Errorf("SSH_CONNECTION was %s and is %s: not one connection", first, again)
	}
	s.ok("ssh -O exit " + control + " sidecar 2>&1")
	// And many connections at once.
	s.prints("for i in $(seq 20); do ssh sidecar echo yes > "+local+"/many$i & done; for j in $(jobs -p); do wait $j; done; cat "+local+"/many* | sort | uniq -c | tr -s ' '", "20 yes")
}
