package preflight

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/containerd/errdefs"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/config"
	"github.com/docker/compose/v5/pkg/api"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"
	"golang.org/x/sync/errgroup"

	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/topology"
)

// Engine is what Gather needs to reach the container engine.
type Engine interface {
	// Ping says why the engine does not answer, as a problem.Problem.
	Ping(ctx context.Context) error
	// Host is how it is reached: "unix:///var/run/docker.sock".
	Host() string
	// API is its client. Gather uses it from many goroutines at once.
	API() client.APIClient
}

// registryPatience is how long a registry may take to answer. One that needs
// longer would make every download from it a trial too.
const registryPatience = 5 * time.Second

// Gather learns what Check needs to know, asking everything at once. It changes
// nothing, but for a container that it may create, never start, and remove to
// read a volume that no other container has.
//
// The problems are those of asking: an engine that does not answer, or not
// sensibly. The facts are then those that could be had all the same. report is
// told of what may take seconds.
func Gather(ctx context.Context, e Engine, s topology.Stack, d deployment.Deployment, report progress.Report) (Facts, problem.List) {
	g := gathering{
		engine: e.API(), project: s.Project, deployment: d, report: report,
		local: strings.HasPrefix(e.Host(), "unix://"),
	}
	g.files()
	ping, err := g.engine.Ping(ctx, client.PingOptions{})
	if err != nil {
		if explained := e.Ping(ctx); explained != nil {
			err = explained
		}
		return g.facts, problem.In(err)
	}
	g.facts.Answered, g.facts.APIVersion = true, ping.APIVersion
	if tooOld(ping.APIVersion) {
		// Its other answers may not mean what we think.
		return g.facts, nil
	}
	if err := g.ask(ctx); err != nil {
		return g.facts, problem.List{{
			ID: "engine-failed", Where: e.Host(), What: fmt.Sprintf("the container engine could not say what is there: %v", err),
			Fix: "look into the engine's log (journalctl -u docker), mend what it says, and try again", Err: err,
		}}
	}
	return g.facts, nil
}

// gathering is one run of Gather.
type gathering struct {
	engine     client.APIClient
	project    *types.Project
	deployment deployment.Deployment
	report     progress.Report
	// local says that the engine's socket is on this machine.
	local bool

	mu    sync.Mutex
	facts Facts
}

// learn changes the facts; tasks run side by side.
func (g *gathering) learn(change func(*Facts)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(&g.facts)
}

// ask questions the engine in two rounds: the second needs the first's answers.
func (g *gathering) ask(ctx context.Context) error {
	g.facts.Images, g.facts.Volumes, g.facts.Majors = map[string]Image{}, map[string]Volume{}, map[string]int{}
	first, asking := errgroup.WithContext(ctx)
	first.Go(func() error { return g.machine(asking) })
	first.Go(func() error { return g.containers(asking) })
	for _, ref := range references(g.project) {
		first.Go(func() error { return g.image(asking, ref) })
	}
	for _, v := range g.project.Volumes {
		first.Go(func() error { return g.volume(asking, v.Name) })
	}
	left := leftByPair(g.project)
	if replica := left[topology.Replica]; replica != "" {
		first.Go(func() error { return g.volume(asking, replica) })
	}
	if err := first.Wait(); err != nil {
		return err
	}
	g.facts.Local = g.facts.Local && g.local

	// Whatever is asked next is decided before the first of it changes the facts.
	var missing []string
	for ref, image := range g.facts.Images {
		if !image.Present {
			missing = append(missing, ref)
		}
	}
	var volumes []databaseVolume
	for _, v := range databaseVolumes(g.project) {
		if _, exists := g.facts.Volumes[v.Name]; exists {
			volumes = append(volumes, v)
		}
	}
	if _, exists := g.facts.Volumes[left[topology.Replica]]; !exists {
		left = nil // there has been one alone
	}
	maps.DeleteFunc(left, func(_, volume string) bool { _, exists := g.facts.Volumes[volume]; return !exists })
	if g.facts.Local {
		g.facts.Sockets = probe(unheld(g.project, g.facts.Containers))
	}
	reader := volumeReader{engine: g.engine, containers: g.facts.Containers, images: g.presentImages()}
	second, asking := errgroup.WithContext(ctx)
	for _, ref := range missing {
		second.Go(func() error { return g.registry(asking, ref) })
	}
	for _, v := range volumes {
		second.Go(func() error {
			major, err := reader.read(asking, v.Name)
			if err != nil {
				return fmt.Errorf("looking at the database in volume %s: %w", v.Name, err)
			}
			if major != 0 {
				g.learn(func(f *Facts) { f.Majors[v.Name] = major })
			}
			return nil
		})
	}
	for service, volume := range left {
		second.Go(func() error { return g.record(asking, reader, service, volume) })
	}
	return second.Wait()
}

// machine learns what the engine runs on.
func (g *gathering) machine(ctx context.Context) error {
	answer, err := g.engine.Info(ctx, client.InfoOptions{})
	if err != nil {
		return fmt.Errorf("asking what it is: %w", err)
	}
	info := answer.Info
	local := g.local && sameMachine(info.Name, info.KernelVersion)
	var disk Disk
	if local {
		disk = freeDisk(info.DockerRootDir)
	}
	g.learn(func(f *Facts) {
		f.Version, f.Memory = info.ServerVersion, info.MemTotal
		f.Platform = platform(info.OSType, info.Architecture)
		f.Local, f.Disk = local, disk
	})
	return nil
}

// containers learns which containers there are, whoever made them.
func (g *gathering) containers(ctx context.Context) error {
	answer, err := g.engine.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return fmt.Errorf("listing containers: %w", err)
	}
	var found []Container
	for _, c := range answer.Items {
		one := describe(c)
		one.Elsewhere = elsewhere(one.Dir, g.project.WorkingDir)
		found = append(found, one)
	}
	g.learn(func(f *Facts) { f.Containers = found })
	return nil
}

