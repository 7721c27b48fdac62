package readiness

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
)

// These tests run containers of their own on the engine, from an image that
// holds nothing but testdata/actor and a file that no CPU can run.

// generous is how long a wait may take that is expected to end by itself.
const generous = 2 * time.Minute

var stage struct {
	once   sync.Once
	engine *client.Client
	image  string
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if stage.image != "" {
		_, _ = stage.engine.ImageRemove(context.Background(), stage.image, client.ImageRemoveOptions{Force: true})
	}
	os.Exit(code)
}

// prepare connects to the engine and makes the image, once.
func prepare(t *testing.T) *client.Client {
	t.Helper()
	stage.once.Do(func() {
		stage.engine, stage.err = client.New(client.FromEnv)
		if stage.err != nil {
			return
		}
		if _, stage.err = stage.engine.Ping(context.Background(), client.PingOptions{}); stage.err != nil {
			return
		}
		stage.err = makeImage(t)
	})
	if stage.err != nil {
		t.Fatalf("this test needs a container engine: %v", stage.err)
	}
	return stage.engine
}

func makeImage(t *testing.T) error {
	binary := filepath.Join(t.TempDir(), "actor")
	build := exec.Command("go", "build", "-o", binary, "./testdata/actor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the actor: %w: %s", err, out)
	}
	actor, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for name, content := range map[string][]byte{"actor": actor, "foreign": []byte("\x7fELF of another kind")} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))}); err != nil {
			return err
		}
		if _, err := w.Write(content); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	image := fmt.Sprintf("readiness-test:%d", os.Getpid())
	imported, err := stage.engine.ImageImport(context.Background(),
		client.ImageImportSource{Source: &archive, SourceName: "-"}, image, client.ImageImportOptions{})
	if err != nil {
		return err
	}
	defer imported.Close()
	if _, err := io.Copy(io.Discard, imported); err != nil {
		return err
	}
	stage.image = image
	return nil
}

// part is one container of a play.
type part struct {
	service string
	acts    []string // for the actor
	command []string // instead of the actor
	needs   string   // as in Compose's label
	oneShot bool
	restart container.RestartPolicyMode
	check   *container.HealthConfig
	publish uint16 // one of its ports, anywhere on 127.0.0.1
	taken   string // an address in use, to publish at
	memory  int64
	exposed uint16
}

// ownCheck is a health check that the engine itself only runs after an hour.
func ownCheck(acts ...string) *container.HealthConfig {
	return &container.HealthConfig{Test: append([]string{"CMD", "/actor"}, acts...), Interval: time.Hour, Retries: 3}
}

// play starts the parts in order, in a project of their own, which it returns.
func play(t *testing.T, parts ...part) (*client.Client, Stack) {
	t.Helper()
	engine := prepare(t)
	project := strings.ToLower(fmt.Sprintf("rdy%d-%x", os.Getpid(), time.Now().UnixNano()))
	stack := Stack{Project: project}
	for _, p := range parts {
		stack.Services = append(stack.Services, p.service)
		id := create(t, engine, project, p)
		if _, err := engine.ContainerStart(t.Context(), id, client.ContainerStartOptions{}); err != nil && p.taken == "" {
			t.Fatal(err)
		}
	}
	return engine, stack
}

func create(t *testing.T, engine *client.Client, project string, p part) string {
	t.Helper()
	config := &container.Config{
		Image: stage.image, Entrypoint: []string{"/actor"}, Cmd: p.acts, Healthcheck: p.check,
		ExposedPorts: network.PortSet{},
		Labels: map[string]string{
			projectLabel: project, serviceLabel: p.service, oneoffLabel: "False", dependenciesLabel: p.needs,
		},
	}
	if p.command != nil {
		config.Entrypoint, config.Cmd = p.command, nil
	}
	if p.oneShot {
		config.Labels[OneShotLabel] = "true"
	}
	host := &container.HostConfig{RestartPolicy: container.RestartPolicy{Name: p.restart}, PortBindings: network.PortMap{}}
	host.Memory, host.MemorySwap = p.memory, p.memory
	tcp := func(port uint16) network.Port { return network.MustParsePort(fmt.Sprintf("%d/tcp", port)) }
	if p.exposed != 0 {
		config.ExposedPorts[tcp(p.exposed)] = struct{}{}
	}
	if p.publish != 0 {
		config.ExposedPorts[tcp(p.publish)] = struct{}{}
		host.PortBindings[tcp(p.publish)] = []network.PortBinding{{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: "0"}}
	}
	if p.taken != "" {
		config.ExposedPorts[tcp(1)] = struct{}{}
		at := netip.MustParseAddrPort(p.taken)
		host.PortBindings[tcp(1)] = []network.PortBinding{{HostIP: at.Addr(), HostPort: fmt.Sprint(at.Port())}}
	}
	created, err := engine.ContainerCreate(t.Context(), client.ContainerCreateOptions{
		Config: config, HostConfig: host, Name: project + "-" + p.service,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := engine.ContainerRemove(context.Background(), created.ID, client.ContainerRemoveOptions{Force: true}); err != nil && !errdefs.IsNotFound(err) {
			t.Error(err)
		}
	})
	return created.ID
}

