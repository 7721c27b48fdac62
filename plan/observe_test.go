package plan_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/compose/v5/pkg/api"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/volume"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/plan"
)

// memory is an engine that only remembers: containers by ID, with the files in
// them as entries of an archive.
type memory struct {
	containers map[string]container.InspectResponse
	files      map[string]tar.Header
	networks   []string
	volumes    []string
	// listed are containers that are gone by the time one asks for them.
	listed []string
	// broken is the request that fails.
	broken string
}

func (m memory) fails(request string) error {
	if m.broken == request {
		return errors.New("out of order")
	}
	return nil
}

func (m memory) ContainerList(context.Context, client.ContainerListOptions) (client.ContainerListResult, error) {
	var list client.ContainerListResult
	for id, c := range m.containers {
		list.Items = append(list.Items, container.Summary{ID: id, ImageID: c.Image})
	}
	for _, id := range m.listed {
		list.Items = append(list.Items, container.Summary{ID: id})
	}
	return list, m.fails("containers")
}

func (m memory) ContainerInspect(_ context.Context, id string, _ client.ContainerInspectOptions) (client.ContainerInspectResult, error) {
	c, ok := m.containers[id]
	if !ok {
		return client.ContainerInspectResult{}, errdefs.ErrNotFound
	}
	return client.ContainerInspectResult{Container: c}, m.fails("inspect")
}

