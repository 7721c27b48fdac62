package command

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestArgumentsOfSSH(t *testing.T) {
	words := func(text string) []string { return strings.Fields(text) }
	for line, want := range map[string]sshRequest{
		"":                             {},
		"ls -l /var":                   {command: words("ls -l /var")},
		"-- ls -l":                     {command: words("ls -l")},
		"-t -A bash":                   {options: words("-t -A"), command: words("bash")},
		"-i key -L 1:server:2 id":      {options: words("-i key -L 1:server:2"), command: words("id")},
		"-ikey -L1:server:2 id":        {options: words("-ikey -L1:server:2"), command: words("id")},
		"-tti key id":                  {options: words("-tti key"), command: words("id")},
		"-o Compression=yes -v":        {options: words("-o Compression=yes -v")},
		"-i -- id":                     {options: words("-i --"), command: words("id")}, // as ssh reads it
		"-N -- ":                       {options: words("-N")},
		"-- --known-hosts":             {command: words("--known-hosts")},
		"--known-hosts":                {knownHosts: true},
		"--help":                       {help: true},
		"sh -c --known-hosts":          {command: words("sh -c --known-hosts")},
		"-W server:8888 --":            {options: words("-W server:8888")},
		"-J jump -p 1 -l me -- uptime": {options: words("-J jump -p 1 -l me"), command: words("uptime")},
	} {
		got, err := parseSSH(words(line))
		if err != nil || got.help != want.help || got.knownHosts != want.knownHosts ||
			!slices.Equal(got.options, want.options) || !slices.Equal(got.command, want.command) {
			t.Errorf("%q is %+v (%v), want %+v", line, got, err, want)
		}
	}
	for line, what := range map[string]string{
		"--knownhosts":        "no such flag",
		"-t --json":           "no such flag",
		"-i":                  "wants a value",
		"-vvL":                "wants a value",
		"--known-hosts -v":    "takes nothing else",
		"--known-hosts ls":    "takes nothing else",
		"-v --known-hosts":    "takes nothing else",
		"--known-hosts -- ls": "takes nothing else",
	} {
		if _, err := parseSSH(words(line)); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%q: %v, want that it %s", line, err, what)
		}
	}
}

// Nothing of what is typed is lost, and nothing changes its order.
func FuzzArgumentsOfSSH(f *testing.F) {
	f.Add("-t -A bash -l")
	f.Add("-vL 1:server:2 -- -x")
	f.Add("- -")
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Fields(line)
		r, err := parseSSH(args)
		if err != nil || r.help || r.knownHosts {
			return
		}
		rest := args[len(r.options):]
		if len(rest) > len(r.command) { // the mark between the two
			rest = rest[1:]
		}
		if !slices.Equal(r.options, args[:len(r.options)]) || !slices.Equal(r.command, rest) {
			t.Errorf("%q is %+v", args, r)
		}
	})
}

// Host keys as the sidecar prints them, and the first one's fingerprint by ssh-keygen -l.
const (
	twoKeys = `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOcN449jJ9InhNjci5jicHc/i0Mq78zwZy3pkO3PiwhA
ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHP12MyMyMSALDyaIipGLpmbd2TLlSH6Hr06hWe0aILTYgcXrp1OlREeU61h1l+HS4jaOLdoAJtWDTBMDA5gbPU=`
	firstFingerprint = "SHA256:VymG2k1J2wOD/hzk15M7dXdp6zC1rxcVOBuHRTHziy8"
)

func TestHostKeys(t *testing.T) {
	keys, err := parseHostKeys(twoKeys)
	if err != nil || len(keys) != 2 || keys[0].Type != "ssh-ed25519" || keys[0].Fingerprint != firstFingerprint || keys[1].Type != "ecdsa-sha2-nistp256" {
		t.Fatalf("%+v, %v", keys, err)
	}
	first, second, _ := strings.Cut(twoKeys, "\n")
	for _, c := range []struct {
		host, want string
		port       int
	}{
		{"127.0.0.1", "[127.0.0.1]:2222 ", 2222},
		{"172.18.0.3", "172.18.0.3 ", 22},
		{"::1", "[::1]:2222 ", 2222},
	} {
		if got := knownHosts(c.host, c.port, keys); got != c.want+first+"\n"+c.want+second+"\n" {
			t.Errorf("%s port %d is known as\n%s", c.host, c.port, got)
		}
	}
	for _, text := range []string{"", "no key", first + "\nssh-rsa AAAA", "Error: no such file"} {
		if keys, err := parseHostKeys(text); err == nil {
			t.Errorf("%q gives %+v", text, keys)
		}
	}
}

func FuzzHostKeys(f *testing.F) {
	f.Add(twoKeys)
	f.Add("")
	f.Add("a b\x00\n")
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := parseHostKeys(text)
		if err != nil {
			return
		}
		if lines := strings.Count(knownHosts("h", 1, keys), "\n"); lines != len(keys) || lines == 0 {
			t.Errorf("%q gives %d keys and %d lines", text, len(keys), lines)
		}
	})
}

func TestArgumentsOfTheClient(t *testing.T) {
	access := sshAccess{Host: "127.0.0.1", Port: 2222, User: sidecarUser}
	got := clientArguments(access, "inmanta-ssh-sidecar", "/my 100%h/known", sshRequest{options: []string{"-A"}, command: []string{"ls", "-l"}})
	want := []string{
		"ssh", "-p", "2222", "-o", "HostKeyAlias=inmanta-ssh-sidecar", "-o", `UserKnownHostsFile="/my 100%%h/known"`,
		"-o", "GlobalKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=yes", "-o", "CheckHostIP=no", "-o", "UpdateHostKeys=no",
		"-A", "--", "inmanta@127.0.0.1", "ls", "-l",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

// The keys are kept in the user's cache, for nobody else to write, and elsewhere
// where there is none.
func TestHostKeysAreKept(t *testing.T) {
	keys, err := parseHostKeys(twoKeys)
	if err != nil {
		t.Fatal(err)
	}
	keep := func(cache string) string {
		t.Helper()
		t.Setenv("XDG_CACHE_HOME", cache)
		file, err := keepKnownHosts("lab", "unix:///var/run/docker.sock", "inmanta-ssh-sidecar", keys)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(text), "inmanta-ssh-sidecar ssh-ed25519 AAAA") || strings.Count(string(text), "\n") != 2 {
			t.Errorf("%s holds %q, %v", file, text, err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("it is there as %v, %v", info, err)
		}
		return file
	}
	cache := filepath.Join(t.TempDir(), "cache")
	first := keep(cache)
	if !strings.HasPrefix(first, cache) || keep(cache) != first {
		t.Errorf("kept in %s first", first)
	}
	if entries, err := os.ReadDir(filepath.Dir(first)); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	nowhere := filepath.Join(t.TempDir(), "file") // nothing can be below a file
	if err := os.WriteFile(nowhere, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if file := keep(nowhere); !strings.HasPrefix(file, os.Getenv("TMPDIR")) {
		t.Errorf("without a cache kept in %s", file)
	}
}