// attend waits for the stack, and returns the report if there is one.
func attend(t *testing.T, engine Engine, stack Stack) (Result, *Report) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), generous)
	defer cancel()
	result, err := Wait(ctx, engine, stack, progress.Discard)
	var report *Report
	if err != nil && !errors.As(err, &report) {
		t.Fatal(err)
	}
	if report != nil && report.TimedOut {
		t.Fatalf("not told at once: %+v", report)
	}
	return result, report
}

// fails waits for a report whose culprit is service.
func fails(t *testing.T, engine Engine, stack Stack, service, cause string) *Report {
	t.Helper()
	_, report := attend(t, engine, stack)
	if report == nil {
		t.Fatal("it serves")
	}
	if report.Culprit == nil || report.Culprit.Service != service || report.Cause.ID != cause {
		text, _ := json.MarshalIndent(report, "", " ")
		t.Fatalf("want culprit %s, cause %s; got %s", service, cause, text)
	}
	return report
}

func TestServesAsSoonAsEverythingDoes(t *testing.T) {
	t.Parallel()
	engine, stack := play(t,
		part{service: "db", acts: []string{"after=300", "write=/ready", "listen=5432"}, check: ownCheck("exists=/ready", "exit=0"),
			restart: "unless-stopped", exposed: 5432},
		part{service: "init", acts: []string{"after=500", "exit=0"}, oneShot: true},
		part{service: "migrate", acts: []string{"after=100", "exit=0"}},
		part{service: "quiet", acts: []string{"after=200", "write=/ready"}, check: ownCheck("exists=/ready", "exit=0")},
		part{service: "server", acts: []string{"after=700", "serve=ok"}, check: ownCheck("exit=1"), restart: "unless-stopped",
			needs: "db:service_healthy:false,migrate:service_completed_successfully:false", publish: 8888},
	)
	stack.Orchestrator = "server"
	var mu sync.Mutex
	shown := map[string]progress.Event{}
	ctx, cancel := context.WithTimeout(t.Context(), generous)
	defer cancel()
	result, err := Wait(ctx, engine, stack, func(e progress.Event) {
		mu.Lock()
		defer mu.Unlock()
		shown[e.ID] = e
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.API.Status == nil || result.API.Status.Product != "Actor" || !strings.HasPrefix(result.API.URL, "http://127.0.0.1:") {
		t.Errorf("API: %+v", result.API)
	}
	for service, word := range map[string]string{"db": "Healthy", "init": "Exited", "migrate": "Exited", "quiet": "Healthy", "server": "Healthy"} {
		if e := shown["Container "+stack.Project+"-"+service]; e.Text != word || e.Status != progress.Done {
			t.Errorf("%s was last shown as %+v, want %s", service, e, word)
		}
	}
	if e := shown["Orchestrator"]; e.Text != "Serving" || e.Detail != "Actor 1" {
		t.Errorf("the orchestrator was last shown as %+v", e)
	}
	for _, c := range result.Containers {
		if c.test != nil && c.Health != "starting" {
			t.Errorf("%s: the engine has not checked it yet, and it is %q", c.Name, c.Health)
		}
	}
	// Again, with nothing left to wait for.
	if _, report := attend(t, engine, stack); report != nil {
		t.Error(report)
	}
}

func TestOneServiceAlone(t *testing.T) {
	t.Parallel()
	engine, stack := play(t,
		part{service: "db", acts: []string{"after=200", "write=/ready"}, check: ownCheck("exists=/ready", "exit=0")},
		part{service: "server", acts: []string{"exit=1"}, needs: "db:service_healthy:false"},
		// Nobody looks whether what it needs serves, and its end is the end all the same.
		part{service: "init", acts: []string{"exit=40"}, oneShot: true, needs: "server:service_started:false"},
	)
	stack.Orchestrator = "server"
	ctx, cancel := context.WithTimeout(t.Context(), generous)
	defer cancel()
	if _, err := WaitService(ctx, engine, stack, "db", progress.Discard); err != nil {
		t.Error(err)
	}
	_, err := WaitService(ctx, engine, stack, "init", progress.Discard)
	var report *Report
	if !errors.As(err, &report) || report.TimedOut || report.Culprit == nil || report.Culprit.ExitCode != 40 {
		t.Errorf("a one-shot that failed: %v, %+v", err, report)
	}
}

func TestExitIsToldAtOnce(t *testing.T) {
	t.Parallel()
	engine, stack := play(t,
		part{service: "db", acts: []string{"say=first", "say=the password is s3cr3t-pw", "after=200", "exit=9"}, check: ownCheck("exit=1")},
		part{service: "server", acts: []string{"serve=disconnected"}, needs: "db:service_healthy:false"},
		part{service: "ssh", acts: []string{"after=0"}, check: ownCheck("exit=1"), needs: "server:service_started:false"},
		part{service: "other", acts: []string{"after=0"}, check: ownCheck("exit=1")},
	)
	stack.Orchestrator, stack.Secrets = "server", []string{"s3cr3t-pw"}
	report := fails(t, engine, stack, "db", "unknown")
	if report.Culprit.ExitCode != 9 || report.Culprit.State != "exited" {
		t.Errorf("culprit: %+v", report.Culprit)
	}
	if want := []string{"first", "the password is " + hidden}; len(report.Culprit.Logs) != 1 || !slices.Equal(report.Culprit.Logs[0].Lines, want) {
		t.Errorf("logs: %+v", report.Culprit.Logs)
	}
	if got := names(report.Blocked); !slices.Equal(got, []string{"server", "ssh"}) {
		t.Errorf("blocked: %v", got)
	}
	if got := names(report.Waiting); !slices.Equal(got, []string{"other"}) {
		t.Errorf("waiting: %v", got)
	}
	if p := problem.In(report); len(p) != 1 || p[0].ID != "not-serving" || p[0].Fix == "" {
		t.Errorf("as a problem: %+v", p)
	}
}

func names(list []Waiting) []string {
	var services []string
	for _, w := range list {
		services = append(services, w.Service)
	}
	return services
}

func TestFailures(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		part  part
		cause string
		why   string
	}{
		// Where a container could seem to stay up on a busy machine before it does
		// what it is here for, it has a check that does not pass.
		{"exits again and again", part{acts: []string{"exit=3"}, restart: "unless-stopped", check: ownCheck("exit=1")}, "unknown", "exited 2 times, last with 3"},
		{"one-shot that fails", part{acts: []string{"exit=3"}, oneShot: true}, "unknown", "exited with 3"},
		// Of one that dies before the engine has noted that it started, that forgets what of.
		{"needs too much memory", part{acts: []string{"await=/started", "eat"}, memory: 32 << 20, check: ownCheck("write=/started", "exit=1")}, "out-of-memory", "exited with 137"},
		{"is unhealthy", part{acts: nil, check: &container.HealthConfig{
			Test: []string{"CMD", "/actor", "exists=/ready"}, Interval: 100 * time.Millisecond, Retries: 1,
		}}, "unknown", "is unhealthy"},
		{"runs on another CPU only", part{command: []string{"/foreign"}, restart: "unless-stopped"}, "foreign-cpu", ""},
		{"a line that says it all", part{
			acts: []string{
				"say=DETAIL:  The data directory was initialized by PostgreSQL version 15, which is not compatible with this version 17.12.",
				"after=100", "exit=1",
			}, restart: "unless-stopped", check: ownCheck("exit=1"),
		}, "database-version", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.part.service = "db"
			engine, stack := play(t, test.part)
			report := fails(t, engine, stack, "db", test.cause)
			if !strings.Contains(report.Culprit.Why, test.why) {
				t.Errorf("why: %q, want %q", report.Culprit.Why, test.why)
			}
			if test.why == "is unhealthy" && (len(report.Culprit.Probes) == 0 || !strings.Contains(report.Culprit.Probes[0].Output, "/ready")) {
				t.Errorf("health log: %+v", report.Culprit.Probes)
			}
		})
	}
}

