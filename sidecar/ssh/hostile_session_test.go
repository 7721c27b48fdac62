package ssh

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

func TestHostile21ThousandChannels(t *testing.T) {
	t.Parallel()
	const sessions, channels = 5, 9
	s, key := serveOne(t, "", limited(func(l *Limits) { l.Sessions, l.Channels = sessions, channels }))
	before := s.dial(t, key)
	unharmed(t, before)
	goal := echoing(t, "tcp", "127.0.0.1:0")
	w := enter(t, s, key)
	var numbers []uint32
	granted := map[string]int{}
	for kind, about := range map[string][]byte{"session": nil, "direct-tcpip": ssh.Marshal(directTCP{"127.0.0.1", port(goal), "", 0})} {
		for n := range uint32(1000) {
			number, err := w.open(kind, n, 1<<20, about)
			if err == nil {
				granted[kind]++
				numbers = append(numbers, number)
			} else if !strings.Contains(err.Error(), "which is the limit") {
				t.Fatal(err)
			}
		}
	}
	if granted["session"] != sessions && granted["direct-tcpip"] != channels || len(numbers) != channels {
		t.Errorf("granted %v, want %d sessions at most and %d channels in all", granted, sessions, channels)
	}
	unharmed(t, before)
	// A place that is given back is free again.
	_ = w.send(channelClose(numbers[0]))
	eventually(t, "a place is free", func() bool {
		_, err := w.open("session", 5000, 1<<20, nil)
		if err != nil {
			_, err = w.open("direct-tcpip", 5000, 1<<20, ssh.Marshal(directTCP{"127.0.0.1", port(goal), "", 0}))
		}
		return err == nil
	})
	unharmed(t, before)
}

func TestHostile22RequestFlood(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	client := s.dial(t, key)
	flooded := open(t, client)
	if err := flooded.RequestPty("xterm", 24, 80, nil); err != nil {
		t.Fatal(err)
	}
	input, _ := flooded.StdinPipe()
	output, _ := flooded.StdoutPipe()
	if err := flooded.Start("trap '' USR1; stty -echo; echo ready; exec cat"); err != nil {
		t.Fatal(err)
	}
	ready := make([]byte, len("ready\r\n"))
	if _, err := io.ReadFull(output, ready); err != nil {
		t.Fatal(err)
	}
	size := ssh.Marshal(windowChange{Columns: 80, Rows: 24})
	for i := range 10_000 {
		for kind, about := range map[string][]byte{
			"window-change": size, "signal": textOf("USR1"), "no-such-request": nil, "env": ssh.Marshal(setenvRequest{"LANG", "C"}),
			"pty-req": nil, "shell": nil, "signal-that-is-not": textOf("NOSUCH"),
		} {
			if _, err := flooded.SendRequest(kind, false, about); err != nil {
				t.Fatal(i, err)
			}
		}
		if _, _, err := client.SendRequest("no-such-request", false, size); err != nil {
			t.Fatal(err)
		}
		if i%2_500 == 0 {
			unharmed(t, client)
		}
	}
	unharmed(t, client)
	_, _ = io.WriteString(input, "still there\n")
	said := make([]byte, len("still there\r\n"))
	if _, err := io.ReadFull(output, said); err != nil || string(said) != "still there\r\n" {
		t.Errorf("%q (%v)", said, err)
	}
	ended := flooded.Wait
	_ = input.Close()
	_ = flooded.Close()
	_ = ended()
	unharmed(t, client)
}

