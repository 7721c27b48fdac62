package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// with is the ssh client with another key, and none of ours.
func with(private string) string {
	return "ssh -F client/stranger -i " + private + " "
}

// denied fails the scenario unless a line of shell is refused for want of a key.
func (s *sidecar) denied(line string) {
	s.t.Helper()
	s.ends(255, line, "Permission denied (publickey)")
}

// keyTypes are the kinds of keys that people have.
func keyTypes(s *sidecar) {
	local, _ := s.room()
	good := map[string]string{
		"ed25519": "-t ed25519", "ecdsa256": "-t ecdsa -b 256", "ecdsa384": "-t ecdsa -b 384", "ecdsa521": "-t ecdsa -b 521",
		"rsa2048": "-t rsa -b 2048", "rsa4096": "-t rsa -b 4096",
	}
	private := map[string]string{}
	var public []string
	for name, kind := range good {
		path, line := s.key(local, name, kind)
		private[name] = path
		public = append(public, line)
	}
	small, smallPublic := s.key(local, "rsa1024", "-t rsa -b 1024")
	stranger, _ := s.key(local, "stranger", "-t ed25519")
	s.allow("key-types", strings.Join(append(public, smallPublic), "\n"))
	for name, path := range private {
		s.prints(with(path)+"sidecar echo "+name, name)
	}
	// RSA is fine with SHA-2 and never with SHA-1; too small is too small.
	for _, algorithm := range []string{"rsa-sha2-256", "rsa-sha2-512"} {
		s.prints(with(private["rsa2048"])+"-o PubkeyAcceptedAlgorithms="+algorithm+" sidecar echo fine", "fine")
	}
	s.ends(255, with(private["rsa2048"])+"-o PubkeyAcceptedAlgorithms=ssh-rsa sidecar true")
	s.denied(with(small) + "-o RequiredRSASize=1024 sidecar true")
	s.denied(with(stranger) + "sidecar true")
	// The right one of several is found.
	s.prints(with(stranger)+"-i "+small+" -i "+private["ecdsa384"]+" sidecar echo fine", "fine")

	// Each kind of host key is served, and is the one that is shown.
	for _, algorithm := range []string{"ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"} {
		s.prints("ssh -o HostKeyAlgorithms="+algorithm+" sidecar echo fine", "fine")
	}
	s.ends(255, "ssh -o HostKeyAlgorithms=ssh-rsa sidecar true", "no matching host key type")
	scanned := s.ok(fmt.Sprintf("ssh-keyscan -t ed25519,ecdsa,rsa -p %d 127.0.0.1 2>/dev/null | cut -d' ' -f2,3 | sort", s.sshPort))
	if shown := s.ok("cut -d' ' -f2,3 client/known_hosts | sort"); scanned != shown || strings.Count(scanned, "\n") != 2 {
		s.t.Errorf("ssh-keyscan finds\n%s\nand shown is\n%s", scanned, shown)
	}
}

// refusedLogins are those who hold a key, or none, and still do not get in.
func refusedLogins(s *sidecar) {
	for _, user := range []string{"root", "daemon", "nobody", "postgres", "no-such-user", "''"} {
		s.denied("ssh -l " + user + " sidecar true")
	}
	s.denied("ssh -F client/stranger -o PubkeyAuthentication=no sidecar true")
	s.denied("ssh -o PreferredAuthentications=password,keyboard-interactive,hostbased,gssapi-with-mic,none -o PasswordAuthentication=yes -o BatchMode=no -o NumberOfPasswordPrompts=0 sidecar true")
	// What is offered to those without a key does not tell who exists.
	methods := func(user string) string {
		return s.ok("ssh -v -o PubkeyAuthentication=no -l " + user + " sidecar true 2>&1 | grep 'Authentications that can continue' | cut -d: -f3")
	}
	if a, b := methods("inmanta"), methods("no-such-user"); a != b || a != "publickey" {
		s.t.Errorf("to inmanta is offered %q, to somebody who is not there %q", a, b)
	}
}

