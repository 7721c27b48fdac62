package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
)

// The files init_*_test.go run the init sidecar: by itself, in a container of
// the orchestrator's image, beside what stands in for a repository's host and
// for the orchestrator; and as a part of a real stack.

// wheels is a folder with all that the modules of these tests install, fetched
// once by the page's own line for whoever has no network later.
var wheels = sync.OnceValues(func() (string, error) {
	page, err := os.ReadFile("../docs/sidecars/init.md")
	if err != nil {
		return "", err
	}
	const fetches = "docker run --rm "
	_, line, ok := strings.Cut(string(page), "\n"+fetches)
	line, _, ok2 := strings.Cut(line, "\n\n")
	if !ok || !ok2 {
		return "", errors.New("the page does not say how to fetch wheels")
	}
	here := filepath.Join(tools.dir, "fetched")
	module, err := filepath.Abs("testdata/init/signpost")
	if err == nil {
		err = os.MkdirAll(filepath.Join(here, "offline", "wheels"), 0o755)
	}
	if err == nil {
		err = os.Symlink(module, filepath.Join(here, "my-module"))
	}
	if err != nil {
		return "", err
	}
	// What this machine needs to reach an index at all.
	around := ""
	if bundle := authorities(); bundle != "" {
		around += "-v " + bundle + ":/ca.pem:ro -e PIP_CERT=/ca.pem "
	}
	for _, name := range []string{"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "HTTP_PROXY", "HTTPS_PROXY"} {
		if os.Getenv(name) != "" {
			around += "-e " + name + " "
		}
	}
	fetch := exec.Command("bash", "-c", fetches+around+line)
	fetch.Dir, fetch.Env = here, append(os.Environ(), "IMAGE="+orchestratorImage())
	if out, err := fetch.CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetching wheels: %w\n%s", err, out)
	}
	return filepath.Join(here, "offline", "wheels"), nil
})

// authorities is the file of certificate authorities that this machine's own pip
// is told to believe; empty where it is not told.
func authorities() string {
	for _, name := range []string{"PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"} {
		if path := os.Getenv(name); path != "" {
			return path
		}
	}
	return ""
}

func orchestratorImage() string {
	if image := tools.images["INMANTA_ORCHESTRATOR_IMAGE"]; image != "" {
		return image
	}
	return borrowed[0]
}

// module is a git repository in the making.
type module struct {
	t *testing.T
	// dir is its work tree, and bare what is cloned from.
	dir, bare string
}

// newModule is a repository with one commit on the branch master.
func newModule(t *testing.T, files map[string]string) *module {
	t.Helper()
	m := &module{t: t, dir: filepath.Join(t.TempDir(), "tree")}
	m.bare = filepath.Join(t.TempDir(), "hello.git")
	m.git("init", "-q", "-b", "master", m.dir)
	m.git("init", "-q", "--bare", "-b", "master", m.bare)
	m.commit(files)
	return m
}

func (m *module) git(args ...string) string {
	m.t.Helper()
	git := exec.Command("git", append([]string{"-c", "user.name=e2e", "-c", "user.email=e2e@localhost", "-c", "commit.gpgsign=false"}, args...)...)
	git.Dir = os.TempDir()
	out, err := git.CombinedOutput()
	if err != nil {
		m.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit pushes the files to master, and returns the commit's name.
func (m *module) commit(files map[string]string) string {
	m.t.Helper()
	for name, text := range files {
		path := filepath.Join(m.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			m.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			m.t.Fatal(err)
		}
	}
	m.git("-C", m.dir, "add", "-A")
	m.git("-C", m.dir, "commit", "-q", "--allow-empty", "-m", "a change")
	m.git("-C", m.dir, "push", "-q", m.bare, "master")
	return m.git("-C", m.dir, "rev-parse", "HEAD")
}

// tested is a module with nothing but tests.
func tested(test string) map[string]string {
	return map[string]string{"requirements.dev.txt": "pytest<9.2\n", "tests/test_it.py": test}
}

// gateway is what a container on the engine's own network reaches this machine
// by: where its default route leads. Old engines do not say it of the network.
var gateway = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("docker", "run", "--rm", "--entrypoint", "cat", orchestratorImage(), "/proc/net/route").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("looking for the way out of a container: %w\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		var address uint32
		if fields := strings.Fields(line); len(fields) > 2 && fields[1] == "00000000" {
			if _, err := fmt.Sscanf(fields[2], "%x", &address); err != nil {
				return "", fmt.Errorf("reading the route %q: %w", line, err)
			}
			return net.IPv4(byte(address), byte(address>>8), byte(address>>16), byte(address>>24)).String(), nil
		}
	}
	return "", fmt.Errorf("containers have no way out:\n%s", out)
})

