package ssh

import (
	"bytes"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/authorizedkeys"
	"github.com/inmanta/inmanta-docker/sidecar/passwd"
)

func FuzzModes(f *testing.F) {
	f.Add("")
	f.Add("\x01\x00\x00\x00\x03\x35\x00\x00\x00\x00\x24\xff\xff\xff\xff\x81\x00\x00\x96\x00\x80\x00\x00\x96\x00\x00")
	f.Add("\x5a\x00\x00\x00\x01\x5b\x00\x00\x00\x01\x5c\x00\x00\x00\x01\x5d\x00\x00\x00\x01")
	f.Add("\xa0\x00\x00\x00\x01\x01\x00\x00\x00\x02")
	f.Fuzz(func(t *testing.T, modes string) {
		var whole, again, cut unix.Termios
		setModes(&whole, modes)
		// What is read of them does not depend on what is behind their end.
		again = unix.Termios{}
		setModes(&again, modes+"\x00\x01\x02\x03")
		if len(modes)%5 == 0 && whole != again {
			t.Errorf("%q and an end of modes differ", modes)
		}
		setModes(&cut, modes[:len(modes)/5*5])
		if whole != cut {
			t.Errorf("%q: a mode that is cut short changes something", modes)
		}
		if whole.Ispeed != 0 || whole.Ospeed != 0 || whole.Line != 0 || whole.Cflag&^(unix.CSIZE|unix.PARENB|unix.PARODD) != 0 {
			t.Errorf("%q changes more than modes: %+v", modes, whole)
		}
	})
}

// granted is a connection that may do everything, or as a line of
// authorized_keys has it, and that nothing is behind.
func granted(tb testing.TB, options string) *connection {
	tb.Helper()
	key := newKey(tb)
	keys, faults := authorizedkeys.Parse("test", line(options, key))
	if len(faults) > 0 {
		tb.Fatal(faults)
	}
	grant, err := authorizedkeys.Decide(keys, "me", authorizedkeys.Attempt{User: "me", Key: key.PublicKey()})
	if err != nil {
		tb.Fatal(err)
	}
	account := passwd.Account{Name: "me", Home: "/", Shell: "/bin/bash"}
	return &connection{
		server: &Server{config: Config{Account: account, SFTP: []string{"/sidecar", "sftp-server"}, Limits: DefaultLimits}},
		grant:  grant,
	}
}

// What is asked to run is a command of the client's, or the forced one, and
// nothing else, whatever the request looks like.
func FuzzWanted(f *testing.F) {
	free, forced := granted(f, ""), granted(f, `command="only this"`)
	f.Add("exec", []byte("\x00\x00\x00\x04true"))
	f.Add("exec", []byte("\x00\x00\x00\x04true\x00"))
	f.Add("exec", []byte("\xff\xff\xff\xfftrue"))
	f.Add("exec", []byte("\x00\x00\x00\x03a\x00b"))
	f.Add("subsystem", []byte("\x00\x00\x00\x04sftp"))
	f.Add("subsystem", []byte("\x00\x00\x00\x05sftp\x00"))
	f.Add("shell", []byte{})
	f.Add("shell", []byte("anything"))
	f.Fuzz(func(t *testing.T, kind string, payload []byte) {
		switch kind {
		case "exec", "subsystem", "shell":
		default:
			return // never asked about
		}
		request := &ssh.Request{Type: kind, Payload: payload}
		if w, ok := forced.wanted(request); ok {
			if w.path != "/bin/bash" || len(w.argv) != 3 || w.argv[2] != "only this" || w.forced != "only this" {
				t.Errorf("in place of the forced command: %+v", w)
			}
		}
		w, ok := free.wanted(request)
		if !ok {
			return
		}
		if strings.ContainsRune(strings.Join(append(w.argv, w.asked), " "), 0) {
			t.Errorf("%+v has a NUL", w)
		}
		switch kind {
		case "exec":
			if w.path != "/bin/bash" || len(w.argv) != 3 || w.argv[1] != "-c" || w.argv[2] != w.asked {
				t.Errorf("a command is %+v", w)
			}
		case "subsystem":
			if w.path != "/sidecar" || w.asked != "sftp" {
				t.Errorf("a subsystem is %+v", w)
			}
		case "shell":
			if w.path != "/bin/bash" || len(w.argv) != 1 || w.argv[0] != "-bash" {
				t.Errorf("a shell is %+v", w)
			}
		}
	})
}

// asked is a channel that a client asks for.
type asked struct {
	ssh.NewChannel
	kind  string
	about []byte
}

func (a asked) ChannelType() string { return a.kind }
func (a asked) ExtraData() []byte   { return a.about }

