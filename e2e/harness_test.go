package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
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

// composePlugin is the stock docker compose, of the version that ours links.
const composePlugin = "github.com/docker/compose/v5/cmd"

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
	// One build for all, the way `make build` does it, so that its cache serves.
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", dir+"/",
		"github.com/inmanta/inmanta-docker/cmd/inmanta-docker", "github.com/inmanta/inmanta-docker/cmd/inmanta-sidecar",
		composePlugin)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("building the binaries: %w\n%s", err, out)
	}
	if err := os.Rename(filepath.Join(dir, path.Base(composePlugin)), filepath.Join(plugins, "docker-compose")); err != nil {
		return 0, err
	}
	sudo := "#!/bin/sh\nexec \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "sudo"), []byte(sudo), 0o755); err != nil {
		return 0, err
	}

	giveBack()
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
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		// Half of a scenario is waiting: for health checks, and for containers to stop.
		if err := flag.Set("test.parallel", fmt.Sprint(2*runtime.GOMAXPROCS(0))); err != nil {
			return 0, err
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
	return newStackNamed(t, "")
}

// newStackNamed is newStack for a scenario with several deployments.
func newStackNamed(t *testing.T, suffix string) *stack {
	t.Helper()
	name := "e2e-" + strings.ToLower(strings.Map(func(r rune) rune {
		if r == '/' || r == '_' || r == ' ' {
			return '-'
		}
		return r
	}, strings.TrimPrefix(t.Name(), "Test"))) + suffix
	s := &stack{t: t, name: name, dir: filepath.Join(t.TempDir(), name), port: freePort(t)}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	exclusive(t, name)
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

// exclusive makes another run of these tests on this machine wait until the
// scenario is over: what it names on the engine would be theirs too.
func exclusive(t *testing.T, name string) {
	t.Helper()
	held, err := hold(name, syscall.LOCK_EX)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { held.Close() })
}

// hold takes the lock of that name, which closing it or the end of this process gives back.
func hold(name string, how int) (*os.File, error) {
	path := filepath.Join(os.TempDir(), "inmanta-docker-"+strings.NewReplacer("/", "-", ":", "-").Replace(name)+".lock")
	lock, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), how); err != nil {
		lock.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return lock, nil
}

// borrowed are the names that the README's lines configure.
var borrowed = []string{"ghcr.io/inmanta/orchestrator:latest", "containers.inmanta.com/containers/service-orchestrator:8"}

// giveBack takes the borrowed names from images built here, where a killed run
// left them: whatever looks for the real ones would take them for those.
func giveBack() {
	for _, name := range borrowed {
		held, err := hold(name, syscall.LOCK_EX|syscall.LOCK_NB)
		if err != nil {
			continue // a run that still goes on
		}
		recipe, err := exec.Command("docker", "image", "inspect", "-f", `{{index .Config.Labels "com.inmanta.docker.recipe"}}`, name).Output()
		if err == nil && len(bytes.TrimSpace(recipe)) > 0 {
			_ = exec.Command("docker", "rmi", "--no-prune", name).Run()
		}
		held.Close()
	}
}

// ports are those given out. They lie below where the system takes its own for
// connections, which would be in the way while they last.
var ports = struct {
	sync.Mutex
	given map[int]bool
}{given: map[int]bool{}}

// freePort is a port that nobody listens on, and no other scenario has.
func freePort(t *testing.T) int {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	for range 1000 {
		port := 20000 + rand.IntN(10000)
		if ports.given[port] {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		l.Close()
		ports.given[port] = true
		return port
	}
	t.Fatal("no port is free")
	return 0
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

// composeFiles puts this repository's compose files into the deployment's directory.
func (s *stack) composeFiles() {
	s.t.Helper()
	files, err := filepath.Glob("../docker-compose*.yml")
	if err != nil || len(files) == 0 {
		s.t.Fatalf("no compose files: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		s.write(filepath.Base(file), string(text))
	}
}

// tag gives an image another name for as long as the scenario runs.
func (s *stack) tag(image, name string) {
	s.t.Helper()
	exclusive(s.t, name)
	id := s.docker("image", "inspect", "-f", "{{.Id}}", image)
	before, err := exec.Command("docker", "image", "inspect", "-f", "{{.Id}}", name).Output()
	s.docker("tag", image, name)
	s.t.Cleanup(func() {
		if was := strings.TrimSpace(string(before)); err == nil && was != id {
			s.docker("tag", was, name)
			return
		}
		s.docker("rmi", "--no-prune", name)
	})
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

// evidence shows what a failed scenario left: little of each container, so that
// what failed can be seen beside it.
func (s *stack) evidence() {
	label := "label=com.docker.compose.project=" + s.name
	out, _ := exec.Command("docker", "ps", "-a", "--filter", label).CombinedOutput()
	s.t.Logf("containers:\n%s", out)
	ids, _ := exec.Command("docker", "ps", "-aq", "--filter", label).Output()
	for _, id := range strings.Fields(string(ids)) {
		out, _ := exec.Command("docker", "logs", "--tail", "10", id).CombinedOutput()
		s.t.Logf("log of %s:\n%s", id, clipped(out))
	}
	// What its schedulers say is in files only.
	if out, err := exec.Command("docker", "exec", s.server(), "sh", "-c", "tail -n 10 /var/log/inmanta/agent-*").CombinedOutput(); err == nil {
		s.t.Logf("agents:\n%s", clipped(out))
	}
}

var longLine = regexp.MustCompile(`(?m)^(.{300}).+$`)

// clipped is a text without what is at the end of long lines.
func clipped(text []byte) []byte { return longLine.ReplaceAll(text, []byte("${1}…")) }

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

func (s *stack) exec(args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 4*time.Minute)
	defer cancel()
	cmd := s.command(ctx, args...)
	cmd.WaitDelay = 5 * time.Second // what it left behind may hold its output open
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

// containers and volumes are what the engine has of this deployment, by id and by name.
func (s *stack) containers() []string {
	s.t.Helper()
	return strings.Fields(s.docker("ps", "-aq", "--no-trunc", "--filter", "label=com.docker.compose.project="+s.name))
}

func (s *stack) volumes() []string {
	s.t.Helper()
	return strings.Fields(s.docker("volume", "ls", "-q", "--filter", "label=com.docker.compose.project="+s.name))
}

// healthy returns once the engine's own health checks of all containers pass.
func (s *stack) healthy() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	events := exec.CommandContext(ctx, "docker", "events", "--since", fmt.Sprint(time.Now().Unix()),
		"--filter", "label=com.docker.compose.project="+s.name, "--filter", "event=health_status", "--format", "{{.Action}}")
	out, err := events.StdoutPipe()
	if err == nil {
		err = events.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	defer events.Wait() //nolint:errcheck // it ends by being killed
	defer cancel()
	for said := bufio.NewScanner(out); ; {
		states := strings.Fields(s.docker(append([]string{"inspect", "-f", "{{.State.Health.Status}}"}, s.containers()...)...))
		if !slices.ContainsFunc(states, func(state string) bool { return state != "healthy" }) {
			return
		}
		if !said.Scan() {
			s.t.Fatalf("the engine's health checks say %v", states)
		}
	}
}

// server and db are the containers' names.
func (s *stack) server() string { return s.name + "-orchestrator" }
func (s *stack) db() string     { return s.name + "-db" }

// eventually asks again and again until ok, for at most two minutes: for what
// nothing announces.
func (s *stack) eventually(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
	}
	s.t.Fatalf("not within two minutes: %s", what)
}