// describe takes over what the engine says of a container.
func describe(c container.Summary) Container {
	one := Container{
		ID: c.ID, Project: c.Labels[api.ProjectLabel], Service: c.Labels[api.ServiceLabel],
		Dir: c.Labels[api.WorkingDirLabel], OneOff: c.Labels[api.OneoffLabel] == "True",
		Running:    c.State == container.StateRunning || c.State == container.StatePaused,
		Restarting: c.State == container.StateRestarting,
		Mounts:     map[string]string{},
	}
	_, one.Look = c.Labels[lookLabel]
	if len(c.Names) > 0 {
		one.Name = strings.TrimPrefix(c.Names[0], "/")
	}
	for _, p := range c.Ports {
		if p.PublicPort != 0 && p.IP.IsValid() {
			one.Published = append(one.Published, Endpoint{IP: p.IP.Unmap(), Port: p.PublicPort, Protocol: p.Type})
		}
	}
	for _, m := range c.Mounts {
		if m.Name != "" {
			one.Mounts[m.Name] = m.Destination
		}
	}
	return one
}

// elsewhere says that dir is a directory, and another one than here. One that
// is gone was moved: the deployment is then this one.
func elsewhere(dir, here string) bool {
	if dir == "" || filepath.Clean(dir) == filepath.Clean(here) {
		return false
	}
	there, err := os.Stat(dir)
	if err != nil {
		return os.IsPermission(err)
	}
	ours, err := os.Stat(here)
	return err != nil || !os.SameFile(there, ours)
}

// references are the images that the project runs and does not build itself.
func references(project *types.Project) []string {
	seen := map[string]bool{}
	var refs []string
	for _, name := range project.ServiceNames() {
		s := project.Services[name]
		if s.Build == nil && s.Image != "" && !seen[s.Image] {
			seen[s.Image] = true
			refs = append(refs, s.Image)
		}
	}
	return refs
}

// presentImages are the images of the project that the engine has.
func (g *gathering) presentImages() []string {
	var present []string
	for _, ref := range references(g.project) {
		if g.facts.Images[ref].Present {
			present = append(present, ref)
		}
	}
	return present
}

// image learns whether the engine has an image, and what it is.
func (g *gathering) image(ctx context.Context, ref string) error {
	found, err := g.engine.ImageInspect(ctx, ref)
	if errdefs.IsNotFound(err) || errdefs.IsInvalidArgument(err) {
		g.learn(func(f *Facts) { f.Images[ref] = Image{} })
		return nil
	}
	if err != nil {
		return fmt.Errorf("inspecting image %s: %w", ref, err)
	}
	image := Image{Present: true, Env: map[string]string{}}
	if found.Architecture != "" {
		image.Platforms = []string{platform(found.Os, found.Architecture)}
	}
	if found.Config != nil {
		image.Env = variables(found.Config.Env)
	}
	g.learn(func(f *Facts) { f.Images[ref] = image })
	return nil
}

// registry asks the registry of an image that the engine lacks, through the
// engine, since that is who would pull it.
func (g *gathering) registry(ctx context.Context, ref string) error {
	// Where stored credentials cannot be read the registry decides without.
	auth, _ := command.RetrieveAuthTokenFromImage(config.LoadDefaultConfigFile(io.Discard), ref)
	event := progress.Event{ID: "Image " + ref, Text: "Asking its registry", Status: progress.Working}
	g.report(event)
	asking, cancel := context.WithTimeout(ctx, registryPatience)
	defer cancel()
	offer, err := g.engine.DistributionInspect(asking, ref, client.DistributionInspectOptions{EncodedRegistryAuth: auth})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	image := Image{Registry: answer(err)}
	for _, p := range offer.Platforms {
		if p.Architecture != "" && p.Architecture != "unknown" { // attestations are "unknown"
			image.Platforms = append(image.Platforms, platform(p.OS, p.Architecture))
		}
	}
	switch {
	case err != nil && asking.Err() != nil:
		image.Trouble = fmt.Sprintf("no answer within %s", registryPatience)
	case err != nil:
		image.Trouble = strings.TrimPrefix(strings.Join(strings.Fields(err.Error()), " "), "Error response from daemon: ")
	}
	event.Text, event.Detail, event.Status = "Not offered", string(image.Registry), progress.Failed
	if image.Registry == Offered {
		event.Text, event.Status = "Offered", progress.Done
	}
	g.report(event)
	g.learn(func(f *Facts) { f.Images[ref] = image })
	return nil
}

func answer(err error) Answer {
	switch {
	case err == nil:
		return Offered
	case errdefs.IsUnauthorized(err) || errdefs.IsPermissionDenied(err):
		return Denied
	case errdefs.IsNotFound(err):
		return NoSuchImage
	}
	return Unreachable
}

// volume learns whether one of the project's volumes exists.
func (g *gathering) volume(ctx context.Context, name string) error {
	found, err := g.engine.VolumeInspect(ctx, name, client.VolumeInspectOptions{})
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("inspecting volume %s: %w", name, err)
	}
	v := Volume{Project: found.Volume.Labels[api.ProjectLabel], Hash: found.Volume.Labels[api.ConfigHashLabel]}
	g.learn(func(f *Facts) { f.Volumes[name] = v })
	return nil
}

// variables are NAME=value pairs as a map.
func variables(pairs []string) map[string]string {
	m := map[string]string{}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		m[name] = value
	}
	return m
}

func tooOld(apiVersion string) bool {
	return apiVersion != "" && versions.LessThan(apiVersion, oldestAPI)
}