// A forward leads where the key's line permits, or nowhere.
func FuzzForwards(f *testing.F) {
	free, one, none := granted(f, ""), granted(f, `permitopen="127.0.0.1:8888"`), granted(f, "restrict")
	f.Add(true, ssh.Marshal(directTCP{"127.0.0.1", 8888, "::1", 1}))
	f.Add(true, ssh.Marshal(directTCP{"127.0.0.1", 8888 + 1<<16, "", 0}))
	f.Add(true, ssh.Marshal(directTCP{"127.0.0.1:8888", 0, "", 0}))
	f.Add(true, ssh.Marshal(directTCP{"", 8888, "", 0}))
	f.Add(false, ssh.Marshal(directSocket{Path: "/run/socket"}))
	f.Add(false, ssh.Marshal(directSocket{Path: "@abstract"}))
	f.Add(false, ssh.Marshal(directSocket{Path: "\x00abstract"}))
	f.Add(false, []byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, tcp bool, about []byte) {
		channel := asked{kind: "direct-streamlocal@openssh.com", about: about}
		if tcp {
			channel.kind = "direct-tcpip"
		}
		if network, to, err := none.goal(channel); err == nil {
			t.Errorf("a restricted key leads to %s %q", network, to)
		}
		if network, to, err := one.goal(channel); err == nil && (network != "tcp" || to != "127.0.0.1:8888") {
			t.Errorf("a key for one place leads to %s %q", network, to)
		}
		network, to, err := free.goal(channel)
		if err != nil {
			return
		}
		if network == "unix" && (!filepath.IsAbs(to) || strings.ContainsRune(to, 0) || len(to) > longestSocketPath) {
			t.Errorf("a socket is at %q", to)
		}
		if network != "tcp" && network != "unix" {
			t.Errorf("it leads to %s", network)
		}
	})
}

// A request to listen is read the same way when it is made and when it is
// cancelled, and none for a port is taken for one of a socket.
func FuzzListens(f *testing.F) {
	f.Add(true, ssh.Marshal(listenTCP{"", 8080}))
	f.Add(true, ssh.Marshal(listenTCP{"*", 0}))
	f.Add(true, ssh.Marshal(listenTCP{"::", 1 << 16}))
	f.Add(false, textOf("/run/socket"))
	f.Add(false, []byte{0, 0, 0, 9})
	f.Fuzz(func(t *testing.T, tcp bool, payload []byte) {
		kind := "streamlocal-forward@openssh.com"
		if tcp {
			kind = "tcpip-forward"
		}
		made, path, key, err := readListen(&ssh.Request{Type: kind, Payload: payload})
		cancelled, samePath, sameKey, cancelErr := readListen(&ssh.Request{Type: "cancel-" + kind, Payload: payload})
		if (err == nil) != (cancelErr == nil) || made != cancelled || path != samePath || key != sameKey {
			t.Errorf("%q is %v, %q, %q (%v), and to cancel %v, %q, %q (%v)", payload, made, path, key, err, cancelled, samePath, sameKey, cancelErr)
		}
		if err == nil && (made.Port > 65535 || tcp && strings.HasPrefix(key, "unix:/")) {
			t.Errorf("%q is %v at %q", payload, made, key)
		}
	})
}

// What a client says around its program changes nothing of what it may not.
func FuzzSetenv(f *testing.F) {
	c := granted(f, "")
	f.Add(ssh.Marshal(setenvRequest{"LANG", "C"}))
	f.Add(ssh.Marshal(setenvRequest{"LD_PRELOAD", "/x"}))
	f.Add(ssh.Marshal(setenvRequest{"LANG=x\nLD_PRELOAD", "/x"}))
	f.Add([]byte("\x00\x00\x00\x04LANG\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		s := &session{connection: c}
		if !s.setenv(payload) {
			if len(s.environment) > 0 {
				t.Errorf("%q is refused, and sets %q", payload, s.environment)
			}
			return
		}
		name, value, _ := strings.Cut(s.environment[0], "=")
		if len(s.environment) != 1 || !acceptable(name, value) {
			t.Errorf("%q sets %q", payload, s.environment)
		}
	})
}

// Whatever a session's programs report is logged as what happened to files, one
// line each, or not at all.
func FuzzReports(f *testing.F) {
	f.Add([]byte(`{"operation":"transfer","path":"/a","read":1}` + "\n" + `{"operation":"rename","path":"/a","to":"/b"}` + "\n"))
	f.Add([]byte(`{"operation":"authenticated","path":"\u202e` + "\x1b" + `"}` + "\n{\n[]\nnull\n\xff\n" + `{"read":-1}`))
	f.Add([]byte(`{"operation":"transfer","path":"/a","cut":true}`))
	f.Fuzz(func(t *testing.T, said []byte) {
		c, log := granted(t, ""), &journal{}
		c.server.audit = NewAudit(log)
		(&session{connection: c, id: 7}).report(io.NopCloser(bytes.NewReader(said)))
		if log.wrong() != "" || log.count(func(e Event) bool { return e.Event != EventFile || e.Session != 7 }) > 0 {
			t.Errorf("%q is logged as %q", said, log.text())
		}
		if n := log.count(kind(EventFile)); n > bytes.Count(said, []byte("\n"))+1 {
			t.Errorf("%q makes %d lines", said, n)
		}
	})
}