func (m memory) CopyFromContainer(_ context.Context, _ string, o client.CopyFromContainerOptions) (client.CopyFromContainerResult, error) {
	header, ok := m.files[o.SourcePath]
	if !ok {
		return client.CopyFromContainerResult{}, errdefs.ErrNotFound
	}
	content := []byte(header.Linkname)
	if header.Typeflag == tar.TypeReg {
		header.Linkname, header.Size = "", int64(len(content))
	} else {
		content = nil
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := errors.Join(w.WriteHeader(&header), second(w.Write(content)), w.Close()); err != nil {
		return client.CopyFromContainerResult{}, err
	}
	return client.CopyFromContainerResult{Content: io.NopCloser(&archive)}, m.fails("copy")
}

func second(_ int, err error) error { return err }

func (m memory) ImageInspect(_ context.Context, reference string, _ ...client.ImageInspectOption) (client.ImageInspectResult, error) {
	var r client.ImageInspectResult
	if reference != "known" {
		return r, fmt.Errorf("no such image: %w", errdefs.ErrNotFound)
	}
	r.ID = "sha256:known"
	return r, m.fails("image")
}

func (m memory) NetworkList(context.Context, client.NetworkListOptions) (client.NetworkListResult, error) {
	var list client.NetworkListResult
	for _, name := range m.networks {
		n := network.Summary{Network: network.Network{ID: "id-" + name, Name: name}}
		if strings.HasPrefix(name, "demo_") {
			n.Labels = map[string]string{api.ProjectLabel: "demo"}
		}
		list.Items = append(list.Items, n)
	}
	return list, m.fails("networks")
}

func (m memory) VolumeInspect(_ context.Context, name string, _ client.VolumeInspectOptions) (client.VolumeInspectResult, error) {
	if !slices.Contains(m.volumes, name) {
		return client.VolumeInspectResult{}, errdefs.ErrNotFound
	}
	return client.VolumeInspectResult{Volume: volume.Volume{Name: name}}, m.fails("volume")
}

func (m memory) ContainerStatPath(_ context.Context, _ string, o client.ContainerStatPathOptions) (client.ContainerStatPathResult, error) {
	header, ok := m.files[o.Path]
	if !ok {
		return client.ContainerStatPathResult{}, errdefs.ErrNotFound
	}
	stat := container.PathStat{Size: int64(len(header.Linkname)), Mtime: header.ModTime, Mode: header.FileInfo().Mode()}
	return client.ContainerStatPathResult{Stat: stat}, m.fails("stat")
}

// full is an engine with one of everything.
func full() memory {
	return memory{
		containers: map[string]container.InspectResponse{
			"b": inspected("/demo-b-2", "b", "2"), "a": inspected("/demo-b-1", "b", "1"), "c": inspected("/demo-a-1", "a", "1"),
		},
		files: map[string]tar.Header{
			"/plain":  {Typeflag: tar.TypeReg, Name: "plain", Linkname: "text"},
			"/folder": {Typeflag: tar.TypeDir, Name: "folder"},
			"/link":   {Typeflag: tar.TypeSymlink, Name: "link", Linkname: "/plain"},
		},
		networks: []string{"theirs", "demo_default", "asked"},
		volumes:  []string{"theirs", "asked"},
		listed:   []string{"vanished"},
	}
}

func inspected(name, service, number string) container.InspectResponse {
	return container.InspectResponse{
		ID: name, Name: name, Image: "known", Created: "2026-01-02T03:04:05.6Z", RestartCount: 3,
		State: &container.State{
			Status: container.StateExited, ExitCode: 137, OOMKilled: true,
			StartedAt: "2026-01-02T03:04:06Z", FinishedAt: "0001-01-01T00:00:00Z",
			Health: &container.Health{Status: container.Unhealthy},
		},
		Config: &container.Config{Image: "orchestrator:1", Labels: map[string]string{
			api.ServiceLabel: service, api.ContainerNumberLabel: number, api.ConfigHashLabel: "hash", api.ImageDigestLabel: "digest",
		}},
	}
}

var query = plan.Query{
	Project: "demo", Networks: []string{"asked"}, Volumes: []string{"asked", "absent"}, Images: []string{"known", "unknown"},
	Files: map[string][]plan.File{"a": {{Target: "/plain"}, {Target: "/folder"}, {Target: "/link"}, {Target: "/absent"}}},
}

func TestObserve(t *testing.T) {
	t.Parallel()
	o, err := plan.Observe(t.Context(), full(), query)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range o.Containers {
		names = append(names, c.Name)
	}
	if want := []string{"demo-a-1", "demo-b-1", "demo-b-2"}; !reflect.DeepEqual(names, want) {
		t.Errorf("containers %v, want %v", names, want)
	}
	c := o.Containers[0]
	if c.ExitCode != 137 || !c.OOMKilled || c.Health != container.Unhealthy || c.Restarts != 3 || c.Image != "orchestrator:1" ||
		c.ImageID != "known" || c.ConfigHash != "hash" || c.ImageDigest != "digest" || c.Number != 1 ||
		c.Created.Year() != 2026 || c.Started.Year() != 2026 || !c.Finished.IsZero() {
		t.Errorf("the container is %+v", c)
	}
	files := map[string]plan.Content{"/plain": plan.ContentOf("text"), "/folder": {}, "/link": {}, "/absent": {}}
	if !reflect.DeepEqual(c.Files, files) {
		t.Error("the files are not those of the container")
	}
	if len(o.Networks) != 2 || o.Networks[0].Name != "asked" || o.Networks[1].Name != "demo_default" {
		t.Errorf("networks %+v", o.Networks)
	}
	if len(o.Volumes) != 1 || o.Volumes[0].Name != "asked" {
		t.Errorf("volumes %+v", o.Volumes)
	}
	if len(o.Images) != 1 || o.Images["known"].ID != "sha256:known" {
		t.Errorf("images %+v", o.Images)
	}
}

func TestObserveSaysWhatFails(t *testing.T) {
	t.Parallel()
	for request, want := range map[string]string{
		"containers": "listing the containers of demo: out of order",
		"inspect":    "inspecting container ",
		"copy":       "reading /plain in container demo-a-1: out of order",
		"image":      "inspecting image known: out of order",
		"networks":   "listing networks: out of order",
		"volume":     "inspecting volume asked: out of order",
	} {
		engine := full()
		engine.broken = request
		if _, err := plan.Observe(t.Context(), engine, query); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", request, err, want)
		}
	}
}

func TestQueryFor(t *testing.T) {
	t.Parallel()
	project := load(t, `
services:
  a:
    image: one
    configs: [inline, {source: inline, target: /etc/x}, {source: inline, target: y}, empty, file]
    secrets: [word, {source: word, target: z}]
    volumes: ["data:/d"]
  b: {image: one}
configs: {inline: {content: text}, empty: {content: ""}, file: {file: ./f}}
secrets: {word: {environment: WORD}}
volumes: {data: {name: mine}}
`, map[string]string{"WORD": "hush"})
	q := plan.QueryFor(project)
	var targets []string
	for _, f := range q.Files["a"] {
		targets = append(targets, f.Target)
	}
	if want := []string{"/inline", "/etc/x", "/y", "/run/secrets/word", "/run/secrets/z"}; len(q.Files) != 1 || !slices.Equal(targets, want) {
		t.Errorf("files %v, want %v of a", q.Files, want)
	}
	q.Files = nil
	want := plan.Query{Project: "demo", Networks: []string{"demo_default"}, Volumes: []string{"mine"}, Images: []string{"one"}}
	if !reflect.DeepEqual(q, want) {
		t.Errorf("got  %+v\nwant %+v", q, want)
	}
}

