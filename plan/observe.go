package plan

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/containerd/errdefs"
	"github.com/docker/compose/v5/pkg/api"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"
)

// Engine is what Observe asks of the Docker client. All of it only reads. What
// does not exist is an error that errdefs.IsNotFound knows.
type Engine interface {
	ContainerList(context.Context, client.ContainerListOptions) (client.ContainerListResult, error)
	ContainerInspect(context.Context, string, client.ContainerInspectOptions) (client.ContainerInspectResult, error)
	ContainerStatPath(context.Context, string, client.ContainerStatPathOptions) (client.ContainerStatPathResult, error)
	CopyFromContainer(context.Context, string, client.CopyFromContainerOptions) (client.CopyFromContainerResult, error)
	ImageInspect(context.Context, string, ...client.ImageInspectOption) (client.ImageInspectResult, error)
	NetworkList(context.Context, client.NetworkListOptions) (client.NetworkListResult, error)
	VolumeInspect(context.Context, string, client.VolumeInspectOptions) (client.VolumeInspectResult, error)
}

// Query is what to look for, beside the containers and networks that carry the
// project's label.
type Query struct {
	// Project is the Compose project's name.
	Project string
	// Networks and Volumes are engine names, Images references.
	Networks, Volumes, Images []string
	// Files are to be found in the containers of each service.
	Files map[string][]File
}

// QueryFor asks for all that Make wants to know about a composed project.
func QueryFor(project *types.Project) Query {
	q := Query{Project: project.Name, Files: map[string][]File{}}
	for _, n := range project.Networks {
		q.Networks = append(q.Networks, n.Name)
	}
	for _, v := range project.Volumes {
		q.Volumes = append(q.Volumes, v.Name)
	}
	for name, s := range project.Services {
		q.Images = append(q.Images, api.GetImageNameOrDefault(s, project.Name))
		for _, f := range injections(project, s) {
			q.Files[name] = append(q.Files[name], f.File)
		}
	}
	slices.Sort(q.Images)
	q.Images = slices.Compact(q.Images)
	return q
}

// atOnce is how many requests the engine is given at a time.
const atOnce = 8

// Observe asks the engine what it has. Containers come ordered by service and
// number. What disappears while it looks is left out.
func Observe(ctx context.Context, engine Engine, q Query) (Observed, error) {
	o := Observed{Project: q.Project, Images: map[string]ImageFacts{}}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	var images sync.Mutex
	look := func(reference string) error {
		facts, err := imageFacts(ctx, engine, reference)
		if errdefs.IsNotFound(err) {
			return nil
		}
		images.Lock()
		defer images.Unlock()
		o.Images[reference] = facts
		return err
	}
	for _, reference := range q.Images {
		group.Go(func() error { return look(reference) })
	}
	group.Go(func() (err error) {
		o.Networks, err = networks(ctx, engine, q)
		return err
	})
	group.Go(func() (err error) {
		o.Volumes, err = volumes(ctx, engine, q)
		return err
	})
	group.Go(func() (err error) {
		o.Containers, err = containers(ctx, engine, q, look)
		return err
	})
	if err := group.Wait(); err != nil {
		return Observed{}, err
	}
	return o, nil
}

// containers are those of the project; look is called for the image of each.
func containers(ctx context.Context, engine Engine, q Query, look func(image string) error) ([]ObservedContainer, error) {
	list, err := engine.ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: make(client.Filters).
			Add("label", api.ProjectLabel+"="+q.Project).
			Add("label", api.ConfigHashLabel),
	})
	if err != nil {
		return nil, fmt.Errorf("listing the containers of %s: %w", q.Project, err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	looked := map[string]bool{}
	all := make([]ObservedContainer, len(list.Items))
	for i, summary := range list.Items {
		if !looked[summary.ImageID] {
			looked[summary.ImageID] = true
			group.Go(func() error { return look(summary.ImageID) })
		}
		group.Go(func() (err error) {
			all[i], err = observeContainer(ctx, engine, summary.ID, q.Files)
			if errdefs.IsNotFound(err) {
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(c ObservedContainer) bool { return c.ID == "" })
	slices.SortFunc(all, func(a, b ObservedContainer) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Name, b.Name))
	})
	return all, nil
}

func observeContainer(ctx context.Context, engine Engine, id string, files map[string][]File) (ObservedContainer, error) {
	result, err := engine.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return ObservedContainer{}, fmt.Errorf("inspecting container %.12s: %w", id, err)
	}
	c := containerFrom(result.Container)
	for _, f := range files[c.Service] {
		content, err := observeFile(ctx, engine, c, f)
		if err != nil && !errdefs.IsNotFound(err) {
			return ObservedContainer{}, fmt.Errorf("reading %s in container %s: %w", f.Target, c.Name, err)
		}
		c.Files[f.Target] = content
	}
	return c, nil
}

// observeFile identifies a file in a container, and reads it only if it must.
func observeFile(ctx context.Context, engine Engine, c ObservedContainer, f File) (Content, error) {
	if !c.vouches(f) {
		return readFile(ctx, engine, c.ID, f.Target)
	}
	found, err := engine.ContainerStatPath(ctx, c.ID, client.ContainerStatPathOptions{Path: f.Target})
	if err != nil {
		return Content{}, err
	}
	// Compose writes it between making and starting the container, and dates it
	// to the second; what has another date or size was changed by hand.
	date := found.Stat.Mtime
	if !found.Stat.Mode.IsRegular() || found.Stat.Size != f.size ||
		date.Before(c.Created.Truncate(time.Second)) || date.After(c.Started) {
		return readFile(ctx, engine, c.ID, f.Target)
	}
	return f.content, nil
}