// certificates are keys that an authority vouches for.
func certificates(s *sidecar) {
	local, _ := s.room()
	authority, authorityPublic := s.key(local, "authority", "-t ed25519")
	other, _ := s.key(local, "other", "-t ed25519")
	user, userPublic := s.key(local, "user", "-t ed25519")
	s.allow("authority", "cert-authority "+authorityPublic)

	sign := func(with, options string) {
		s.ok("cd " + local + " && ssh-keygen -q -s " + with + " " + options + " user.pub")
	}
	s.denied(with(user) + "sidecar true") // no certificate yet
	login := with(user) + "-o CertificateFile=" + user + "-cert.pub "

	sign(authority, "-I somebody -n inmanta -V +1h")
	s.prints(login+"sidecar whoami", "inmanta")
	for what, options := range map[string]string{
		"another principal":         "-I x -n somebody-else -V +1h",
		"no principal":              "-I x -V +1h",
		"expired":                   "-I x -n inmanta -V 20010101:20010102",
		"not valid yet":             "-I x -n inmanta -V +1h:+2h",
		"a host's":                  "-I x -h -n inmanta -V +1h",
		"from elsewhere":            "-I x -n inmanta -V +1h -O source-address=192.0.2.1/32",
		"an unknown critical thing": "-I x -n inmanta -V +1h -O critical:unheard@example.com=x",
	} {
		sign(authority, options)
		if r := s.sh(login + "sidecar true"); r.code != 255 || !strings.Contains(r.stderr, "Permission denied") {
			s.t.Errorf("a certificate that is for %s: exit code %d\n%s", what, r.code, r.stderr)
		}
	}
	sign(other, "-I x -n inmanta -V +1h")
	s.denied(login + "sidecar true")

	// What a certificate limits is limited.
	sign(authority, "-I x -n inmanta -V +1h -O clear")
	s.prints(login+"sidecar echo fine", "fine")
	s.ends(255, login+"-tt sidecar 'tty || true' </dev/null", "PTY allocation request failed")
	s.ends(255, login+"-N -o ExitOnForwardFailure=yes -R 0:127.0.0.1:1 sidecar", "forwarding failed")
	sign(authority, "-I x -n inmanta -V +1h -O force-command='echo forced $SSH_ORIGINAL_COMMAND'")
	s.prints(login+"sidecar echo mine", "forced echo mine")
	// And its key by itself still opens nothing.
	s.ok("rm " + user + "-cert.pub")
	s.denied(with(user) + "sidecar true")

	// Names other than the user's own, where the line says so.
	s.allow("authority", `cert-authority,principals="ops,dev" `+authorityPublic)
	sign(authority, "-I x -n dev -V +1h")
	s.prints(login+"sidecar whoami", "inmanta")
	sign(authority, "-I x -n inmanta -V +1h")
	s.denied(login + "sidecar true")
	// A plain line is for the key itself, not for whatever it signs.
	s.allow("authority", authorityPublic+"\n"+userPublic)
	s.prints("mv "+user+"-cert.pub "+local+"/kept; "+with(user)+"sidecar whoami", "inmanta")
	s.key(local, "third", "-t ed25519")
	s.ok("cd " + local + " && ssh-keygen -q -s authority -I x -n inmanta third.pub")
	s.denied(with(local+"/third") + "sidecar true")
}