// A file is read unless the container vouches for it, which it does for as long
// as nobody can have written another.
func TestFilesAreReadWhenTheyMustBe(t *testing.T) {
	t.Parallel()
	project := load(t, "services: {a: {image: known, configs: [plain]}}\nconfigs: {plain: {content: text}}", nil)
	for _, c := range []struct {
		name   string
		change func(*container.InspectResponse, *tar.Header)
		reads  int64
		want   plan.Content
	}{
		{"as it was made", nil, 0, plan.ContentOf("text")},
		{"made by another tool", func(c *container.InspectResponse, _ *tar.Header) { delete(c.Config.Labels, label) }, 1, plan.ContentOf("text")},
		{"a label nobody can read", func(c *container.InspectResponse, _ *tar.Header) { c.Config.Labels[label] = "{" }, 1, plan.ContentOf("text")},
		{"made with another text", func(c *container.InspectResponse, _ *tar.Header) { c.Config.Labels[label] = `{"/plain":"00000"}` }, 1, plan.ContentOf("text")},
		{"stopped and started again", func(c *container.InspectResponse, _ *tar.Header) { c.State.FinishedAt = "2026-01-02T04:00:00Z" }, 1, plan.ContentOf("text")},
		{"never started", func(c *container.InspectResponse, _ *tar.Header) { c.State.StartedAt = "0001-01-01T00:00:00Z" }, 1, plan.ContentOf("text")},
		{"of another size", func(_ *container.InspectResponse, h *tar.Header) { h.Linkname = "texts" }, 1, plan.ContentOf("texts")},
		{"written after the start", func(_ *container.InspectResponse, h *tar.Header) {
			h.Linkname, h.ModTime = "tent", h.ModTime.Add(time.Hour)
		}, 1, plan.ContentOf("tent")},
		{"older than the container", func(_ *container.InspectResponse, h *tar.Header) {
			h.Linkname, h.ModTime = "tent", h.ModTime.Add(-time.Hour)
		}, 1, plan.ContentOf("tent")},
		{"a folder now", func(_ *container.InspectResponse, h *tar.Header) { h.Typeflag = tar.TypeDir }, 1, plan.Content{}},
		{"gone", func(_ *container.InspectResponse, h *tar.Header) { *h = tar.Header{} }, 0, plan.Content{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			made := inspected("/demo-a-1", "a", "1")
			made.Created, made.State.FinishedAt, made.RestartCount = "2026-01-02T03:04:05.6Z", "0001-01-01T00:00:00Z", 0
			made.Config.Labels[label] = plan.Mark(project, plan.Program{}).Services["a"].CustomLabels[label]
			header := tar.Header{Typeflag: tar.TypeReg, Name: "plain", Linkname: "text", ModTime: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
			if c.change != nil {
				c.change(&made, &header)
			}
			engine := &counting{Engine: memory{containers: map[string]container.InspectResponse{"a": made}, files: map[string]tar.Header{"/" + header.Name: header}}}
			o, err := plan.Observe(t.Context(), engine, plan.QueryFor(project))
			if err != nil {
				t.Fatal(err)
			}
			if got := o.Containers[0].Files["/plain"]; got != c.want {
				t.Error("it is taken for something else than it is")
			}
			if got := engine.reads.Load(); got != c.reads {
				t.Errorf("it was read %d times, want %d", got, c.reads)
			}
		})
	}
}

// label is where the marks are; containers that exist carry it.
const label = "com.inmanta.docker.files"

// counting is an engine that counts how often files are read.
type counting struct {
	plan.Engine
	reads atomic.Int64
}

func (c *counting) CopyFromContainer(ctx context.Context, id string, o client.CopyFromContainerOptions) (client.CopyFromContainerResult, error) {
	c.reads.Add(1)
	return c.Engine.CopyFromContainer(ctx, id, o)
}

func TestMarkLeavesTheProjectAlone(t *testing.T) {
	t.Parallel()
	project := load(t, "services: {a: {image: a, configs: [c1]}, b: {image: b}}\nconfigs: {c1: {content: text}}", nil)
	marked := plan.Mark(project, plan.Program{})
	if _, ok := project.Services["a"].CustomLabels[label]; ok {
		t.Error("the project that was given has the mark, too")
	}
	if _, ok := marked.Services["b"].CustomLabels[label]; ok {
		t.Error("a service without files has a mark")
	}
	if got := marked.Services["a"].CustomLabels; got[label] != `{"/c1":"8ef1d"}` || got[api.ServiceLabel] != "a" {
		t.Errorf("the labels are %v", got)
	}
}
