package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/deployment"
)

// tools are what TestMain builds once for all scenarios.
var tools struct {
	// dir holds inmanta-docker, inmanta-sidecar, docker with its compose plugin,
	// and a sudo that only runs what it is given: the README's lines begin with it.
	dir string
	// images are the settings that name images which are on the engine.
	images map[string]string
}

func TestMain(m *testing.M) {
	code, err := prepare(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e: preparing:", err)
		code = 1
	}
	os.Exit(code)
}

func prepare(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "inmanta-docker-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	tools.dir = dir
	if out, err := exec.Command("docker", "info").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("no container engine answers; `make test` starts one\n%s", out)
	}
	plugins := filepath.Join(dir, "docker-config", "cli-plugins")
	if err := os.MkdirAll(plugins, 0o755); err != nil {
		return 0, err
	}
	for target, pkg := range map[string]string{
		filepath.Join(dir, "inmanta-docker"):     "github.com/inmanta/inmanta-docker/cmd/inmanta-docker",
		filepath.Join(dir, "inmanta-sidecar"):    "github.com/inmanta/inmanta-docker/cmd/inmanta-sidecar",
		filepath.Join(plugins, "docker-compose"): "github.com/docker/compose/v5/cmd",
	} {
		build := exec.Command("go", "build", "-trimpath", "-o", target, pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("building %s: %w\n%s", pkg, err, out)
		}
	}
	sudo := "#!/bin/sh\nexec \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "sudo"), []byte(sudo), 0o755); err != nil {
		return 0, err
	}

	// The images come the way a user gets them.
	scratch := filepath.Join(dir, "images")
	if err := os.Mkdir(scratch, 0o755); err != nil {
		return 0, err
	}
	ensure := exec.Command(filepath.Join(dir, "inmanta-docker"), "-f", "docker-compose.yml", "image", "ensure")
	ensure.Dir, ensure.Stderr = scratch, os.Stderr
	if err := ensure.Run(); err != nil {
		return 0, fmt.Errorf("making sure of the images: %w", err)
	}
	d, err := deployment.Open(deployment.Request{WorkDir: scratch, Files: []string{"docker-compose.yml"}})
	if err != nil {
		return 0, err
	}
	tools.images = map[string]string{}
	for _, name := range []string{"INMANTA_ORCHESTRATOR_IMAGE", "POSTGRESQL_IMAGE", "POSTGRESQL_VERSION"} {
		if value, _, ok := d.Setting(name); ok {
			tools.images[name] = value
		}
	}
	return m.Run(), nil
}

// stack is one scenario's deployment.
type stack struct {
	t *testing.T
	// dir is the deployment's directory, name its project and the prefix of its containers.
	dir, name string
	port      int
	// env is added to the environment of every command.
	env []string
}

// newStack is a deployment directory with an .env that names the images, a
// free port and names of its own. Nothing runs yet.
func newStack(t *testing.T) *stack {
	t.Helper()
	name := "e2e-" + strings.ToLower(strings.Map(func(r rune) rune {
		if r == '/' || r == '_' || r == ' ' {
			return '-'
		}
		return r
	}, strings.TrimPrefix(t.Name(), "Test")))
	s := &stack{t: t, name: name, dir: filepath.Join(t.TempDir(), name), port: freePort(t)}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for k, v := range tools.images {
		s.set(k, v)
	}
	s.set("INMANTA_NAME", name)
	s.set("INMANTA_ORCHESTRATOR_PORT", fmt.Sprint(s.port))
	s.remove() // what a killed run of this test left
	t.Cleanup(func() {
		if t.Failed() {
			s.evidence()
		}
		s.remove()
	})
	return s
}

