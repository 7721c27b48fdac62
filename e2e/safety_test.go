package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// Each hostile password has a core that no escaping changes, by which it is
// searched for where it must not be.
const core = "4711hiddenCore"

var hostile = []string{
	// Every character that some file format or shell gives a meaning, and as long as it gets.
	strings.Repeat("x", 90) + "a$b$$c${HOME}%d%%e%(f)s;g#h'i\"j`k\\l\\n{m}[n]<o>|p&q!r*s?t~u=v:w,x yüẞ€z\\" + core + strings.Repeat("y", 40),
	// What begins a comment, and ends in what begins an escape.
	"#" + core + "\\",
	// What looks quoted already.
	"'" + core + "\" ;",
}

// A running stack can do no more than it has to, shows its password to nobody,
// and passes the engine's own checks. The password is changed twice: between
// making the containers and first starting them, and, as the README says, in the
// database and then in .env.
func TestHardening(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.composeFiles()
	events := s.events()
	s.set("INMANTA_DATABASE_PASSWORD", "another-"+core)
	s.stock("create")
	s.set("INMANTA_DATABASE_PASSWORD", hostile[0])
	var said strings.Builder // everything that anybody could look at
	for _, r := range []result{
		s.must("up", "--json"),
		s.must("up"),
		s.must("status"),
		s.must("explain", "INMANTA_DATABASE_PASSWORD"),
		s.must("explain", "configs.database-settings.content"),
		s.must("logs"),
		s.must("ps", "-a", "--format", "json"),
	} {
		said.WriteString(r.stdout + r.stderr)
	}
	s.serves()
	s.password(hostile[0])

	made := s.containers()
	s.changePassword(hostile[1])
	s.set("INMANTA_DATABASE_PASSWORD", hostile[1])
	for _, r := range []result{
		s.fails(2, []string{"recreate  container " + s.db(), "recreate  container " + s.server(), "INMANTA_DATABASE_PASSWORD"}, "up", "--dry-run"),
		s.must("up"),
	} {
		said.WriteString(r.stdout + r.stderr)
	}
	s.serves()
	s.password(hostile[1])
	for _, id := range s.containers() {
		if slices.Contains(made, id) {
			t.Errorf("container %s was made with another password", id)
		}
	}
	s.healthy()

	for container, user := range map[string]string{s.server(): "997", s.db(): "999"} {
		processes := s.processes(container, user)
		if first := processes["1"]; first["Uid"] != user {
			t.Errorf("%s runs as %s, want %s", container, first["Uid"], user)
		}
		for pid, p := range processes {
			for _, capabilities := range []string{"CapEff", "CapPrm", "CapAmb"} {
				if p["Uid"] == user && p[capabilities] != "0000000000000000" {
					t.Errorf("%s: process %s (%s) has %s %s", container, pid, p["Name"], capabilities, p[capabilities])
				}
			}
			if p["NoNewPrivs"] != "1" {
				t.Errorf("%s: process %s (%s) may gain privileges", container, pid, p["Name"])
			}
			if container == s.server() && p["CapBnd"] != "0000000000000000" {
				t.Errorf("%s: process %s (%s) has CapBnd %s", container, pid, p["Name"], p["CapBnd"])
			}
			said.WriteString(p["environ"] + p["cmdline"])
		}
	}
	said.WriteString(s.docker("inspect", s.server(), s.db()))
	said.WriteString(s.docker("history", "--no-trunc", s.docker("inspect", "-f", "{{.Image}}", s.server())))
	said.WriteString(events())
	for _, must := range []string{"PATH=", "POSTGRES_USER=", "INMANTA_DATABASE_HOST=", "exec_create", "postgres", "/usr/bin/inmanta"} {
		if !strings.Contains(said.String(), must) {
			t.Errorf("where a password would show was not looked at: %s is not there", must)
		}
	}
	if at := strings.Index(said.String(), core); at >= 0 {
		t.Errorf("the password is shown: …%s…", said.String()[max(0, at-300):at+100])
	}
}