// Answers are asked for, and not read: the client's own connection stands still,
// nobody else's.
func TestHostile22FloodOfAnswersNobodyReads(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	before := s.dial(t, key)
	w := enter(t, s, key)
	channel, err := w.open("session", 0, 1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	stuck := make(chan struct{})
	go func() {
		defer close(stuck)
		flood := repeat(channelRequest(channel, "no-such-request", true, nil), 1000)
		for w.sendAll(append(flood, globalRequest("no-such-request", true, nil))...) == nil {
		}
	}()
	for range 5 {
		unharmed(t, before)
	}
	_ = w.conn.Close()
	within(t, stuck, "the flood to end")
	s.log.await(t, "its end", kind(EventDisconnected))
	unharmed(t, before)
}

func TestHostile25WindowsAndModes(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	client := s.dial(t, key)
	pty := func(columns, rows uint32, modes string) []byte {
		return ssh.Marshal(ptyRequest{Term: "xterm", Columns: columns, Rows: rows, Width: columns, Height: rows, Modes: modes})
	}
	for _, c := range []struct {
		columns, rows uint32
		want          string
	}{{0, 0, "0 0"}, {1<<32 - 1, 1<<32 - 1, "65535 65535"}, {1 << 16, 1, "1 65535"}, {80, 24, "24 80"}} {
		session := open(t, client)
		if ok, err := session.SendRequest("pty-req", true, pty(c.columns, c.rows, "")); !ok {
			t.Fatalf("%d×%d is refused (%v)", c.columns, c.rows, err)
		}
		if got, err := session.Output("stty size"); strings.TrimSpace(string(got)) != c.want {
			t.Errorf("%d×%d is %q (%v), want %s", c.columns, c.rows, got, err, c.want)
		}
	}
	modes := "\x01\x00\x00\x00\x03\x35\x00\x00\x00\x00\x24\xff\xff\xff\xff\x81\x00\x00\x96\x00\x80\x00\x00\x96\x00\x00"
	whole := pty(80, 24, modes)
	for cut := range len(whole) {
		session := open(t, client)
		ok, err := session.SendRequest("pty-req", true, whole[:cut])
		if ok || err != nil {
			t.Errorf("a request cut at %d is granted: %t (%v)", cut, ok, err)
		}
		_ = session.Close()
	}
	for cut := range len(modes) {
		session := open(t, client)
		if ok, err := session.SendRequest("pty-req", true, pty(80, 24, modes[:cut])); !ok || err != nil {
			t.Errorf("modes cut at %d are refused: %t (%v)", cut, ok, err)
		}
		if ok, _ := session.SendRequest("pty-req", true, whole); ok {
			t.Error("a second terminal is granted")
		}
		for size := range 17 {
			_, _ = session.SendRequest("window-change", false, make([]byte, size))
		}
		_ = session.Close()
	}
	unharmed(t, client)
}

func TestHostile26Environment(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	client := s.dial(t, key)
	session := open(t, client)
	for name, granted := range map[string]bool{
		"LD_PRELOAD": false, "LD_LIBRARY_PATH": false, "BASH_ENV": false, "ENV": false, "PATH": false, "HOME": false, "SHELL": false, "IFS": false,
		"PS4": false, "PROMPT_COMMAND": false, "SHELLOPTS": false, "BASH_FUNC_echo%%": false, "PYTHONPATH": false, "GIT_SSH_COMMAND": false,
		"LOCPATH": false, "NLSPATH": false, "GCONV_PATH": false, "SSH_ORIGINAL_COMMAND": false, "SSH_AUTH_SOCK": false, "INMANTA_X": false,
		"": false, "A=B": false, "LANG\x00": false, "LANG\nLD_PRELOAD": false, "lang": false, "LC_": false, "LC_all": false, "XLANG": false, "EDITOR": false,
		"GIT_PROTOCOL": true, "COLORTERM": true,
	} {
		if ok, err := session.SendRequest("env", true, ssh.Marshal(setenvRequest{name, "x"})); ok != granted || err != nil {
			t.Errorf("%q: %t (%v), want %t", name, ok, err, granted)
		}
	}
	for value, granted := range map[string]bool{
		"C.UTF-8": true, "with\x00NUL": false, "/tmp/evil": false, "../../tmp/evil": false, "en:/tmp/evil": false,
		strings.Repeat("x", longestVariable+1): false,
	} {
		for _, name := range []string{"LANG", "LANGUAGE", "LC_MESSAGES", "TERM"} {
			if ok, err := session.SendRequest("env", true, ssh.Marshal(setenvRequest{name, value})); ok != granted || err != nil {
				t.Errorf("%s=%.20q: %t (%v), want %t", name, value, ok, err, granted)
			}
		}
	}
	for value, granted := range map[string]bool{
		"Europe/Brussels": true, ":Europe/Brussels": true, "CET-1CEST": true, "/etc/passwd": false, ":/etc/passwd": false, "../../../etc/passwd": false,
		"Europe/../../../etc/passwd": false,
	} {
		if ok, err := session.SendRequest("env", true, ssh.Marshal(setenvRequest{"TZ", value})); ok != granted || err != nil {
			t.Errorf("TZ=%s: %t (%v), want %t", value, ok, err, granted)
		}
	}
	for _, wrong := range [][]byte{nil, {0, 0, 0, 4, 'L', 'A', 'N', 'G'}, textOf("LANG"), append(ssh.Marshal(setenvRequest{"LANG", "C"}), 0)} {
		if ok, err := session.SendRequest("env", true, wrong); ok || err != nil {
			t.Errorf("%q: %t (%v)", wrong, ok, err)
		}
	}
	text, err := session.Output("env -0")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for variable := range strings.SplitSeq(string(text), "\x00") {
		name, value, _ := strings.Cut(variable, "=")
		got[name] = value
	}
	for name := range got {
		switch name {
		case "", "PATH", "HOME", "USER", "LOGNAME", "SHELL", "INMANTA_SET", "SSH_CLIENT", "SSH_CONNECTION", "LANG", "LANGUAGE", "LC_MESSAGES",
			"TERM", "TZ", "GIT_PROTOCOL", "COLORTERM", "PWD", "SHLVL", "_":
		default:
			t.Errorf("a session has %s=%s", name, got[name])
		}
	}
	if got["LANG"] != "C.UTF-8" || got["INMANTA_SET"] != "yes" || got["GIT_PROTOCOL"] != "x" {
		t.Errorf("a session has %v", got)
	}
	unharmed(t, client)
}

// One more variable than a session may have is not set.
func TestVariablesAreLimited(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	client := s.dial(t, key)
	session := open(t, client)
	for i := range mostVariables + 10 {
		ok, err := session.SendRequest("env", true, ssh.Marshal(setenvRequest{"LANG", fmt.Sprint("C", i)}))
		if want := i < mostVariables; ok != want || err != nil {
			t.Fatalf("variable %d: %t (%v), want %t", i, ok, err, want)
		}
	}
	if got, err := session.Output("echo $LANG"); string(got) != fmt.Sprint("C", mostVariables-1, "\n") {
		t.Errorf("it has %q (%v)", got, err)
	}
}

func TestHostile27SecondProgram(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	client := s.dial(t, key)
	for _, first := range []struct {
		kind  string
		about []byte
	}{{"shell", nil}, {"exec", textOf("cat")}, {"subsystem", textOf("sftp")}} {
		session := open(t, client)
		if ok, err := session.SendRequest(first.kind, true, first.about); !ok {
			t.Fatalf("%s is refused (%v)", first.kind, err)
		}
		for kind, about := range map[string][]byte{
			"shell": nil, "exec": textOf("touch " + s.home("second")), "subsystem": textOf("sftp"), "pty-req": ssh.Marshal(ptyRequest{}),
			"env": ssh.Marshal(setenvRequest{"LANG", "C"}), "auth-agent-req@openssh.com": nil,
		} {
			if ok, err := session.SendRequest(kind, true, about); ok || err != nil {
				t.Errorf("%s after %s: %t (%v)", kind, first.kind, ok, err)
			}
		}
		_ = session.Close()
	}
	unharmed(t, client)
	if _, err := os.Stat(s.home("second")); err == nil {
		t.Error("a second program ran")
	}
	for kind, about := range map[string][]byte{
		"exec": nil, "subsystem": textOf("no-such"), "shell ": nil, "": nil, "exec\x00": textOf("true"),
	} {
		session := open(t, client)
		if ok, err := session.SendRequest(kind, true, about); ok || err != nil {
			t.Errorf("%q of nothing: %t (%v)", kind, ok, err)
		}
		// It is still there to be used.
		if err := session.Run("true"); err != nil {
			t.Errorf("after %q: %v", kind, err)
		}
	}
	for name, command := range map[string]string{"NUL": "echo a\x00b", "longer than the kernel takes": strings.Repeat("x", 200_000)} {
		if _, err := run(t, client, command); err == nil {
			t.Errorf("a command with %s runs", name)
		}
	}
	unharmed(t, client)
}

func TestHostile28FilePackets(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	client := s.dial(t, key)
	number := binary.BigEndian.AppendUint32
	packet := func(kind byte, body ...byte) []byte {
		return append(append(number(nil, uint32(1+len(body))), kind), body...)
	}
	read := append(number(nil, 7), textOf("no-such-handle")...)
	for name, bytes := range map[string][]byte{
		"length 0":           {0, 0, 0, 0},
		"length 4 GiB":       {0xff, 0xff, 0xff, 0xff, 3},
		"unknown type":       packet(99, number(nil, 7)...),
		"no number":          packet(3, 0),
		"a read of 4 GiB":    packet(5, number(append(read, make([]byte, 8)...), 1<<32-1)...),
		"a short setstat":    packet(9, append(number(nil, 7), textOf("x")...)...),
		"a second beginning": packet(1, 0, 0, 0, 3),
	} {
		t.Run(name, func(t *testing.T) {
			session := open(t, client)
			input, _ := session.StdinPipe()
			output, _ := session.StdoutPipe()
			if err := session.RequestSubsystem("sftp"); err != nil {
				t.Fatal(err)
			}
			go func() {
				_, _ = input.Write(append(packet(1, 0, 0, 0, 3), bytes...))
				_ = input.Close()
			}()
			// It answers or it ends; either way it ends once the client has.
			if _, err := io.ReadAll(output); err != nil {
				t.Error(err)
			}
			unharmed(t, client)
		})
	}
}

func TestHostile31LogInjection(t *testing.T) {
	t.Parallel()
	s, key := serveOne(t, "")
	before := s.dial(t, key)
	evil := "x\n{\"event\":\"authenticated\"}\r\n\x1b[2J\u009b2J\u202etxt\u2028\xff\x00\"\\"
	s.refused(t, evil, ssh.PublicKeys(key))
	refused := s.log.await(t, "the refusal", func(e Event) bool { return e.Event == EventRefused && e.Method == "publickey" })
	if want := strings.ToValidUTF8(evil, "\ufffd"); refused.User != want {
		t.Errorf("the user is %q, want %q", refused.User, want)
	}
	command := "true " + strings.ReplaceAll(evil, "\x00", "")
	_, _ = run(t, before, command)
	started := s.log.await(t, "the command", kind(EventSessionStart))
	if want := strings.ToValidUTF8(command, "\ufffd"); started.Command != want {
		t.Errorf("the command is %q, want %q", started.Command, want)
	}
	_, _ = before.Dial("unix", "/nowhere"+evil)
	_, _ = before.Dial("unix", "/nowhere"+strings.ReplaceAll(evil, "\x00", ""))
	_, _, _ = before.OpenChannel("direct-tcpip", ssh.Marshal(directTCP{evil, 1, evil, 1}))
	_, _, _ = before.SendRequest("tcpip-forward", true, ssh.Marshal(listenTCP{evil, 0}))
	_, _, _ = before.SendRequest("streamlocal-forward@openssh.com", true, textOf(evil))
	for _, byte := range []byte(s.log.text()) {
		if byte < ' ' && byte != '\n' || byte == 0x7f {
			t.Fatalf("the log has byte %#x", byte)
		}
	}
	if n := s.log.count(kind(EventAuthenticated)); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
	unharmed(t, before)
}
