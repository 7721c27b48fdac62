package plan_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/compose/v5/pkg/api"
	"github.com/docker/compose/v5/pkg/compose"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"

	"github.com/inmanta/inmanta-docker/plan"
	"github.com/inmanta/inmanta-docker/problem"
)

var update = flag.Bool("rewrite", false, "write the golden files anew")

// golden compares with testdata/NAME.golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -rewrite, then look at the diff)\n got:\n%s\nwant:\n%s", path, got, want)
	}
}

// stack is a deployment of two services with most that this project's has.
const stack = `
services:
  db:
    image: "postgres:${VERSION:-16}"
    container_name: "${NAME:-demo}-db"
    environment:
      POSTGRES_USER: demo
      POSTGRES_PASSWORD: "${PASSWORD:-demo}"
    configs: [password]
    volumes: ["data:/data"]
    restart: unless-stopped
  server:
    image: "${IMAGE:-orchestrator:1}"
    container_name: "${NAME:-demo}-server"
    depends_on: [db]
    ports: ["${IP:-127.0.0.1}:${PORT:-8888}:8888"]
    healthcheck:
      test: [CMD, bash, -c, "exec 3<>/dev/tcp/127.0.0.1/8888 || exit 1\necho ${PROBE:-one} to this, with so many words that no terminal has room for them all"]
      interval: 5s
configs:
  password: {content: "${PASSWORD:-demo}"}
volumes:
  data: {}
`

// provenance are the variables that stack mentions.
func provenance(path string) []string {
	return map[string][]string{
		"services.db.image":                         {"VERSION"},
		"services.db.container_name":                {"NAME"},
		"services.db.environment.POSTGRES_PASSWORD": {"PASSWORD"},
		"configs.password.content":                  {"PASSWORD"},
		"services.server.image":                     {"IMAGE"},
		"services.server.container_name":            {"NAME"},
		"services.server.ports":                     {"IP", "PORT"},
		"services.server.healthcheck.test":          {"PROBE"},
	}[path]
}