// changePassword gives the database user another password, out of sight.
func (s *stack) changePassword(to string) {
	s.t.Helper()
	change := exec.CommandContext(s.t.Context(), "docker", "exec", "-i", s.db(), "psql", "--username=inmanta", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1")
	change.Stdin = strings.NewReader("SET standard_conforming_strings = on;\nALTER ROLE inmanta PASSWORD '" + strings.ReplaceAll(to, "'", "''") + "';\n")
	if out, err := change.CombinedOutput(); err != nil {
		s.t.Fatalf("changing the password: %v\n%s", err, out)
	}
}

// events records what the engine tells about the deployment from now on, and
// returns what ends the record and hands it over.
func (s *stack) events() func() string {
	s.t.Helper()
	listening := exec.CommandContext(s.t.Context(), "docker", "events", "--since", fmt.Sprint(time.Now().Unix()),
		"--filter", "label=com.docker.compose.project="+s.name)
	var said bytes.Buffer
	listening.Stdout = &said
	if err := listening.Start(); err != nil {
		s.t.Fatal(err)
	}
	return func() string {
		_ = listening.Process.Kill()
		_ = listening.Wait() // it says that it was killed
		return said.String()
	}
}

// processes are the container's, by id: the fields of their status, and their
// environment and command line where they run as that user.
func (s *stack) processes(container, user string) map[string]map[string]string {
	s.t.Helper()
	const script = `cd /proc; for p in [0-9]*; do
 [ -r $p/status ] && echo "pid: $p" && cat $p/status &&
 printf 'cmdline: ' && tr '\0\n' '  ' <$p/cmdline && echo &&
 { [ ! -r $p/environ ] || { printf 'environ: ' && tr '\0\n' '  ' <$p/environ; }; } && echo
done 2>/dev/null; true`
	processes := map[string]map[string]string{}
	pid := ""
	for line := range strings.Lines(s.docker("exec", "-u", user, container, "sh", "-c", script)) {
		field, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch field {
		case "":
			continue
		case "pid":
			pid = value
			processes[pid] = map[string]string{}
		case "Uid":
			value, _, _ = strings.Cut(value, "\t")
		}
		processes[pid][field] = value
	}
	// What ended meanwhile has no status to speak of.
	maps.DeleteFunc(processes, func(_ string, p map[string]string) bool { return p["NoNewPrivs"] == "" })
	if len(processes) < 3 || processes["1"]["environ"] == "" {
		s.t.Fatalf("cannot look at the processes of %s: %v", container, processes)
	}
	return processes
}

// password shows that both containers have the password as it is, in files, and
// that it is the one by which the database is entered.
func (s *stack) password(want string) {
	s.t.Helper()
	if got := s.docker("exec", s.db(), "cat", "/run/secrets/inmanta-database-password"); got != want {
		s.t.Errorf("the database was given the password %q, want %q", got, want)
	}
	if got := s.docker("exec", s.db(), "stat", "-c", "%a", "/run/secrets/inmanta-database-password"); got != "400" {
		s.t.Errorf("the database's password has mode %s", got)
	}
	const read = `import inmanta.config; inmanta.config.Config.load_config(config_dir="/etc/inmanta/inmanta.d"); from inmanta.server import config; print(config.db_password.get())`
	if got := s.docker("exec", s.server(), "/opt/inmanta/bin/python", "-c", read); got != want {
		s.t.Errorf("the orchestrator was given the password %q, want %q", got, want)
	}
	// Over the network: from inside, the database lets anybody in.
	for password, code := range map[string]string{want: "0", want + "x": "2"} {
		got := s.docker("exec", "-e", "PGPASSWORD="+password, s.db(), "sh", "-c",
			`psql --host=$(hostname) --username=inmanta --no-password --quiet --command='select 1' >/dev/null 2>&1; echo $?`)
		if got != code {
			s.t.Errorf("logging in with %q ends with %s, want %s", password, got, code)
		}
	}
}
