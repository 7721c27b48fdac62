package preflight

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/compose/v5/pkg/api"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/engine"
	"github.com/inmanta/inmanta-docker/progress"
)

// shared is the engine, and an image that all tests' containers are made from,
// once the first test asks for it. The image declares a volume, which a
// container that is removed must not leave.
var shared struct {
	sync.Once
	engine *engine.Engine
	image  string
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.image != "" {
		_, err := shared.engine.API().ImageRemove(context.Background(), shared.image, client.ImageRemoveOptions{Force: true})
		if err != nil {
			fmt.Fprintln(os.Stderr, "removing the tests' image:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

func prepare() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var err error
	if shared.engine, err = engine.Open(engine.Streams{Out: io.Discard, Err: io.Discard}); err != nil {
		return err
	}
	if err := shared.engine.Ping(ctx); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// The same program as the tests of package plan run: it waits, or ends at once.
	build := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", dir, "../plan/testdata/idle")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the containers' program: %w\n%s", err, said)
	}
	program, err := os.ReadFile(filepath.Join(dir, "idle"))
	if err != nil {
		return err
	}
	layer, err := archive("idle", program)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("inmanta-preflight-test:%d", os.Getpid())
	said, err := shared.engine.API().ImageImport(ctx, client.ImageImportSource{Source: layer, SourceName: "-"}, name,
		client.ImageImportOptions{Changes: []string{`ENTRYPOINT ["/idle"]`, "VOLUME /declared"}})
	if err != nil {
		return err
	}
	defer said.Close()
	if _, err := io.Copy(io.Discard, said); err != nil {
		return err
	}
	shared.image = name
	return nil
}

// archive is a tar archive of one file.
func archive(name string, content []byte) (io.Reader, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))})
	if err == nil {
		_, err = w.Write(content)
	}
	return &b, errors.Join(err, w.Close())
}

// site is a lab on the real engine: a project of its own name, whose containers
// and volumes are gone when the test ends.
type site struct {
	*lab
	ctx     context.Context
	api     client.APIClient
	project string
}

func newSite(t *testing.T, env string) *site {
	t.Helper()
	shared.Do(func() { shared.err = prepare() })
	if shared.err != nil {
		t.Fatalf("this test needs a container engine: %v", shared.err)
	}
	l := newLab(t)
	project := fmt.Sprintf("preflight-test-%d-%s", os.Getpid(), strings.ToLower(t.Name()))
	project = strings.NewReplacer("/", "-", " ", "-").Replace(project)
	l.write(map[string]string{".env": fmt.Sprintf(
		"COMPOSE_PROJECT_NAME=%s\nINMANTA_NAME=%s\nINMANTA_ORCHESTRATOR_IMAGE=%s\nPOSTGRESQL_IMAGE=%s\nINMANTA_ORCHESTRATOR_PORT=%d\n%s",
		project, project, shared.image, shared.image, freePort(t), env,
	)})
	s := &site{lab: l, ctx: context.Background(), api: shared.engine.API(), project: project}
	t.Cleanup(s.clear)
	return s
}

// clear removes everything that names the project.
func (s *site) clear() {
	containers, err := s.api.ContainerList(s.ctx, client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("name", s.project)})
	if err != nil {
		s.Error(err)
	}
	for _, c := range containers.Items {
		if _, err := s.api.ContainerRemove(s.ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true}); err != nil {
			s.Error(err)
		}
	}
	volumes, err := s.api.VolumeList(s.ctx, client.VolumeListOptions{Filters: make(client.Filters).Add("name", s.project)})
	if err != nil {
		s.Error(err)
	}
	for _, v := range volumes.Items {
		if _, err := s.api.VolumeRemove(s.ctx, v.Name, client.VolumeRemoveOptions{Force: true}); err != nil {
			s.Error(err)
		}
	}
}

// container makes one, of the shared image; its name ends in name.
func (s *site) container(name string, config container.Config, host container.HostConfig) string {
	s.Helper()
	config.Image = shared.image
	created, err := s.api.ContainerCreate(s.ctx, client.ContainerCreateOptions{Name: s.project + name, Config: &config, HostConfig: &host})
	if err != nil {
		s.Fatal(err)
	}
	return created.ID
}

func (s *site) start(id string) {
	s.Helper()
	if _, err := s.api.ContainerStart(s.ctx, id, client.ContainerStartOptions{}); err != nil {
		s.Fatal(err)
	}
}

// remove takes a container away before the test ends.
func (s *site) remove(id string) {
	s.Helper()
	if _, err := s.api.ContainerRemove(s.ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true}); err != nil {
		s.Fatal(err)
	}
}

// setting is the value of one of the deployment's settings.
func (s *site) setting(name string) string {
	d, _ := s.open()
	value, _, _ := d.Setting(name)
	return value
}

