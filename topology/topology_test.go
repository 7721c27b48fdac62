package topology

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/compose/v5/pkg/api"
	"go.yaml.in/yaml/v4"

	inmantadocker "github.com/inmanta/inmanta-docker"
	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/settings"
)

// directory is a deployment directory named name, with files by name.
func directory(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func load1(t *testing.T, req deployment.Request) (deployment.Deployment, Stack, error) {
	t.Helper()
	d, err := deployment.Open(req)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Load(context.Background(), d)
	return d, s, err
}

func TestEmbeddedFilesServeAnEmptyDirectory(t *testing.T) {
	dir := directory(t, "lab", nil)
	_, s, err := load1(t, deployment.Request{WorkDir: dir, With: []string{"iso"}})
	if err != nil {
		t.Fatal(err)
	}
	if s.Project.Name != "lab" || s.Project.WorkingDir != dir {
		t.Errorf("project %q in %s", s.Project.Name, s.Project.WorkingDir)
	}
	server := s.Project.Services["server"]
	if got := *server.Environment["INMANTA_LICENSE_LICENSE_KEY"]; got != "/etc/inmanta/license/example.com.license" {
		t.Errorf("licence at %q", got)
	}
	if server.Image != "containers.inmanta.com/containers/service-orchestrator:8" {
		t.Errorf("image %q", server.Image)
	}
	var binds []string
	for _, v := range server.Volumes {
		if v.Type == "bind" {
			binds = append(binds, v.Source)
		}
	}
	if !slices.Equal(binds, []string{filepath.Join(dir, "license")}) {
		t.Errorf("binds %v", binds)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("loading left %v", entries)
	}
}

// What is only in this process for now is noted in the containers' labels by the
// name under which it will be there, or was given.
func TestFilesAreKnownByTheirNames(t *testing.T) {
	dir := directory(t, "lab", nil)
	const mine = "services:\n  web: {image: web, profiles: [later]}\n  server: {image: mine}\n"
	req := deployment.Request{
		WorkDir: dir, Files: []string{"docker-compose.yml", "-"}, Stdin: func() ([]byte, error) { return []byte(mine), nil },
		Composing: deployment.Composing{Profiles: []string{"later"}},
	}
	d, s, err := load1(t, req)
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(dir, "docker-compose.yml") + ",-"
	for _, name := range []string{"db", "server", "web"} {
		if got := s.Project.Services[name].CustomLabels[api.ConfigFilesLabel]; got != want {
			t.Errorf("%s was made from %q, want %q", name, got, want)
		}
	}
	if e, ok := s.Explain(d, "services.server.image"); !ok || e.Value != "mine" || e.Origins[len(e.Origins)-1].File != "standard input" {
		t.Errorf("explained %v by %+v", ok, e)
	}
	req.Composing.Profiles = nil
	if _, s, err := load1(t, req); err != nil || len(s.Project.Services) != 2 {
		t.Errorf("without the profile there are %v: %v", s.Project.ServiceNames(), err)
	}
}

// Every variable in our files is a setting with the default that the file
// gives it, and every setting of a file that exists is used there.
func TestFilesAndSettingsAgree(t *testing.T) {
	entries, err := inmantadocker.Files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]map[string]bool{}
	for _, entry := range entries {
		if entry.IsDir() {
			continue
		}
		text, err := inmantadocker.Files.ReadFile(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		walk(Source{Path: entry.Name(), Text: text}, func(path string, node *yaml.Node) {
			for _, name := range Variables(node.Value) {
				s, ok := settings.Find(name)
				if !ok {
					t.Errorf("%s: %s uses %s, which is no setting", entry.Name(), path, name)
					continue
				}
				if used[entry.Name()] == nil {
					used[entry.Name()] = map[string]bool{}
				}
				used[entry.Name()][name] = true
				iso := entry.Name() == "docker-compose.iso.yml" && name == settings.OrchestratorImage
				// ${NAME:+words} has none to agree with.
				alternative := strings.Contains(node.Value, "${"+name+":+")
				if got := fallbackOf(name, node.Value); got != s.Default && !iso && !alternative {
					t.Errorf("%s: %s defaults to %q, the setting says %q", entry.Name(), name, got, s.Default)
				}
				if strings.Contains(node.Value, "?") && strings.Contains(node.Value, name+":?") {
					t.Errorf("%s: %s is required, which breaks down and ps", entry.Name(), name)
				}
			}
		})
	}
	for _, s := range settings.All {
		if file := s.UsedBy; file != "all" && used[file] != nil && !used[file][s.Name] {
			t.Errorf("%s does not use %s", file, s.Name)
		}
	}
}

func TestExplain(t *testing.T) {
	dir := directory(t, "lab", map[string]string{
		".env":       "# mine\nINMANTA_ORCHESTRATOR_PORT=9000\nINMANTA_DATABASE_PASSWORD=hunter22\n",
		"mine.yml":   "services:\n  server:\n    environment:\n      A: ${B-x}\n",
		"broken.yml": "services:\n  server:\n    image: x\n    prots: []\n",
	})
	base := filepath.Join(dir, "docker-compose.yml")
	d, s, err := load1(t, deployment.Request{
		WorkDir: dir, Files: []string{"docker-compose.yml", "mine.yml"},
		Environ: []string{"INMANTA_ORCHESTRATOR_IP=10.0.0.1"}, Env: []string{"INMANTA_NAME=x"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ subject, value, place string }{
		{"INMANTA_ORCHESTRATOR_PORT", "9000", filepath.Join(dir, ".env") + ":2"},
		{"INMANTA_ORCHESTRATOR_IP", "10.0.0.1", "the shell's INMANTA_ORCHESTRATOR_IP"},
		{"INMANTA_NAME", "x", "--env INMANTA_NAME"},
		{"POSTGRESQL_VERSION", "16", "default"},
		{"INMANTA_DATABASE_PASSWORD", Hidden, filepath.Join(dir, ".env") + ":3"},
		{"services.server.container_name", "x-orchestrator", ""},
		{"services.server.environment.A", "x", ""},
		{"configs.database-password.content", Hidden, ""},
	} {
		e, ok := s.Explain(d, c.subject)
		if !ok || e.Value != c.value || e.Place != c.place || len(e.Origins) == 0 {
			t.Errorf("%s: %v %+v", c.subject, ok, e)
		}
	}
	e, _ := s.Explain(d, "services.server.ports")
	if !strings.Contains(e.Value, `published: "9000"`) || len(e.Origins) != 1 || e.Origins[0].File != base {
		t.Errorf("ports: %+v", e)
	}
	if _, ok := s.Explain(d, "services.nobody"); ok {
		t.Error("services.nobody is explained")
	}
	if got := s.Settings("services.server.ports"); !slices.Equal(got, []string{"INMANTA_ORCHESTRATOR_IP", "INMANTA_ORCHESTRATOR_PORT"}) {
		t.Errorf("ports are made with %v", got)
	}

	_, _, err = load1(t, deployment.Request{WorkDir: dir, Files: []string{"docker-compose.yml", "broken.yml"}})
	p := problem.In(err)
	if len(p) != 1 || p[0].Where != filepath.Join(dir, "broken.yml")+":4" {
		t.Errorf("a broken overlay: %#v", p)
	}
}

// Whatever an overlay holds: it loads, or is refused as a problem in that file.
func FuzzOverlay(f *testing.F) {
	f.Add("services:\n  server:\n    environment: [A=$B]\n")
	f.Add("services: {server: {ports: ['${X:-1}:2', 7]}}")
	f.Add("volumes: {a: &a {}, b: *a}\nservices:\n  x: {image: y, volumes: ['a:/b']}")
	f.Add("? [a]\n: b")
	dir := f.TempDir()
	path := filepath.Join(dir, "fuzz.yml")
	f.Fuzz(func(t *testing.T, text string) {
		// References to other files would have the fuzzer read this machine's.
		for _, word := range []string{"include", "extends", "env_file", "file", "path"} {
			if strings.Contains(text, word) {
				return
			}
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := deployment.Open(deployment.Request{WorkDir: dir, Files: []string{filepath.Join(dir, "docker-compose.yml"), path}})
		if err != nil {
			t.Fatal(err)
		}
		s, err := Load(context.Background(), d)
		if err == nil {
			s.Explain(d, "services.server")
			s.Settings("services")
			return
		}
		if p := problem.In(err); len(p) != 1 || p[0].ID != "compose-file" || !strings.HasPrefix(p[0].Where, path) {
			t.Fatalf("%q is refused with %#v", text, p)
		}
	})
}