// host is what containers reach this machine by.
func host(t *testing.T) string {
	t.Helper()
	address, err := gateway()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// listen is a port of this machine that containers reach.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host(t), "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// serving answers on such a port.
func serving(t *testing.T, handler http.Handler) (address string) {
	t.Helper()
	l := listen(t)
	s := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go s.Serve(l) //nolint:errcheck // it ends by being closed
	t.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

// standIn answers as much of the orchestrator's API as the sidecar asks for.
func standIn(t *testing.T) string {
	return serving(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"data": []}`) }))
}

// smartHTTP serves the repository as git hosts do; with a password, only to
// whoever has it.
func (m *module) smartHTTP(password string) http.Handler {
	path := filepath.Join(m.git("--exec-path"), "git-http-backend")
	backend := &cgi.Handler{Path: path, Env: []string{
		"GIT_PROJECT_ROOT=" + filepath.Dir(m.bare), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, given, _ := r.BasicAuth(); given != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	})
}

// initRun is one container of the init sidecar, by itself.
type initRun struct {
	t *testing.T
	// env are variables, and secrets are files below /run/secrets.
	env, secrets map[string]string
	// mounts are further arguments of docker run.
	mounts []string
	name   string
}

// newInitRun is a run that would go well: of the module, without a network, and
// with an orchestrator that answers.
func newInitRun(t *testing.T, m *module) *initRun {
	t.Helper()
	folder, err := wheels()
	if err != nil {
		t.Fatal(err)
	}
	api, port, _ := net.SplitHostPort(standIn(t))
	r := &initRun{t: t, name: "e2e-" + strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(t.Name(), "Test"), "/", "-")), secrets: map[string]string{}}
	r.env = map[string]string{"INMANTA_LSM_HOST": api, "INMANTA_LSM_SRV_PORT": port, "INMANTA_MODULE_REPO_URL": "/srv/inmanta-offline/hello.git"}
	r.mounts = []string{"-v", folder + ":/srv/inmanta-offline/wheels:ro"}
	if m != nil {
		r.mounts = append(r.mounts, "-v", m.bare+":/srv/inmanta-offline/hello.git:ro")
	}
	exclusive(t, r.name)
	t.Cleanup(func() { r.remove() })
	r.remove()
	return r
}

func (r *initRun) remove() {
	_ = exec.Command("docker", "rm", "-fv", r.name).Run()
	_ = exec.Command("docker", "volume", "rm", "-f", r.name+"-state").Run()
}

// keep has further runs find what this one left, as on the volume of a stack.
func (r *initRun) keep() *initRun {
	r.mounts = append(r.mounts, "-v", r.name+"-state:/var/lib/inmanta-init")
	return r
}

// command is the container's, as docker-compose.init.yml has it.
func (r *initRun) command(name string) []string {
	args := []string{
		"run", "--rm", "--name", name, "--user", "0:0", "--entrypoint", "/usr/local/bin/inmanta-sidecar",
		"-v", filepath.Join(tools.dir, "inmanta-sidecar") + ":/usr/local/bin/inmanta-sidecar:ro",
		"--cap-drop", "ALL", "--cap-add", "CHOWN", "--cap-add", "SETGID", "--cap-add", "SETPCAP", "--cap-add", "SETUID", "--security-opt", "no-new-privileges:true",
	}
	for _, volume := range []string{"/var/lib/inmanta-init", "/var/cache/inmanta-init"} {
		if !strings.Contains(strings.Join(r.mounts, " "), volume) {
			args = append(args, "-v", volume)
		}
	}
	for _, variable := range slices.Sorted(maps.Keys(r.env)) {
		args = append(args, "-e", variable+"="+r.env[variable])
	}
	folder := r.t.TempDir()
	for file, text := range r.secrets {
		path := filepath.Join(folder, file)
		if err := os.WriteFile(path, []byte(text), 0o400); err != nil {
			r.t.Fatal(err)
		}
		args = append(args, "-v", path+":/run/secrets/"+file+":ro")
	}
	return append(append(args, r.mounts...), orchestratorImage(), "init")
}

// ended is a run that is over.
type ended struct {
	t      *testing.T
	code   initrecord.Code
	log    string
	events []initrecord.Event
}

// run runs it to its end.
func (r *initRun) run() ended {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "docker", r.command(r.name)...).CombinedOutput()
	return r.over(out, err)
}

func (r *initRun) over(out []byte, err error) ended {
	r.t.Helper()
	e := ended{t: r.t, log: string(out)}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatalf("the container did not run: %v\n%s", err, out)
	}
	if exit != nil {
		e.code = initrecord.Code(exit.ExitCode())
	}
	for line := range strings.Lines(e.log) {
		event, ok := initrecord.Parse(strings.TrimSpace(line))
		if !ok {
			r.t.Errorf("a line of the log is none of the sidecar's: %s", line)
		}
		e.events = append(e.events, event)
	}
	return e
}

// is checks how it ended: the exit code, and for a failure one problem with a
// fix, of that code, that says each of the words.
func (e ended) is(code initrecord.Code, words ...string) ended {
	e.t.Helper()
	var problems []initrecord.Event
	said := ""
	for _, event := range e.events {
		switch event.Event {
		case initrecord.EventProblem:
			problems = append(problems, event)
			said += event.Problem + "\n" + event.Fix + "\n"
		case initrecord.EventEnd:
			said += event.Detail + "\n"
		}
	}
	if e.code != code {
		e.t.Errorf("it ended with %d, want %d:\n%s", e.code, code, e.log)
	}
	for _, p := range problems {
		if p.Code != code || p.Fix == "" {
			e.t.Errorf("half a problem: %+v", p)
		}
	}
	if (code == initrecord.CodeDone) != (len(problems) == 0) {
		e.t.Errorf("it tells of %d problems:\n%s", len(problems), e.log)
	}
	for _, word := range words {
		if !strings.Contains(said, word) {
			e.t.Errorf("it does not say %q, but:\n%s", word, said)
		}
	}
	return e
}

// phases are those that began.
func (e ended) phases() (begun []initrecord.Phase) {
	for _, event := range e.events {
		if event.Event == initrecord.EventPhase && event.State == initrecord.StateStarted {
			begun = append(begun, event.Phase)
		}
	}
	return begun
}

// record is what the run left on its volume.
func (r *initRun) record() initrecord.Record {
	r.t.Helper()
	out, err := exec.Command("docker", "run", "--rm", "-v", r.name+"-state:/state:ro", "--entrypoint", "cat", orchestratorImage(), "/state/"+initrecord.File).Output()
	if err != nil {
		r.t.Fatal(err)
	}
	var record initrecord.Record
	if err := json.Unmarshal(out, &record); err != nil {
		r.t.Fatalf("the record is no record: %v\n%s", err, out)
	}
	return record
}
