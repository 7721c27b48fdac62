package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// stat is a line of /proc/PID/stat.
func stat(pid, name, state, parent, started string) string {
	return pid + " (" + name + ") " + state + " " + parent + strings.Repeat(" 0", 17) + " " + started + " 1 2 3\n"
}

func TestParseStat(t *testing.T) {
	cases := []struct {
		text string
		want process
	}{
		{stat("10", "dockerd", "S", "1", "177"), process{pid: 10, parent: 1, name: "dockerd", state: 'S', started: 177}},
		{stat("2", "a) Z (b", "Z", "-1", "0"), process{pid: 2, parent: -1, name: "a) Z (b", state: 'Z'}},
		{stat("3", "", "D", "0", "18446744073709551615"), process{pid: 3, state: 'D', started: 18446744073709551615}},
	}
	for _, c := range cases {
		got, err := parseStat([]byte(c.text))
		if err != nil || got.String() != c.want.String() || got.started != c.want.started || got.parent != c.want.parent || got.name != c.want.name {
			t.Errorf("%q: %+v (%v), want %+v", c.text, got, err, c.want)
		}
	}
	for _, bad := range []string{"", "10", "10 (dockerd", ") 10 (", "10 (dockerd) S 1 2", stat("x", "a", "S", "1", "2"), stat("1", "a", "S", "x", "2"), stat("1", "a", "S", "1", "x"), stat("1", "a", "SS", "1", "2")} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q reads as %+v", bad, got)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte(stat("10", "dockerd", "S", "1", "177")))
	f.Add([]byte("1 (a) b) R 0"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parseStat(text)
		if err != nil && p.alive() {
			t.Errorf("%q is alive, and no process: %v", text, err)
		}
		_ = p.String()
	})
}

func FuzzParsePid(f *testing.F) {
	for _, seed := range []string{"", "10", "10\n", "-1", "0", "99999999999999999999", "gone fishing", "0x10", "+3"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		trimmed, pid := parsePid(text)
		if pid < 0 || (pid > 0 && trimmed == "") {
			t.Errorf("%q is process %d", text, pid)
		}
		_ = pidFile{text: trimmed, pid: pid}.names()
	})
}

func TestParsePid(t *testing.T) {
	for text, want := range map[string]int{"10": 10, " 10\n": 10, "": 0, "0": 0, "-1": 0, "1.5": 0, "4294967297": 0, "x": 0} {
		if _, got := parsePid([]byte(text)); got != want {
			t.Errorf("%q is process %d, want %d", text, got, want)
		}
	}
}

func TestStatusNumber(t *testing.T) {
	status := []byte("Name:\tUid:\nTgid:\t42\nUid:\t1000\t0\t0\t0\nGroups:\t\n")
	for name, want := range map[string]int{"Tgid": 42, "Uid": 1000} {
		if got, ok := statusNumber(status, name); !ok || got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	for _, name := range []string{"Groups", "Name", "Pid"} {
		if got, ok := statusNumber(status, name); ok {
			t.Errorf("%s is %d", name, got)
		}
	}
}

func TestReadPidFile(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	path := filepath.Join(directory, "own.pid")
	if file := readPidFile(path); file.exists || file.err != nil {
		t.Errorf("a file that is not there: %+v", file)
	}
	if file := readPidFile(directory); !file.exists || file.err == nil {
		t.Errorf("a directory: %+v", file)
	}
	if err := os.WriteFile(path, []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if file := readPidFile(path); file.pid != 1 || file.process.pid != 1 || !file.process.alive() {
		t.Errorf("process 1: %+v", file)
	}
}

func TestProcessIsItself(t *testing.T) {
	t.Parallel()
	p, err := readProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if p.gone() || !p.near || p.uid != os.Getuid() || p.parent != os.Getppid() || p.arguments[0] != os.Args[0] {
		t.Errorf("this process reads as %+v", p)
	}
	earlier := p
	earlier.started--
	if !earlier.gone() {
		t.Error("an earlier process of the same id is taken for this one")
	}
}

func TestParseDaemon(t *testing.T) {
	plain := parseDaemon(nil)
	if plain.PidFile != "/var/run/docker.pid" || plain.ContainerdPidFile() != "/var/run/docker/containerd/containerd.pid" {
		t.Errorf("without a configuration: %+v", plain)
	}
	if broken := parseDaemon([]byte(`{"pidfile": `)); broken.PidFile != plain.PidFile {
		t.Errorf("of a broken configuration: %+v", broken)
	}
	moved := parseDaemon([]byte(`{"pidfile": "/a.pid", "exec-root": "/b", "hosts": ["fd://", "unix:///var/run/c.sock"], "containerd": "/d.sock", "debug": true}`))
	if moved.PidFile != "/a.pid" || moved.containerdConfig() != "/b/containerd/containerd.toml" || moved.Containerd != "/d.sock" {
		t.Errorf("moved: %+v", moved)
	}
	for host, want := range map[string]bool{"unix:///run/c.sock": true, "unix:///var/run/docker.sock": false, "tcp://c": false} {
		if moved.serves(Endpoint{Host: host}) != want {
			t.Errorf("serves %s: %v", host, !want)
		}
	}
}

func FuzzParseDaemon(f *testing.F) {
	f.Add([]byte(`{"pidfile": "/a.pid", "hosts": ["unix://"]}`))
	f.Add([]byte(`{"hosts": "unix://"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d := parseDaemon(text)
		if d.PidFile == "" || d.ExecRoot == "" {
			t.Errorf("%q leaves paths empty: %+v", text, d)
		}
		d.serves(Endpoint{Host: DefaultSocket})
	})
}

func TestParseDistribution(t *testing.T) {
	cases := []struct {
		text   string
		name   string
		debian bool
	}{
		{"PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n", "Debian GNU/Linux 12 (bookworm)", true},
		{"NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\nPRETTY_NAME='Ubuntu 24.04 LTS'\n", "Ubuntu 24.04 LTS", true},
		{"ID=pop\nID_LIKE=\"ubuntu debian\"\n", "", true},
		{"ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nPRETTY_NAME=\"Rocky Linux 9\"", "Rocky Linux 9", false},
		{"", "", false},
	}
	for _, c := range cases {
		if d := parseDistribution([]byte(c.text)); d.name != c.name || d.debian() != c.debian {
			t.Errorf("%q reads as %+v", c.text, d)
		}
	}
}

func FuzzParseDistribution(f *testing.F) {
	f.Add([]byte("ID=debian\nID_LIKE=\"a b\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) { parseDistribution(text).debian() })
}