// gather is Gather, and what Check makes of it.
func (s *site) gather(e Engine) (Facts, []want) {
	s.Helper()
	d, stack := s.open()
	f, failed := Gather(s.ctx, e, stack, d, progress.Discard)
	s.expect("problem of asking", failed)
	problems, _ := Check(d, stack, f)
	var found []want
	for _, p := range problems {
		found = append(found, want{p.ID, strings.ReplaceAll(p.Where, s.dir+"/", ""), p.What, p.Fix})
	}
	return f, found
}

// refused fails unless exactly one problem is found, of this ID and with these words.
func (s *site) refused(id string, words ...string) {
	s.Helper()
	_, found := s.gather(shared.engine)
	if len(found) != 1 || found[0].id != id {
		s.Fatalf("found %+v, want one %s", found, id)
	}
	for _, w := range words {
		if !strings.Contains(found[0].what, w) {
			s.Errorf("%q does not say %q", found[0].what, w)
		}
	}
}

// passes fails if any problem is found.
func (s *site) passes() Facts {
	s.Helper()
	f, found := s.gather(shared.engine)
	if len(found) > 0 {
		s.Fatalf("found %+v", found)
	}
	return f
}

func TestGatherOnAFreshHost(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	f := s.passes()
	if !f.Answered || !f.Local || f.Version == "" || f.Platform == "" || f.Memory == 0 || f.Disk.Free == 0 {
		t.Errorf("facts are missing: %+v", f)
	}
	image := f.Images[shared.image]
	if !image.Present || len(image.Platforms) != 1 || image.Platforms[0] != f.Platform {
		t.Errorf("image %+v on %s", image, f.Platform)
	}
	if f.EnvModes[filepath.Join(s.dir, ".env")] != 0o600 {
		t.Errorf("modes %v", f.EnvModes)
	}
}

func TestPortHeldByAContainer(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	port := network.MustParsePort("80/tcp")
	publish := container.HostConfig{PortBindings: network.PortMap{port: {{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: s.setting("INMANTA_ORCHESTRATOR_PORT")}}}}
	labels := map[string]string{api.ProjectLabel: "of-others", api.ServiceLabel: "web", api.WorkingDirLabel: "/srv/others"}
	id := s.container("-web", container.Config{ExposedPorts: network.PortSet{port: {}}, Labels: labels}, publish)
	s.passes() // it does not run yet
	s.start(id)
	s.refused("port-taken", "the container "+s.project+"-web of the project of-others (/srv/others)")

	s.remove(id)
	labels = map[string]string{api.ProjectLabel: s.project, api.ServiceLabel: "server", api.WorkingDirLabel: s.dir}
	s.start(s.container("-orchestrator", container.Config{ExposedPorts: network.PortSet{port: {}}, Labels: labels}, publish))
	s.passes() // its own
}

func TestPortHeldByAProcess(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	listener := listen(t, "127.0.0.1:"+s.setting("INMANTA_ORCHESTRATOR_PORT"))
	s.refused("port-taken", fmt.Sprintf("the process %s (pid %d)", comm(t), os.Getpid()))
	listener.Close()
	s.passes()
}

func TestAddressOfAnotherHost(t *testing.T) {
	t.Parallel()
	newSite(t, "INMANTA_ORCHESTRATOR_IP=192.0.2.1\n").refused("ip-not-here", "192.0.2.1")
}

func TestNameTaken(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	there := t.TempDir()
	id := s.container("-db", container.Config{}, container.HostConfig{})
	s.refused("container-name-taken", "that Compose did not make", s.project+"-db")
	s.remove(id)
	s.container("-db", container.Config{Labels: map[string]string{
		api.ProjectLabel: "of-others", api.ServiceLabel: "db", api.WorkingDirLabel: there,
	}}, container.HostConfig{})
	s.refused("container-name-taken", "the project of-others, made from "+there+",")
}

func TestAnotherDeploymentOfTheSameName(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	there := t.TempDir()
	s.container("-other", container.Config{Labels: map[string]string{
		api.ProjectLabel: s.project, api.ServiceLabel: "db", api.WorkingDirLabel: there,
	}}, container.HostConfig{})
	s.refused("project-name-taken", there)
	// Seen through a link it is the same directory, and one that is gone was moved.
	if err := os.Remove(there); err != nil {
		t.Fatal(err)
	}
	s.passes()
	if err := os.Symlink(s.dir, there); err != nil {
		t.Fatal(err)
	}
	s.passes()
}

func TestImageThatNobodyHas(t *testing.T) {
	t.Parallel()
	// The reserved domain: no registry answers for it, anywhere.
	s := newSite(t, "INMANTA_ORCHESTRATOR_IMAGE=registry.invalid/x:1\n")
	s.refused("image-missing", "registry.invalid/x:1", "cannot be reached")
}

func freePort(t *testing.T) int {
	t.Helper()
	l := listen(t, "127.0.0.1:0")
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}