func TestPausedIsNoStateToWaitIn(t *testing.T) {
	t.Parallel()
	engine, stack := play(t, part{service: "db", check: ownCheck("exit=1")})
	if _, err := engine.ContainerPause(t.Context(), stack.Project+"-db", client.ContainerPauseOptions{}); err != nil {
		t.Fatal(err)
	}
	report := fails(t, engine, stack, "db", "unknown")
	if report.Next[0] != "docker unpause "+stack.Project+"-db" {
		t.Errorf("next: %q", report.Next)
	}
}

// inspected calls then once the watch has seen enough restarts.
type inspected struct {
	Engine
	enough int
	once   sync.Once
	then   func()
}

func (i *inspected) ContainerInspect(ctx context.Context, id string, o client.ContainerInspectOptions) (client.ContainerInspectResult, error) {
	r, err := i.Engine.ContainerInspect(ctx, id, o)
	if r.Container.RestartCount >= i.enough {
		i.once.Do(i.then)
	}
	return r, err
}

func TestExitsWhileTheDatabaseIsNotReadyAreForgiven(t *testing.T) {
	t.Parallel()
	engine, stack := play(t,
		part{service: "db", check: ownCheck("exists=/ready", "exit=0")},
		part{service: "server", acts: []string{"times=3", "serve=ok"}, restart: "unless-stopped", needs: "db:service_healthy:false", publish: 8888},
	)
	stack.Orchestrator = "server"
	var wait sync.WaitGroup
	defer wait.Wait()
	result, report := attend(t, &inspected{Engine: engine, enough: 3, then: func() {
		wait.Go(func() {
			if code, _, err := runIn(t.Context(), engine, stack.Project+"-db", []string{"/actor", "write=/ready", "exit=0"}); code != 0 || err != nil {
				t.Error(code, err)
			}
		})
	}}, stack)
	if report != nil {
		t.Fatalf("%+v", report)
	}
	if restarts := result.Containers[1].Restarts; restarts != 3 {
		t.Errorf("%d restarts, want 3", restarts)
	}
}