// containerFrom is the engine's answer as plain data.
func containerFrom(r container.InspectResponse) ObservedContainer {
	c := ObservedContainer{
		ID: r.ID, Name: strings.TrimPrefix(r.Name, "/"), ImageID: r.Image, Restarts: r.RestartCount,
		Created: moment(r.Created), Mounts: r.Mounts, Files: map[string]Content{},
	}
	if r.State != nil {
		c.State, c.ExitCode, c.OOMKilled = r.State.Status, r.State.ExitCode, r.State.OOMKilled
		c.Started, c.Finished = moment(r.State.StartedAt), moment(r.State.FinishedAt)
		if r.State.Health != nil && r.State.Health.Status != container.NoHealthcheck {
			c.Health = r.State.Health.Status
		}
	}
	if r.Config != nil {
		c.Config, c.Image = *r.Config, r.Config.Image
		labels := r.Config.Labels
		c.Service = labels[api.ServiceLabel]
		c.Number, _ = strconv.Atoi(labels[api.ContainerNumberLabel])
		c.OneOff = labels[api.OneoffLabel] == "True"
		c.ConfigHash, c.ImageDigest = labels[api.ConfigHashLabel], labels[api.ImageDigestLabel]
		c.ComposeVersion = labels[api.VersionLabel]
	}
	if r.HostConfig != nil {
		c.Host = *r.HostConfig
	}
	if r.NetworkSettings != nil {
		c.Endpoints = r.NetworkSettings.Networks
	}
	return c
}

// moment reads the engine's time; its year 1 means never and is the zero time.
func moment(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// readFile identifies a file in a container, running or not. Anything that is
// no plain file has the zero Content.
func readFile(ctx context.Context, engine Engine, id, target string) (Content, error) {
	result, err := engine.CopyFromContainer(ctx, id, client.CopyFromContainerOptions{SourcePath: target})
	if err != nil {
		return Content{}, err
	}
	defer result.Content.Close()
	archive := tar.NewReader(result.Content)
	header, err := archive.Next()
	if err != nil {
		return Content{}, err
	}
	if header.Typeflag != tar.TypeReg || header.Name != path.Base(target) {
		return Content{}, nil
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, archive); err != nil {
		return Content{}, err
	}
	return Content{[sha256.Size]byte(hash.Sum(nil))}, nil
}

func imageFacts(ctx context.Context, engine Engine, reference string) (ImageFacts, error) {
	result, err := engine.ImageInspect(ctx, reference)
	if err != nil {
		return ImageFacts{}, fmt.Errorf("inspecting image %s: %w", reference, err)
	}
	facts := ImageFacts{ID: result.ID, Tagged: result.Metadata.LastTagTime}
	if c := result.Config; c != nil {
		facts.Env, facts.Cmd, facts.Entrypoint, facts.Labels = c.Env, c.Cmd, c.Entrypoint, c.Labels
		facts.User, facts.WorkingDir, facts.StopSignal = c.User, c.WorkingDir, c.StopSignal
		facts.ExposedPorts = slices.Sorted(maps.Keys(c.ExposedPorts))
		facts.Volumes = slices.Sorted(maps.Keys(c.Volumes))
		facts.Healthcheck = c.Healthcheck
	}
	return facts, nil
}

func networks(ctx context.Context, engine Engine, q Query) ([]ObservedNetwork, error) {
	list, err := engine.NetworkList(ctx, client.NetworkListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing networks: %w", err)
	}
	var found []ObservedNetwork
	for _, n := range list.Items {
		asked := slices.Contains(q.Networks, n.Name) || slices.Contains(q.Networks, n.ID)
		if asked || n.Labels[api.ProjectLabel] == q.Project {
			found = append(found, networkFrom(n.Network))
		}
	}
	slices.SortFunc(found, func(a, b ObservedNetwork) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
	return found, nil
}

func networkFrom(n network.Network) ObservedNetwork {
	o := ObservedNetwork{
		ID: n.ID, Name: n.Name, Driver: n.Driver, Labels: n.Labels, Options: n.Options,
		Internal: n.Internal, Attachable: n.Attachable, EnableIPv6: n.EnableIPv6,
	}
	for _, pool := range n.IPAM.Config {
		o.Subnets = append(o.Subnets, pool.Subnet.String())
	}
	return o
}

func volumes(ctx context.Context, engine Engine, q Query) ([]ObservedVolume, error) {
	var found []ObservedVolume
	for _, name := range slices.Sorted(slices.Values(q.Volumes)) {
		// One by one: to list them all takes the engine longer.
		v, err := engine.VolumeInspect(ctx, name, client.VolumeInspectOptions{})
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("inspecting volume %s: %w", name, err)
		}
		found = append(found, ObservedVolume{Name: v.Volume.Name, Driver: v.Volume.Driver, Labels: v.Volume.Labels, Options: v.Volume.Options})
	}
	return found, nil
}
