package readiness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// OneShotLabel is the label that, set to "true" in a compose file, says that a service does its
// work and ends: it is ready when it has exited with 0. It counts only where
// the restart policy is "no" (the default) or "on-failure": the engine would
// start any other again. A service that another one waits for with
// `service_completed_successfully` is one-shot without the label.
const OneShotLabel = "com.inmanta.docker.one-shot"

// What Compose says of a container, in labels.
const (
	projectLabel      = "com.docker.compose.project"
	serviceLabel      = "com.docker.compose.service"
	oneoffLabel       = "com.docker.compose.oneoff"
	dependenciesLabel = "com.docker.compose.depends_on"
)

// completed is the condition of a dependency that must have ended well.
const completed = "service_completed_successfully"

// Container is one container of the project as the engine sees it.
type Container struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Service string `json:"service"`
	Image   string `json:"image"`
	// State is the engine's word: created, running, paused, restarting, exited, removing or dead.
	State string `json:"state"`
	// ExitCode is that of the last run; it says nothing while running.
	ExitCode int `json:"exit_code"`
	// OOMKilled says that the last run was ended for using too much memory.
	OOMKilled bool `json:"oom_killed"`
	// Error is why the engine could not start it; empty when it could.
	Error string `json:"error,omitempty"`
	// Restarts counts how often the engine has started it again since somebody last did.
	Restarts int `json:"restarts"`
	// Started and Finished are the engine's clock; zero when it never did.
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
	// Health is starting, healthy or unhealthy; empty where nothing is checked.
	Health string `json:"health,omitempty"`
	// Probes are the last health checks, oldest first.
	Probes []Probe `json:"probes,omitempty"`

	// oneShot containers end when their work is done: see OneShotLabel.
	oneShot bool
	// restarted says that the engine starts it again however it ends.
	restarted bool
	// needs are the services it was told to wait for.
	needs []need
	// test is the command of its health check; nil where there is none.
	test []string
	// tty containers have one output stream, without frames.
	tty bool
	// logFile is where its command line says it logs to; empty for none.
	logFile string
	// published are where its TCP ports are on the engine's host, by port.
	published map[uint16][]netip.AddrPort
	// addresses are its own, on the networks of the engine's host.
	addresses []netip.Addr
	// exposed are the TCP ports its image or service names.
	exposed []uint16
}

// Probe is one run of a health check.
type Probe struct {
	At       time.Time `json:"at"`
	ExitCode int       `json:"exit_code"`
	Output   string    `json:"output,omitempty"`
}

// need is one entry of depends_on.
type need struct {
	service, condition string
}

// Observe looks at every container of the project, those of `run` apart, by name.
func Observe(ctx context.Context, engine Engine, project string) ([]Container, error) {
	listed, err := engine.ContainerList(ctx, client.ContainerListOptions{
		All:     true,
		Filters: make(client.Filters).Add("label", projectLabel+"="+project, oneoffLabel+"=False"),
	})
	if err != nil {
		return nil, fmt.Errorf("listing the containers of %s: %w", project, err)
	}
	containers := make([]Container, 0, len(listed.Items))
	for _, item := range listed.Items {
		c, err := inspect(ctx, engine, item.ID)
		if errors.Is(err, errGone) {
			continue // removed since it was listed
		}
		if err != nil {
			return nil, err
		}
		containers = append(containers, c)
	}
	slices.SortFunc(containers, func(a, b Container) int { return cmp.Compare(a.Name, b.Name) })
	return containers, nil
}

// errGone says that a container is no more.
var errGone = errors.New("the container is gone")

func inspect(ctx context.Context, engine Engine, id string) (Container, error) {
	found, err := engine.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if errdefs.IsNotFound(err) {
		return Container{}, errGone
	}
	if err != nil {
		return Container{}, fmt.Errorf("inspecting container %s: %w", id, err)
	}
	return describe(found.Container), nil
}