func TestPasswordRefusedWhileTheServerStillTries(t *testing.T) {
	t.Parallel()
	const refusal = `say=FATAL:  password authentication failed for user "inmanta"`
	engine, stack := play(t,
		part{service: "db", acts: []string{refusal, "after=1500", refusal}},
		part{service: "server", acts: []string{"serve=disconnected"}, needs: "db:service_started:false", publish: 8888},
	)
	stack.Orchestrator = "server"
	report := fails(t, engine, stack, "server", "database-password")
	if report.Culprit.State != "running" {
		t.Errorf("culprit: %+v", report.Culprit)
	}
}

func TestPortTaken(t *testing.T) {
	t.Parallel()
	engine := prepare(t)
	_, first := play(t, part{service: "first", acts: []string{"listen=1"}, publish: 1})
	holder, err := Observe(t.Context(), engine, first.Project)
	if err != nil {
		t.Fatal(err)
	}
	taken := holder[0].published[1][0].String()
	_, stack := play(t, part{service: "server", taken: taken})
	report := fails(t, engine, stack, "server", "port-taken")
	if !strings.Contains(report.What, taken) {
		t.Errorf("%q does not say which port", report.What)
	}
	explained := Explain(t.Context(), engine, stack, errors.New("Error response from daemon: no luck"))
	if explained.Culprit == nil || explained.Cause.ID != "port-taken" || explained.Engine == "" {
		t.Errorf("%+v", explained)
	}
}

func TestTimeIsUp(t *testing.T) {
	t.Parallel()
	engine, stack := play(t,
		part{service: "db", check: ownCheck("exit=1")},
		part{service: "server", acts: []string{"serve=disconnected"}, needs: "db:service_healthy:false", publish: 8888},
	)
	stack.Orchestrator = "server"
	stack.Services = append(stack.Services, "absent")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := Wait(ctx, engine, stack, progress.Discard)
	var report *Report
	if !errors.As(err, &report) || !report.TimedOut || report.Culprit == nil || report.Culprit.Service != "db" {
		t.Fatalf("%v: %+v", err, report)
	}
	if got := names(report.Blocked); !slices.Equal(got, []string{"server"}) {
		t.Errorf("blocked: %v", got)
	}
	if got := names(report.Waiting); !slices.Equal(got, []string{"absent"}) {
		t.Errorf("waiting: %v", got)
	}
	// The same where the time was up while something was being started.
	explained := Explain(ctx, engine, stack, fmt.Errorf("Post \"…/start\": %w", context.DeadlineExceeded))
	if !explained.TimedOut || explained.Culprit == nil || explained.Culprit.Service != "db" || explained.Engine != "" || !strings.Contains(explained.What, "the time is up") {
		t.Errorf("%+v", explained)
	}
	explained = Explain(ctx, engine, Stack{Project: stack.Project + "-of-nobody"}, context.DeadlineExceeded)
	if !explained.TimedOut || explained.Culprit != nil || explained.What != "the time was up before everything was started" {
		t.Errorf("%+v", explained)
	}
}

func TestStopping(t *testing.T) {
	t.Parallel()
	engine, stack := play(t, part{service: "db", check: ownCheck("exit=1")})
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan struct{})
	var once sync.Once
	go func() {
		<-waiting
		cancel()
	}()
	_, err := Wait(ctx, engine, stack, func(progress.Event) { once.Do(func() { close(waiting) }) })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
