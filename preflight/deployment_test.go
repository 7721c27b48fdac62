package preflight

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/topology"
)

// lab is a deployment directory named lab; a test fills it and opens it.
type lab struct {
	*testing.T
	dir     string
	request deployment.Request
}

func newLab(t *testing.T) *lab {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "lab")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return &lab{T: t, dir: dir, request: deployment.Request{WorkDir: dir, Files: []string{"docker-compose.yml"}}}
}

// write puts files into the directory, by name.
func (l *lab) write(files map[string]string) *lab {
	l.Helper()
	for name, text := range files {
		path := filepath.Join(l.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			l.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			l.Fatal(err)
		}
	}
	return l
}

// with adds compose files to the topology.
func (l *lab) with(files ...string) *lab {
	l.request.Files = append(l.request.Files, files...)
	return l
}

func (l *lab) open() (deployment.Deployment, topology.Stack) {
	l.Helper()
	d, err := deployment.Open(l.request)
	if err != nil {
		l.Fatal(err)
	}
	s, err := topology.Load(context.Background(), d)
	if err != nil {
		l.Fatal(err)
	}
	return d, s
}

// want is one expected problem: its ID, where it is (in the directory), and
// words of its sentence and of its fix.
type want struct{ id, where, what, fix string }

// expect fails unless these problems were found, in this order, and no other.
func (l *lab) expect(kind string, got problem.List, wanted ...want) {
	l.Helper()
	for i, p := range got {
		if p.ID == "" || p.Where == "" || p.What == "" || p.Fix == "" {
			l.Errorf("a %s lacks a part: %#v", kind, p)
		}
		if i >= len(wanted) {
			l.Errorf("%s too many: %s: %s — %s", kind, p.ID, p.Error(), p.Fix)
			continue
		}
		w := wanted[i]
		where := strings.ReplaceAll(p.Where, l.dir+"/", "")
		if p.ID != w.id || where != w.where || !strings.Contains(p.What, w.what) || !strings.Contains(p.Fix, w.fix) {
			l.Errorf("%s %d is\n  %s at %s: %s — %s\nwant\n  %s at %s: …%s… — …%s…", kind, i, p.ID, where, p.What, p.Fix, w.id, w.where, w.what, w.fix)
		}
	}
	for _, w := range wanted[min(len(got), len(wanted)):] {
		l.Errorf("%s missing: %s at %s: …%s…", kind, w.id, w.where, w.what)
	}
}

// fine are the facts of a host and an engine with nothing wrong.
func fine(s topology.Stack) Facts {
	f := Facts{
		Answered: true, Local: true, Version: "20.10.24", APIVersion: "1.41", Platform: "linux/amd64",
		Memory: 8 << 30, Disk: Disk{Dir: "/var/lib/docker", Free: 100 << 30}, Images: map[string]Image{},
		Volumes: map[string]Volume{}, Majors: map[string]int{}, Sockets: map[Endpoint]Socket{}, Licences: map[string]LicenceFile{},
	}
	for _, ref := range references(s.Project) {
		f.Images[ref] = Image{Present: true, Platforms: []string{"linux/amd64"}}
	}
	return f
}

func TestNothingWrong(t *testing.T) {
	l := newLab(t).write(map[string]string{".env": "INMANTA_DATABASE_PASSWORD=x\nINMANTA_NAME=lab\nUNRELATED=1\n"})
	d, s := l.open()
	problems, warnings := Check(d, s, fine(s))
	l.expect("problem", problems)
	l.expect("warning", warnings)
}

// All kinds of problems are reported by one call, each once.
func TestEverythingWrongAtOnce(t *testing.T) {
	l := newLab(t).write(map[string]string{
		".env": "INMANTA_ORCHESTRATOR_PROT=8889\nINMANTA_DATABASE_PASSWORD=' x'\nINMANTA_SSH_SIDECAR_PORT=0\n",
	})
	d, s := l.open()
	f := fine(s)
	f.APIVersion, f.Memory, f.Disk.Free = "1.40", 1, 1
	f.Images["postgres:16"] = Image{Registry: Unreachable, Trouble: "no such host"}
	f.Containers = []Container{
		{Name: "inmanta-db", Project: "lab", Service: "db", Dir: "/other", Elsewhere: true},
		{Name: "inmanta-orchestrator", Project: "lab", Service: "server", Dir: "/other", Elsewhere: true},
		{Name: "web", Running: true, Published: []Endpoint{endpoint(t, "0.0.0.0:8888", tcp)}},
	}
	problems, warnings := Check(d, s, f)
	var ids []string
	for _, p := range problems {
		ids = append(ids, p.ID)
	}
	if want := []string{"setting-invalid", "setting-unknown", "engine-too-old", "image-missing", "project-name-taken", "port-taken", "disk-space", "memory"}; !slices.Equal(ids, want) {
		t.Errorf("problems %v, want %v", ids, want)
	}
	l.expect("warning", warnings, want{"setting-invalid", ".env:3", "port 0 does not exist (nothing in this topology uses it)", "from 1 to 65535"})
}