// freePort is a port that nobody listened on a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// set writes a setting to .env.
func (s *stack) set(name, value string) {
	s.t.Helper()
	f, err := deployment.ReadEnvFile(filepath.Join(s.dir, ".env"))
	if err == nil {
		err = f.Set(name, value).Write(false)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// write puts a file into the deployment's directory.
func (s *stack) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// remove leaves nothing of the scenario on the engine.
func (s *stack) remove() {
	docker := func(args ...string) string {
		out, _ := exec.Command("docker", args...).Output()
		return strings.TrimSpace(string(out))
	}
	label := "label=com.docker.compose.project=" + s.name
	if ids := strings.Fields(docker("ps", "-aq", "--filter", label)); len(ids) > 0 {
		docker(append([]string{"rm", "-fv"}, ids...)...)
	}
	if ids := strings.Fields(docker("volume", "ls", "-q", "--filter", label)); len(ids) > 0 {
		docker(append([]string{"volume", "rm", "-f"}, ids...)...)
	}
	if ids := strings.Fields(docker("network", "ls", "-q", "--filter", label)); len(ids) > 0 {
		docker(append([]string{"network", "rm"}, ids...)...)
	}
}

// evidence shows what a failed scenario left.
func (s *stack) evidence() {
	label := "label=com.docker.compose.project=" + s.name
	out, _ := exec.Command("docker", "ps", "-a", "--filter", label).CombinedOutput()
	s.t.Logf("containers:\n%s", out)
	ids, _ := exec.Command("docker", "ps", "-aq", "--filter", label).Output()
	for _, id := range strings.Fields(string(ids)) {
		out, _ := exec.Command("docker", "logs", "--tail", "20", id).CombinedOutput()
		s.t.Logf("log of %s:\n%s", id, out)
	}
}

// result is what a command did.
type result struct {
	stdout, stderr string
	code           int
}

// command prepares a command as a user of this deployment would run it.
func (s *stack) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(tools.dir, args[0]), args[1:]...)
	if args[0] == "bash" {
		cmd = exec.CommandContext(ctx, "bash", args[1:]...)
	}
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(),
		"PATH="+tools.dir+":"+os.Getenv("PATH"),
		"DOCKER_CONFIG="+filepath.Join(tools.dir, "docker-config"),
		"NO_COLOR=1")
	cmd.Env = append(cmd.Env, s.env...)
	return cmd
}

// run runs inmanta-docker.
func (s *stack) run(args ...string) result {
	s.t.Helper()
	return s.exec(append([]string{"inmanta-docker"}, args...)...)
}

// sh runs a line of shell with our tools first on the path.
func (s *stack) sh(line string) result {
	s.t.Helper()
	return s.exec("bash", "-euc", line)
}

func (s *stack) exec(args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 4*time.Minute)
	defer cancel()
	cmd := s.command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("%v: %v", args, err)
	}
	return result{stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}
}

// must is run, and the scenario ends here unless it succeeds.
func (s *stack) must(args ...string) result {
	s.t.Helper()
	r := s.run(args...)
	if r.code != 0 {
		s.t.Fatalf("inmanta-docker %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r
}

// fails is run, which must end with that code and say each of the words.
func (s *stack) fails(code int, words []string, args ...string) result {
	s.t.Helper()
	r := s.run(args...)
	if r.code != code {
		s.t.Errorf("inmanta-docker %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.code, code, r.stdout, r.stderr)
	}
	for _, w := range words {
		if !strings.Contains(r.stdout+r.stderr, w) {
			s.t.Errorf("inmanta-docker %s does not say %q:\n%s%s", strings.Join(args, " "), w, r.stdout, r.stderr)
		}
	}
	return r
}

// docker runs the docker command line, which must succeed.
func (s *stack) docker(args ...string) string {
	s.t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// server and db are the containers' names.
func (s *stack) server() string { return s.name + "-orchestrator" }
func (s *stack) db() string     { return s.name + "-db" }

// get asks the orchestrator's API.
func (s *stack) get(path string, into any) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", s.port, path), nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(into)
}

// serverStatus is as much of /api/v1/serverstatus as the scenarios look at.
type serverStatus struct {
	Data struct {
		Product string
		Version string
	}
}

// serves fails the scenario unless the real orchestrator answers right now.
func (s *stack) serves() serverStatus {
	s.t.Helper()
	var status serverStatus
	if err := s.get("/api/v1/serverstatus", &status); err != nil {
		s.t.Fatalf("the orchestrator does not serve: %v", err)
	}
	if !strings.Contains(status.Data.Product, "Inmanta") || status.Data.Version == "" {
		s.t.Fatalf("something else than an orchestrator answers: %+v", status)
	}
	return status
}

// eventually asks again and again until ok, for at most a minute: for what
// nothing announces.
func (s *stack) eventually(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
	}
	s.t.Fatalf("not within a minute: %s", what)
}

// project makes a project on the orchestrator, and projects lists them: data
// that a scenario can lose.
func (s *stack) project(name string) {
	s.t.Helper()
	out, err := exec.Command("docker", "exec", s.server(), "inmanta-cli", "project", "create", "--name", name).CombinedOutput()
	if err != nil {
		s.t.Fatalf("making project %s: %v\n%s", name, err, out)
	}
}

func (s *stack) projects() []string {
	s.t.Helper()
	var answer struct{ Data []struct{ Name string } }
	if err := s.get("/api/v2/project", &answer); err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, p := range answer.Data {
		names = append(names, p.Name)
	}
	return names
}