// describe reads what the engine says of a container.
func describe(r container.InspectResponse) Container {
	c := Container{ID: r.ID, Name: strings.TrimPrefix(r.Name, "/"), Image: r.Image, Restarts: r.RestartCount}
	if s := r.State; s != nil {
		c.State, c.ExitCode, c.OOMKilled, c.Error = string(s.Status), s.ExitCode, s.OOMKilled, s.Error
		c.Started, c.Finished = moment(s.StartedAt), moment(s.FinishedAt)
		if h := s.Health; h != nil && h.Status != container.NoHealthcheck {
			c.Health = string(h.Status)
			for _, l := range h.Log {
				c.Probes = append(c.Probes, Probe{At: l.Start, ExitCode: l.ExitCode, Output: strings.TrimSpace(l.Output)})
			}
		}
	}
	policy := container.RestartPolicyDisabled
	if r.HostConfig != nil && r.HostConfig.RestartPolicy.Name != "" {
		policy = r.HostConfig.RestartPolicy.Name
	}
	c.restarted = policy == container.RestartPolicyAlways || policy == container.RestartPolicyUnlessStopped
	if config := r.Config; config != nil {
		c.Image, c.Service, c.tty = config.Image, config.Labels[serviceLabel], config.Tty
		c.needs = needs(config.Labels[dependenciesLabel])
		c.oneShot = config.Labels[OneShotLabel] == "true" && !c.restarted
		c.logFile = logFile(append(slices.Clone(config.Entrypoint), config.Cmd...))
		if config.Healthcheck != nil {
			c.test = command(config.Healthcheck.Test, config.Shell)
		}
		for port := range config.ExposedPorts {
			if port.Proto() == "tcp" {
				c.exposed = append(c.exposed, port.Num())
			}
		}
		slices.Sort(c.exposed)
	}
	if n := r.NetworkSettings; n != nil {
		c.published = map[uint16][]netip.AddrPort{}
		for port, bindings := range n.Ports {
			for _, b := range bindings {
				number, err := strconv.ParseUint(b.HostPort, 10, 16)
				if port.Proto() == "tcp" && err == nil && b.HostIP.IsValid() {
					c.published[port.Num()] = append(c.published[port.Num()], netip.AddrPortFrom(b.HostIP, uint16(number)))
				}
			}
		}
		for _, network := range n.Networks {
			if network != nil && network.IPAddress.IsValid() {
				c.addresses = append(c.addresses, network.IPAddress)
			}
		}
		slices.SortFunc(c.addresses, netip.Addr.Compare)
	}
	return c
}

// speaks is when what it prints in its present run may begin; zero when it never
// ran. The engine takes the time of the start after it has started the process.
// What came before the end of the run before, or is only just read by then, is
// not of this one: no process is started again that soon.
func (c Container) speaks() time.Time {
	if c.Started.IsZero() {
		return c.Started
	}
	from, ended := c.Started.Add(-early), c.Finished.Add(respite)
	if ended.After(from) && ended.Before(c.Started) {
		return ended
	}
	return from
}

// moment is a time of the engine's; zero for its own zero and for anything else.
func moment(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

// needs reads Compose's label for depends_on: "db:service_healthy:false,init:…".
func needs(label string) []need {
	var list []need
	for entry := range strings.SplitSeq(label, ",") {
		service, rest, _ := strings.Cut(entry, ":")
		condition, _, _ := strings.Cut(rest, ":")
		if service != "" {
			list = append(list, need{service, condition})
		}
	}
	return list
}

// command is what a health check runs, as arguments; nil where nothing is checked.
func command(test, shell []string) []string {
	switch {
	case len(test) < 2:
		return nil
	case test[0] == "CMD":
		return test[1:]
	case test[0] == "CMD-SHELL":
		if len(shell) == 0 {
			shell = []string{"/bin/sh", "-c"}
		}
		return append(slices.Clone(shell), test[1])
	default:
		return nil
	}
}

// logFile is what the command line names as the file to log to.
func logFile(arguments []string) string {
	for i, argument := range arguments {
		if path, ok := strings.CutPrefix(argument, "--log-file="); ok {
			return path
		}
		if argument == "--log-file" && i+1 < len(arguments) {
			return arguments[i+1]
		}
	}
	return ""
}
