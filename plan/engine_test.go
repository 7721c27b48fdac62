package plan_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/containerd/errdefs"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/flags"
	"github.com/docker/compose/v5/pkg/api"
	"github.com/docker/compose/v5/pkg/compose"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/plan"
)

// image is the repository of the tests' own images: tags 1 and 2 differ, moved
// and gone are for a test to move and to lose.
var image = fmt.Sprintf("inmanta-plan-test-%d", os.Getpid())

// engine is the container engine, with the images on it once a test has asked.
var engine = sync.OnceValues(func() (*command.DockerCli, error) {
	docker, err := connect()
	if err != nil {
		return nil, err
	}
	connected = docker
	return docker, makeImages(docker.Client())
})

// connected is the engine to clean up, if one was asked for.
var connected *command.DockerCli

func TestMain(m *testing.M) {
	code := m.Run()
	if connected != nil {
		if err := removeImages(connected.Client()); err != nil {
			fmt.Fprintln(os.Stderr, "removing the tests' images:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

func connect() (*command.DockerCli, error) {
	docker, err := command.NewDockerCli(command.WithOutputStream(io.Discard), command.WithErrorStream(io.Discard))
	if err != nil {
		return nil, err
	}
	return docker, docker.Initialize(flags.NewClientOptions())
}

func makeImages(engine client.APIClient) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	binary := filepath.Join(folder, "idle")
	build := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", binary, "./testdata/idle")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the containers' program: %w\n%s", err, output)
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	for tag, changes := range map[string][]string{
		"1": {`ENTRYPOINT ["/idle"]`, "ENV GIVEN=1", "LABEL given=1", "VOLUME /given", "EXPOSE 81"},
		"2": {`ENTRYPOINT ["/idle"]`, "ENV GIVEN=2", "LABEL given=2", "VOLUME /given", "EXPOSE 82"},
	} {
		var archive bytes.Buffer
		w := tar.NewWriter(&archive)
		if err := w.WriteHeader(&tar.Header{Name: "idle", Mode: 0o755, Size: int64(len(content))}); err != nil {
			return err
		}
		if _, err := w.Write(content); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		result, err := engine.ImageImport(ctx, client.ImageImportSource{Source: &archive, SourceName: "-"}, image+":"+tag, client.ImageImportOptions{Changes: changes})
		if err != nil {
			return fmt.Errorf("importing the containers' image: %w", err)
		}
		said, err := io.ReadAll(result)
		result.Close()
		if err != nil || bytes.Contains(said, []byte("errorDetail")) {
			return fmt.Errorf("importing the containers' image: %w %s", err, said)
		}
	}
	return nil
}

func removeImages(engine client.APIClient) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	list, err := engine.ImageList(ctx, client.ImageListOptions{Filters: make(client.Filters).Add("reference", image)})
	if err != nil {
		return err
	}
	var failures []error
	for _, i := range list.Items {
		_, err := engine.ImageRemove(ctx, i.ID, client.ImageRemoveOptions{Force: true})
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// bench is one Compose project on the real engine, gone when the test ends.
type bench struct {
	*testing.T
	ctx     context.Context
	name    string
	dir     string
	engine  client.APIClient
	compose api.Compose
	// environment is what the compose files are interpolated with.
	environment map[string]string
	// marked says that containers are made with the marks of their files.
	marked bool
	// program is what services mount and run, if any does.
	program plan.Program
	// reads is how many files the last plan had to read in containers.
	reads int64
}

func open(t *testing.T, name string) *bench {
	t.Helper()
	docker, err := engine()
	if err != nil {
		t.Fatalf("this test needs a container engine: %v", err)
	}
	// Nothing may be made again behind the test's back, whatever Compose asks.
	no := func(string, bool) (bool, error) { return false, nil }
	service, err := compose.NewComposeService(docker, compose.WithPrompt(no))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	b := &bench{
		T: t, ctx: ctx, name: fmt.Sprintf("inmanta-plan-%s-%d", name, os.Getpid()), dir: t.TempDir(),
		engine: docker.Client(), compose: service, environment: map[string]string{},
	}
	t.Cleanup(func() {
		cancel()
		b.clear()
	})
	return b
}

// anonymous is the name that the engine gives to a volume that nobody named.
var anonymous = regexp.MustCompile(`^[0-9a-f]{64}$`)

// clear removes all that carries the project's label. After a failure the engine
// may still be at what it was asked before, so that it takes some rounds.
func (b *bench) clear() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for quiet := 0; quiet < 5; quiet++ {
		removed, err := b.remove(ctx)
		if err != nil && ctx.Err() != nil {
			b.Errorf("cleaning up: %v", err)
			return
		}
		if err == nil && !b.Failed() {
			return
		}
		if err != nil || removed > 0 {
			quiet = 0
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (b *bench) remove(ctx context.Context) (removed int, err error) {
	mine := make(client.Filters).Add("label", api.ProjectLabel+"="+b.name)
	var failures []error
	failed := func(err error) {
		if !errdefs.IsNotFound(err) {
			failures = append(failures, err)
		}
	}
	containers, err := b.engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: mine})
	failed(err)
	for _, c := range containers.Items {
		removed++
		_, err := b.engine.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		failed(err)
		// Those that it took over from the container before are not its own to the engine.
		for _, m := range c.Mounts {
			if anonymous.MatchString(m.Name) {
				_, err := b.engine.VolumeRemove(ctx, m.Name, client.VolumeRemoveOptions{})
				failed(err)
			}
		}
	}
	networks, err := b.engine.NetworkList(ctx, client.NetworkListOptions{Filters: mine})
	failed(err)
	for _, n := range networks.Items {
		removed++
		_, err := b.engine.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{})
		failed(err)
	}
	volumes, err := b.engine.VolumeList(ctx, client.VolumeListOptions{Filters: mine})
	failed(err)
	for _, v := range volumes.Items {
		removed++
		_, err := b.engine.VolumeRemove(ctx, v.Name, client.VolumeRemoveOptions{})
		failed(err)
	}
	return removed, errors.Join(failures...)
}

// load composes a compose file as the stock tool's `up` does.
func (b *bench) load(text string) *types.Project {
	b.Helper()
	file := filepath.Join(b.dir, "docker-compose.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	var environment []string
	for name, value := range b.environment {
		environment = append(environment, name+"="+value)
	}
	project, err := b.compose.LoadProject(b.ctx, api.ProjectLoadOptions{
		ProjectName: b.name, ConfigPaths: []string{file}, WorkingDir: b.dir, Offline: true,
		ProjectOptionsFns: []cli.ProjectOptionsFn{cli.WithoutEnvironmentResolution, cli.WithEnv(environment)},
	})
	if err == nil {
		project, err = project.WithServicesEnvironmentResolved(true)
	}
	if err != nil {
		b.Fatalf("%v\n%s", err, text)
	}
	if b.marked {
		return plan.Mark(project, b.program)
	}
	return project
}

// createOptions are those of a plain `up`, or of one that recreates some by force.
func createOptions(project *types.Project, forced []string) api.CreateOptions {
	options := api.CreateOptions{
		Services: project.ServiceNames(), Inherit: true, IgnoreOrphans: true,
		Recreate: api.RecreateDiverged, RecreateDependencies: api.RecreateDiverged,
	}
	if len(forced) > 0 {
		options.Services, options.Recreate = forced, api.RecreateForce
	}
	return options
}

// up is `up -d`.
func (b *bench) up(text string, forced ...string) {
	b.Helper()
	project := b.load(text)
	err := b.compose.Up(b.ctx, project, api.UpOptions{
		Create: createOptions(project, forced), Start: api.StartOptions{Project: project},
	})
	if err != nil {
		b.Fatal(err)
	}
}

// create is `create`, which is `up` without starting anything.
func (b *bench) create(text string) {
	b.Helper()
	project := b.load(text)
	if err := b.compose.Create(b.ctx, project, createOptions(project, nil)); err != nil {
		b.Fatal(err)
	}
}

// plan is what the package under test says `up` would do.
func (b *bench) plan(text string) plan.Plan {
	b.Helper()
	project := b.load(text)
	counted := &counting{Engine: b.engine}
	observed, err := plan.Observe(b.ctx, counted, plan.QueryFor(project))
	if err != nil {
		b.Fatal(err)
	}
	b.reads = counted.reads.Load()
	p, err := plan.Make(plan.Desired{
		Project: project,
		Provenance: func(path string) []string {
			if strings.HasSuffix(path, ".ports") {
				return []string{"PLAN_IP", "PLAN_PORT"}
			}
			return nil
		},
		Secret:  func(name string) bool { return strings.Contains(name, "HUSH") },
		Program: b.program,
	}, observed)
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// made are the project's containers, by name.
func (b *bench) made() map[string]plan.ObservedContainer {
	b.Helper()
	observed, err := plan.Observe(b.ctx, b.engine, plan.Query{Project: b.name})
	if err != nil {
		b.Fatal(err)
	}
	containers := map[string]plan.ObservedContainer{}
	for _, c := range observed.Containers {
		containers[c.Name] = c
	}
	return containers
}

// node is the plan's step for a service's first container.
func node(t testing.TB, p plan.Plan, kind plan.Kind, key string) plan.Node {
	t.Helper()
	i := slices.IndexFunc(p.Nodes, func(n plan.Node) bool { return n.Kind == kind && n.Key == key })
	if i < 0 {
		t.Fatalf("the plan has no step for %s %s:\n%s", kind, key, p)
	}
	return p.Nodes[i]
}

func lines(reasons []plan.Reason) string {
	var all []string
	for _, r := range reasons {
		all = append(all, r.String())
	}
	return strings.Join(all, "\n")
}