// keyOptions are what may stand before a key.
func keyOptions(s *sidecar) {
	local, _ := s.room()
	private, public := s.key(local, "optional", "-t ed25519")
	ssh := with(private)
	from := strings.Fields(s.ok("ssh sidecar printenv SSH_CONNECTION"))[0]
	network, err := netip.MustParseAddr(from).Prefix(16)
	if err != nil {
		s.t.Fatal(err)
	}
	day := func(days int) string { return time.Now().AddDate(0, 0, days).UTC().Format("20060102") + "Z" }

	lets := func(options string, in bool) {
		s.t.Helper()
		s.allow("options", options+" "+public)
		r := s.sh(ssh + "sidecar echo in")
		if got := r.code == 0 && r.stdout == "in\n"; got != in {
			s.t.Errorf("with %s before the key: exit code %d, let in %v, want %v\n%s", options, r.code, got, in, r.stderr)
		}
	}
	lets(`from="`+from+`"`, true)
	lets(`from="192.0.2.7,`+network.String()+`"`, true)
	lets(`from="192.0.2.7"`, false)
	lets(`from="!`+from+`,*"`, false)
	lets(`from="*,!`+from+`"`, false)
	lets(`expiry-time="`+day(2)+`"`, true)
	lets(`expiry-time="`+day(-2)+`"`, false)
	lets(`no-pty,no-X11-forwarding,no-agent-forwarding,no-port-forwarding,no-user-rc`, true)
	// A line with a mistake lets nobody in, not even by another line for its key;
	// other keys beside it are not its business.
	for _, mistake := range []string{"restict", "no-such-option", `from="192.0.2.0/33"`, `command="unbalanced`, `expiry-time="soon"`} {
		lets(mistake, false)
	}
	other, otherPublic := s.key(local, "beside", "-t ed25519")
	s.allow("options", "restict "+public+"\nnot a key at all\n"+otherPublic+"\n"+public)
	s.prints(with(other)+"sidecar echo in", "in")
	s.denied(ssh + "sidecar echo in")

	// command= is what runs, whatever was asked for.
	s.allow("options", `command="echo forced: $SSH_ORIGINAL_COMMAND" `+public)
	s.prints(ssh+"sidecar rm -rf /", "forced: rm -rf /")
	s.prints(ssh+"-T sidecar </dev/null", "forced:")
	s.ends(255, "sftp -F client/stranger -i "+private+" -b - sidecar <<<pwd")
	s.says(s.ok(ssh+"-s sidecar sftp"), "forced:")

	// restrict takes everything but the command, and what follows it gives back.
	s.allow("options", "restrict "+public)
	s.prints(ssh+"sidecar echo in", "in")
	s.ends(255, ssh+"-tt sidecar 'tty || true' </dev/null", "PTY allocation request failed")
	forward := func(option, words string, code int) {
		s.t.Helper()
		if r := s.sh("timeout 20 " + ssh + "-o ExitOnForwardFailure=yes " + option + " sidecar true"); r.code != code || !strings.Contains(r.stderr, words) {
			s.t.Errorf("%s: exit code %d, want %d and %q\n%s", option, r.code, code, words, r.stderr)
		}
	}
	forward("-R 0:127.0.0.1:1", "forwarding failed", 255)
	forward("-R /tmp/restricted.sock:/tmp/x", "forwarding failed", 255)
	forward("-W server:8888", "administratively prohibited", 255)
	s.ends(1, "eval $(ssh-agent) >/dev/null; trap 'kill $SSH_AGENT_PID' EXIT; "+ssh+"-A -o IdentityAgent=SSH_AUTH_SOCK sidecar printenv SSH_AUTH_SOCK")
	s.allow("options", "restrict,pty,port-forwarding "+public)
	s.says(s.ends(0, ssh+"-tt sidecar tty </dev/null").stdout, "/dev/pts/")
	forward("-R 0:127.0.0.1:1", "", 0)
	s.allow("options", "no-port-forwarding "+public)
	forward("-R 0:127.0.0.1:1", "forwarding failed", 255)
	forward("-W server:8888", "administratively prohibited", 255)

	// permitopen and permitlisten say where to, and mean it to the letter.
	s.allow("options", `permitopen="server:8888",permitlisten="localhost:7070" `+public)
	port := freePort(s.t)
	s.master(ssh, fmt.Sprintf("-L %d:server:8888", port))
	s.says(s.ok(fmt.Sprintf("curl -sf http://127.0.0.1:%d/api/v1/serverstatus", port)), "Inmanta")
	forward("-W server:8889", "administratively prohibited", 255)
	forward("-W localhost:22", "administratively prohibited", 255)
	forward("-R localhost:7070:127.0.0.1:1", "", 0)
	forward("-R localhost:7071:127.0.0.1:1", "forwarding failed", 255)

	// Several lines for one key: the first counts, as with every other server.
	s.allow("options", `command="echo first" `+public+"\n"+`command="echo second" `+public)
	s.prints(ssh+"sidecar true", "first")
}