// load composes a text with these variables.
func load(t *testing.T, text string, environment map[string]string) *types.Project {
	t.Helper()
	file := filepath.Join(t.TempDir(), "docker-compose.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	loader, err := compose.NewComposeService(nil)
	if err != nil {
		t.Fatal(err)
	}
	var variables []string
	for name, value := range environment {
		variables = append(variables, name+"="+value)
	}
	project, err := loader.LoadProject(t.Context(), api.ProjectLoadOptions{
		ProjectName: "demo", ConfigPaths: []string{file}, WorkingDir: "/srv/demo", Offline: true,
		ProjectOptionsFns: []cli.ProjectOptionsFn{cli.WithoutEnvironmentResolution, cli.WithEnv(variables)},
	})
	if err == nil {
		project, err = project.WithServicesEnvironmentResolved(true)
	}
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// after is what an engine has after an `up` of stack with these variables.
func after(t *testing.T, environment map[string]string) plan.Observed {
	t.Helper()
	project := load(t, stack, environment)
	o := plan.Observed{
		Project: "demo",
		Networks: []plan.ObservedNetwork{{ID: "n1", Name: "demo_default", Driver: "bridge", Labels: map[string]string{
			api.ProjectLabel: "demo", api.NetworkLabel: "default",
		}}},
		Volumes: []plan.ObservedVolume{{Name: "demo_data", Driver: "local", Labels: map[string]string{
			api.ProjectLabel: "demo", api.VolumeLabel: "data",
		}}},
		Images: map[string]plan.ImageFacts{},
	}
	for _, name := range []string{"db", "server"} {
		s := project.Services[name]
		hash, err := compose.ServiceHash(s)
		if err != nil {
			t.Fatal(err)
		}
		id := "sha256:" + strings.Repeat(name[:1], 64)
		o.Images[s.Image] = plan.ImageFacts{ID: id, Env: []string{"PATH=/bin"}}
		o.Images[id] = o.Images[s.Image]
		c := plan.ObservedContainer{
			ID: strings.Repeat("c", 64), Name: s.ContainerName, Service: name, Number: 1,
			State: container.StateRunning, Image: s.Image, ImageID: id, ConfigHash: hash, ImageDigest: id,
			Host: container.HostConfig{NetworkMode: "demo_default", RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyMode(s.Restart)}},
			Endpoints: map[string]*network.EndpointSettings{
				"demo_default": {NetworkID: "n1", Aliases: []string{s.ContainerName, name}},
			},
			Files: map[string]plan.Content{},
		}
		c.Config.Env = []string{"PATH=/bin"}
		for variable, value := range s.Environment {
			c.Config.Env = append(c.Config.Env, variable+"="+*value)
		}
		if s.HealthCheck != nil {
			c.Config.Healthcheck = &container.HealthConfig{Test: s.HealthCheck.Test, Interval: time.Duration(*s.HealthCheck.Interval)}
		}
		for _, p := range s.Ports {
			port := network.MustParsePort(fmt.Sprintf("%d/tcp", p.Target))
			c.Host.PortBindings = network.PortMap{port: {{HostIP: address(p.HostIP), HostPort: p.Published}}}
			c.Config.ExposedPorts = network.PortSet{port: {}}
		}
		if len(s.Volumes) > 0 {
			c.Mounts = []container.MountPoint{{Type: mount.TypeVolume, Name: "demo_data", Destination: "/data", RW: true}}
			c.Files["/password"] = plan.ContentOf(project.Configs["password"].Content)
		}
		o.Containers = append(o.Containers, c)
	}
	return o
}

// story is one thing that can have happened.
type story struct {
	name string
	// before and after are the variables at the last `up` and now.
	before, after map[string]string
	// files are the compose files now, if not stack.
	files string
	// meanwhile is what happened to the engine.
	meanwhile     func(*plan.Observed)
	removeOrphans bool
	now           time.Time
}

var tagged = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

var stories = []story{
	{name: "nothing"},
	{name: "fresh", meanwhile: func(o *plan.Observed) { *o = plan.Observed{Images: o.Images} }},
	{name: "fresh-without-images", meanwhile: func(o *plan.Observed) { *o = plan.Observed{} }},
	{name: "port", after: map[string]string{"PORT": "9999"}},
	{name: "port-back-to-default", before: map[string]string{"PORT": "9999", "IP": "127.0.0.1"}, after: map[string]string{"IP": "127.0.0.1"}},
	{name: "ip-and-port", after: map[string]string{"IP": "0.0.0.0", "PORT": "9999"}},
	{name: "name", after: map[string]string{"NAME": "other"}},
	{name: "password", before: map[string]string{"PASSWORD": "hush-one"}, after: map[string]string{"PASSWORD": "hush-two"}},
	{name: "long-value", after: map[string]string{"PROBE": "two"}},
	{name: "image", after: map[string]string{"IMAGE": "orchestrator:2"}},
	{name: "image-moved", meanwhile: func(o *plan.Observed) {
		o.Images["orchestrator:1"] = plan.ImageFacts{ID: "sha256:" + strings.Repeat("e", 64)}
	}},
	{name: "image-gone", meanwhile: func(o *plan.Observed) { delete(o.Images, "orchestrator:1") }},
	{name: "states", meanwhile: func(o *plan.Observed) {
		o.Containers[0].State = container.StatePaused
		o.Containers[1].State, o.Containers[1].ExitCode = container.StateExited, 5
	}},
	{name: "restarting", meanwhile: func(o *plan.Observed) { o.Containers[1].State, o.Containers[1].ExitCode = container.StateRestarting, 5 }},
	{name: "unexplained", meanwhile: func(o *plan.Observed) {
		o.Containers[1].ConfigHash, o.Containers[1].ComposeVersion = "of another version", "2.24.0"
	}},
	{name: "file-gone", meanwhile: func(o *plan.Observed) { o.Containers[0].Files["/password"] = plan.Content{} }},
	{name: "file-not-looked-at", meanwhile: func(o *plan.Observed) { o.Containers[0].Files = nil }},
	{name: "upstream", meanwhile: func(o *plan.Observed) {
		// A deployment first made by other files, with the password in sight.
		c := &o.Containers[0]
		c.ConfigHash, c.Files = "theirs", map[string]plan.Content{"/password": {}}
		c.Config.Env = []string{"PATH=/bin", "POSTGRES_USER=demo", "POSTGRES_PASSWORD=hush", "PGPASSFILE=/p", "URL=postgres://demo:hush@db/demo"}
		c.Config.Cmd = []string{"postgres", "--password=hush"}
	}},
	{name: "orphans", meanwhile: orphans},
	{name: "orphans-removed", meanwhile: orphans, removeOrphans: true},
	{name: "network-twice", meanwhile: func(o *plan.Observed) {
		// Two ups were at work at once, and a container got to one of the two networks.
		twin := o.Networks[0]
		twin.ID = "n0"
		o.Networks = []plan.ObservedNetwork{twin, o.Networks[0]}
	}},
	{name: "network-twice-for-nobody", meanwhile: func(o *plan.Observed) {
		twin := o.Networks[0]
		twin.ID = "n2"
		o.Networks, o.Containers = append(o.Networks, twin), nil
	}},
	{name: "replacement", meanwhile: func(o *plan.Observed) {
		// An up that was to change the port was killed before it removed the old one.
		left := o.Containers[1]
		left.Name, left.State, left.ConfigHash = "0123456789ab_demo-server", container.StateCreated, "new"
		o.Containers = append(o.Containers, left)
	}},
	{name: "replacement-alone", meanwhile: func(o *plan.Observed) {
		// And here after it did. A name that only looks alike is nobody's leftover.
		o.Containers[1].Name = "0123456789ab_demo-server"
		o.Containers[0].Name = "mine_demo-db"
	}},
	{name: "pull-always", files: strings.Replace(stack, "    ports:", "    pull_policy: always\n    ports:", 1)},
	{name: "pull-daily", files: strings.Replace(stack, "    ports:", "    pull_policy: daily\n    ports:", 1), meanwhile: old, now: tagged.Add(25 * time.Hour)},
	{name: "pull-daily-too-early", files: strings.Replace(stack, "    ports:", "    pull_policy: daily\n    ports:", 1), meanwhile: old, now: tagged.Add(23 * time.Hour)},
	{name: "build", files: strings.Replace(stack, `    image: "${IMAGE:-orchestrator:1}"`, "    build: .", 1)},
}

func orphans(o *plan.Observed) {
	gone := plan.ObservedContainer{Name: "demo-ssh", Service: "ssh", Number: 1, State: container.StateRunning}
	ran, runs := gone, gone
	ran.Name, ran.Service, ran.OneOff, ran.State = "demo-server-run-1", "server", true, container.StateExited
	runs.Name, runs.Service, runs.OneOff = "demo-server-run-2", "server", true
	o.Containers = append(o.Containers, ran, runs, gone)
}

func old(o *plan.Observed) {
	facts := o.Images["orchestrator:1"]
	facts.Tagged = tagged
	o.Images["orchestrator:1"] = facts
}

func (s story) plan(t *testing.T) plan.Plan {
	t.Helper()
	files := s.files
	if files == "" {
		files = stack
	}
	observed := after(t, s.before)
	if s.meanwhile != nil {
		s.meanwhile(&observed)
	}
	p, err := plan.Make(plan.Desired{
		Project: load(t, files, s.after), Provenance: provenance, RemoveOrphans: s.removeOrphans, Now: s.now,
		Secret: func(name string) bool { return name == "PASSWORD" },
	}, observed)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestStories(t *testing.T) {
	t.Parallel()
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			p := s.plan(t)
			text := fmt.Sprintf("%s\n\nexit code %d\n", p, p.ExitCode())
			if drift := plan.Drift(p); len(drift) > 0 {
				text += "\ndrift:\n"
				for _, n := range drift {
					text += n.String() + "\n"
				}
			}
			if strings.Contains(text, "hush") {
				t.Errorf("a secret is shown:\n%s", text)
			}
			golden(t, s.name, text)
		})
	}
}

