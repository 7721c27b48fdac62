package e2e

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// confined is what the sidecar's processes may do, as the kernel tells it, and
// what a session tries nevertheless.
func confined(s *sidecar) {
	// One of every kind is running.
	at := s.sit(24, 80, "ssh sidecar")
	at.types("echo re''ady\r")
	at.sees("ready\r\n")
	session, err := s.dial().NewSession()
	if err == nil {
		err = session.RequestSubsystem("sftp")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	defer session.Close()

	kinds := []string{"inmanta-sidecar ssh", "bash", "sftp"}
	s.until("there is a process of each of "+strings.Join(kinds, ", "), func() bool {
		var seen []string
		for _, process := range s.processesOf(s.container()) {
			// Of one that is just becoming another the command is empty.
			seen = append(seen, process.command+" "+process.status["Name"])
			process.powerless(s.t)
		}
		return !slices.ContainsFunc(kinds, func(kind string) bool {
			return !slices.ContainsFunc(seen, func(what string) bool { return strings.Contains(what, kind) })
		})
	})

	// The server is process 1 of its container, and of another real uid than its sessions.
	shell := func(line string) result { return s.sh("ssh sidecar " + quoted(line)) }
	for _, line := range []string{
		"kill -TERM 1", "kill -STOP 1", "kill -0 1", "kill -HUP 1",
		"cat /proc/1/environ", "head -c 1 /proc/1/mem", "ls /proc/1/fd", "ls /proc/1/cwd/", "cat /proc/1/maps",
		"cat /etc/inmanta-sidecar/host-keys/*", "ls /etc/inmanta-sidecar/host-keys",
		"cat > /usr/local/bin/inmanta-sidecar", "touch /usr/local/bin/evil", "touch /etc/inmanta-sidecar/authorized_keys.d/evil",
		"mount -t tmpfs none /mnt", "chown 0 /var/lib/inmanta", "unshare -U true", "su -c true", "mknod /tmp/null c 1 3", "chroot / true",
	} {
		if r := shell(line); r.code == 0 {
			s.t.Errorf("a session can %s:\n%s", line, r.stdout)
		}
	}
	if r := shell(inPython(`
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for request in (16, 0x4206): # PTRACE_ATTACH, PTRACE_SEIZE
    if libc.ptrace(request, 1, 0, 0) == 0 or ctypes.get_errno() != 1:
        raise SystemExit("traced")
local = ctypes.create_string_buffer(1)
class iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]
if libc.process_vm_readv(1, ctypes.byref(iovec(ctypes.addressof(local), 1)), 1, ctypes.byref(iovec(0x400000, 1)), 1, 0) >= 0:
    raise SystemExit("read")
for become in (os.setuid, os.setgid, lambda i: os.setgroups([i])):
    try:
        become(0)
    except PermissionError:
        continue
    raise SystemExit("became root")`)); r.code != 0 {
		s.t.Errorf("a session that traces the server, reads it or becomes root: %s%s", r.stdout, r.stderr)
	}
	// After all that it still serves, and shows nobody its secrets.
	s.prints("ssh sidecar echo serves", "serves")
	environment := s.ok("ssh sidecar env")
	for _, secret := range []string{"AUTHORIZED_KEYS", "PASSWORD"} {
		if strings.Contains(environment, secret) {
			s.t.Errorf("the session's environment has %s:\n%s", secret, environment)
		}
	}
	at.types("exit\r")
	at.leaves(0)
}

// crashOfOne is a session whose processes are killed: nobody else notices.
func crashOfOne(s *sidecar) {
	bystander := s.sit(24, 80, "ssh sidecar")
	bystander.types("echo re''ady $SSH_CONNECTION\r")
	bystander.sees("ready ")
	session, err := s.dial().NewSession()
	if err != nil {
		s.t.Fatal(err)
	}
	defer session.Close()

	for _, victim := range []string{
		"ssh -tt sidecar 'echo $PPID $$; exec sleep 1000' < /dev/zero",
		"ssh sidecar 'echo $PPID $$; exec sleep 1000'",
	} {
		at := s.sit(24, 80, "bash -c "+quoted(victim))
		at.sees("\n")
		line, _, _ := strings.Cut(at.all(), "\n")
		// A terminal may have echoed some of its input before that.
		pids := regexp.MustCompile(`(\d+) (\d+)`).FindStringSubmatch(line)
		if pids == nil {
			s.t.Fatalf("the victim says %q", line)
		}
		// Its own process, and whatever started it, unless that is the server.
		for _, pid := range []string{pids[2], pids[1]} {
			if pid != "1" {
				s.sh("ssh sidecar kill -9 " + pid)
			}
		}
		at.leaves(255)
	}
	// An sftp session, whose server is a process of its own: the one with this connection's address.
	client := s.dial()
	asking, err := client.NewSession()
	if err != nil {
		s.t.Fatal(err)
	}
	connection, err := asking.Output("printenv SSH_CONNECTION")
	if err != nil {
		s.t.Fatal(err)
	}
	sftp, err := client.NewSession()
	if err == nil {
		err = sftp.RequestSubsystem("sftp")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.killWith("SSH_CONNECTION=" + strings.TrimSpace(string(connection)))

	bystander.types("echo st''ill $((6*7))\r")
	bystander.sees("still 42\r\n")
	bystander.types("exit\r")
	bystander.leaves(0)
	if out, err := session.Output("echo here"); err != nil || string(out) != "here\n" {
		s.t.Errorf("a session beside those that were killed: %q, %v", out, err)
	}
}

// killWith kills -9 every process of the sidecar that has this in its environment.
func (s *sidecar) killWith(variable string) {
	s.t.Helper()
	killed := 0
	for line := range strings.Lines(s.docker("top", s.container(), "-eo", "pid")) {
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			continue // the heading
		}
		environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err == nil && slices.Contains(strings.Split(string(environment), "\x00"), variable) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				s.t.Fatal(err)
			}
			killed++
		}
	}
	if killed == 0 {
		s.t.Fatalf("no process with %s is there to be killed, which takes root on the engine's machine", variable)
	}
}