func TestPlanAsJSON(t *testing.T) {
	t.Parallel()
	s := story{before: map[string]string{"PASSWORD": "hush-one"}, after: map[string]string{"PASSWORD": "hush-two", "PORT": "9999"}}
	text, err := json.MarshalIndent(s.plan(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "hush") {
		t.Errorf("a secret is shown:\n%s", text)
	}
	golden(t, "json", string(text)+"\n")
	empty, err := json.Marshal(plan.Plan{Project: "demo", Nodes: []plan.Node{}})
	if err != nil || string(empty) != `{"project":"demo","nodes":[]}` {
		t.Errorf("an empty plan is %s (%v)", empty, err)
	}
}

// What Make is given it leaves as it was: it is asked again after an `up`.
func TestMakeChangesNothing(t *testing.T) {
	t.Parallel()
	const replicated = "services: {a: {image: a, network_mode: none, deploy: {replicas: 2}}, b: {image: a, network_mode: 'service:a', volumes_from: [a]}}"
	// The SDK's function changes what it is given.
	hash, err := compose.ServiceHash(load(t, replicated, nil).Services["a"])
	if err != nil {
		t.Fatal(err)
	}
	project := load(t, replicated, nil)
	before, err := project.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Make(plan.Desired{Project: project}, plan.Observed{
		Containers: []plan.ObservedContainer{{ID: "id", Name: "demo-a-1", Service: "a", Number: 1, State: container.StateRunning, ConfigHash: hash}},
		Images:     map[string]plan.ImageFacts{"a": {}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := node(t, p, plan.Container, "a"); n.Action != plan.Leave {
		t.Fatalf("nothing would have been resolved to this container:\n%s", n)
	}
	after, err := project.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Errorf("the project was\n%s\nand is\n%s", before, after)
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	project := load(t, `
services:
  a: {image: a, pull_policy: never, networks: [outer, mine], volumes: ["outer:/o"]}
networks: {outer: {external: true}, mine: {}}
volumes: {outer: {external: true}}
`, nil)
	_, err := plan.Make(plan.Desired{Project: project}, plan.Observed{
		Networks: []plan.ObservedNetwork{{ID: "n", Name: "demo_mine", Labels: map[string]string{api.NetworkLabel: "theirs"}}},
	})
	var list problem.List
	if !errors.As(err, &list) {
		t.Fatalf("got %v", err)
	}
	var found []string
	for _, p := range list {
		if p.What == "" || p.Fix == "" {
			t.Errorf("%+v lacks a cause or a fix", p)
		}
		found = append(found, p.ID+" "+p.Where)
	}
	want := "image-missing services.a.image, network-taken networks.mine, network-missing networks.outer, volume-missing volumes.outer"
	if got := strings.Join(found, ", "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestExternalThingsAreUsed(t *testing.T) {
	t.Parallel()
	project := load(t, "services: {a: {image: a, networks: [outer], volumes: ['outer:/o']}}\nnetworks: {outer: {external: true}}\nvolumes: {outer: {external: true}}", nil)
	p, err := plan.Make(plan.Desired{Project: project}, plan.Observed{
		Networks: []plan.ObservedNetwork{{ID: "n", Name: "outer"}},
		Volumes:  []plan.ObservedVolume{{Name: "outer"}},
		Images:   map[string]plan.ImageFacts{"a": {ID: "a"}},
	})
	if err != nil || len(p.Nodes) != 1 || p.Nodes[0].Action != plan.Create {
		t.Errorf("got %v (%v), want one container to create", p, err)
	}
}

func address(text string) netip.Addr {
	if text == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(text)
}

// A container that has done its work is started again by every `up`, which is no change.
func TestRoutine(t *testing.T) {
	t.Parallel()
	const files = "services: {a: {image: a, network_mode: none}}"
	hash, err := compose.ServiceHash(load(t, files, nil).Services["a"])
	if err != nil {
		t.Fatal(err)
	}
	oneShot := func(s types.ServiceConfig) bool { return s.Name == "a" }
	for name, c := range map[string]struct {
		state   container.ContainerState
		code    int
		oneShot func(types.ServiceConfig) bool
		routine bool
		exit    int
	}{
		"done":                {container.StateExited, 0, oneShot, true, plan.ExitNothing},
		"failed":              {container.StateExited, 40, oneShot, false, plan.ExitChanges},
		"stopped, no oneshot": {container.StateExited, 0, nil, false, plan.ExitChanges},
		"never started":       {container.StateCreated, 0, oneShot, false, plan.ExitChanges},
	} {
		p, err := plan.Make(plan.Desired{Project: load(t, files, nil), OneShot: c.oneShot}, plan.Observed{
			Containers: []plan.ObservedContainer{{ID: "id", Name: "demo-a-1", Service: "a", Number: 1, State: c.state, ExitCode: c.code, ConfigHash: hash}},
			Images:     map[string]plan.ImageFacts{"a": {}},
		})
		if err != nil {
			t.Fatal(err)
		}
		// Routine or not, somebody has to do it.
		if n := node(t, p, plan.Container, "a"); n.Action != plan.Start || n.Routine != c.routine || p.Empty() || p.ExitCode() != c.exit {
			t.Errorf("%s: exit code %d, %+v", name, p.ExitCode(), n)
		}
	}
}
