package preflight

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/engine"
	"github.com/inmanta/inmanta-docker/progress"
)

// spy is the engine, noting what is done to it.
type spy struct {
	*engine.Engine
	spiedAPI
}

// API is the engine's client, spied upon.
func (s *spy) API() client.APIClient { return &s.spiedAPI }

type spiedAPI struct {
	client.APIClient
	created func()

	mu sync.Mutex
	// made and removed are containers, anonymous the volumes that their images made.
	made, removed, anonymous []string
	copies                   int
}

// spyOn the engine for one test, which also removes what is made and left by then.
func (s *site) spyOn() *spy {
	e := &spy{Engine: shared.engine, spiedAPI: spiedAPI{APIClient: s.api, created: func() {}}}
	s.Cleanup(func() {
		for _, id := range e.made {
			_, err := s.api.ContainerRemove(s.ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
			if err != nil && !errdefs.IsNotFound(err) {
				s.Error(err)
			}
		}
	})
	return e
}

func (s *spiedAPI) ContainerCreate(ctx context.Context, o client.ContainerCreateOptions) (client.ContainerCreateResult, error) {
	result, err := s.APIClient.ContainerCreate(ctx, o)
	if err != nil {
		return result, err
	}
	inspected, err := s.APIClient.ContainerInspect(ctx, result.ID, client.ContainerInspectOptions{})
	if err != nil {
		return result, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made = append(s.made, result.ID)
	for _, m := range inspected.Container.Mounts {
		if m.Destination == "/declared" {
			s.anonymous = append(s.anonymous, m.Name)
		}
	}
	s.created()
	return result, nil
}

func (s *spiedAPI) ContainerRemove(ctx context.Context, id string, o client.ContainerRemoveOptions) (client.ContainerRemoveResult, error) {
	s.mu.Lock()
	s.removed = append(s.removed, id)
	s.mu.Unlock()
	return s.APIClient.ContainerRemove(ctx, id, o)
}

func (s *spiedAPI) CopyFromContainer(ctx context.Context, id string, o client.CopyFromContainerOptions) (client.CopyFromContainerResult, error) {
	s.mu.Lock()
	s.copies++
	s.mu.Unlock()
	return s.APIClient.CopyFromContainer(ctx, id, o)
}

// database is a site with the database's volume, and in it a file; nothing else
// on the engine knows of it.
func database(t *testing.T, file, content string) (*site, string) {
	t.Helper()
	s := newSite(t, "")
	volume := s.project + "_inmanta-db-data"
	if _, err := s.api.VolumeCreate(s.ctx, client.VolumeCreateOptions{Name: volume}); err != nil {
		t.Fatal(err)
	}
	if file == "" {
		return s, volume
	}
	id := s.container("-writer", container.Config{}, mounting(volume, dataDirectory))
	defer s.remove(id)
	written, err := archive(file, []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.api.CopyToContainer(s.ctx, id, client.CopyToContainerOptions{DestinationPath: dataDirectory, Content: written}); err != nil {
		t.Fatal(err)
	}
	return s, volume
}

func mounting(volume, at string) container.HostConfig {
	return container.HostConfig{Mounts: []mount.Mount{{Type: mount.TypeVolume, Source: volume, Target: at}}}
}

// major gathers through e and fails unless this version is found.
func (s *site) major(e Engine, volume string, want int) {
	s.Helper()
	f, _ := s.gather(e)
	if f.Majors[volume] != want {
		s.Errorf("the database is version %d, want %d", f.Majors[volume], want)
	}
}

// leavesNothing fails when a container that was made, or a volume made with it,
// is still there.
func (s *site) leavesNothing(e *spy) {
	s.Helper()
	if len(e.made) == 0 || len(e.anonymous) != len(e.made) {
		s.Fatalf("made %d containers with %d volumes", len(e.made), len(e.anonymous))
	}
	for _, id := range e.made {
		if _, err := s.api.ContainerInspect(s.ctx, id, client.ContainerInspectOptions{}); !errdefs.IsNotFound(err) {
			s.Errorf("container %s is left (%v)", id, err)
		}
	}
	for _, name := range e.anonymous {
		if _, err := s.api.VolumeInspect(s.ctx, name, client.VolumeInspectOptions{}); !errdefs.IsNotFound(err) {
			s.Errorf("volume %s is left (%v)", name, err)
		}
	}
}

func TestVersionInAVolumeThatNoContainerHas(t *testing.T) {
	t.Parallel()
	s, volume := database(t, versionFile, "15\n")
	e := s.spyOn()
	s.major(e, volume, 15)
	s.leavesNothing(e)
	for file, content := range map[string]string{"": "", versionFile: "no number", "other": "15\n"} {
		s.clear()
		s, volume := database(t, file, content)
		e := s.spyOn()
		s.major(e, volume, 0)
		s.leavesNothing(e)
		if file == "" {
			if _, err := s.api.VolumeRemove(s.ctx, volume, client.VolumeRemoveOptions{}); err != nil {
				t.Errorf("the volume is still in use: %v", err)
			}
		}
	}
}

func TestVersionThroughAStoppedContainer(t *testing.T) {
	t.Parallel()
	s, volume := database(t, versionFile, "16\n")
	s.container("-stopped", container.Config{}, mounting(volume, "/elsewhere"))
	e := s.spyOn()
	s.major(e, volume, 16)
	if len(e.made)+len(e.removed) != 0 || e.copies != 1 {
		t.Errorf("made %v, removed %v, read %d files", e.made, e.removed, e.copies)
	}
}

// A database that serves is of its image's version: nothing is read then, which
// keeps an `up` with nothing to do quick.
func TestVersionOfADatabaseThatServes(t *testing.T) {
	t.Parallel()
	s, volume := database(t, versionFile, "16\n")
	health := &container.HealthConfig{Test: []string{"CMD", "/idle", "ok"}, Interval: 50 * time.Millisecond, Timeout: 10 * time.Second}
	id := s.container("-serving", container.Config{Healthcheck: health, Env: []string{"PG_MAJOR=14", "PGDATA=" + dataDirectory}}, mounting(volume, dataDirectory))
	s.start(id)
	s.healthy(id)
	e := s.spyOn()
	s.major(e, volume, 14)
	if len(e.made) != 0 || e.copies != 0 {
		t.Errorf("made %v, read %d files", e.made, e.copies)
	}
	// One that keeps its data elsewhere proves nothing about the volume.
	s.remove(id)
	id = s.container("-serving", container.Config{Healthcheck: health, Env: []string{"PG_MAJOR=14", "PGDATA=/data"}}, mounting(volume, dataDirectory))
	s.start(id)
	s.healthy(id)
	s.major(e, volume, 16)
}

func (s *site) healthy(id string) {
	s.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		answer, err := s.api.ContainerInspect(s.ctx, id, client.ContainerInspectOptions{})
		if err != nil {
			s.Fatal(err)
		}
		if h := answer.Container.State.Health; h != nil && h.Status == container.Healthy {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.Fatal("the container does not get healthy")
		}
	}
}

// A container left behind by a kill is used once more and then removed.
func TestLeftoversAreRemoved(t *testing.T) {
	t.Parallel()
	s, volume := database(t, versionFile, "13\n")
	id := s.container("-leftover", container.Config{Labels: map[string]string{lookLabel: volume}}, mounting(volume, lookAt))
	e := s.spyOn()
	s.major(e, volume, 13)
	if len(e.made) != 0 || !slices.Equal(e.removed, []string{id}) {
		t.Errorf("made %v, removed %v", e.made, e.removed)
	}
}

// Ctrl-C at the worst moment leaves nothing.
func TestInterruptedWhileLooking(t *testing.T) {
	t.Parallel()
	s, _ := database(t, versionFile, "15\n")
	ctx, interrupt := context.WithCancel(s.ctx)
	defer interrupt()
	e := s.spyOn()
	e.created = interrupt
	d, stack := s.open()
	_, failed := Gather(ctx, e, stack, d, progress.Discard)
	if len(failed) != 1 || !errors.Is(failed[0].Err, context.Canceled) {
		t.Errorf("interrupted, it says %v", failed)
	}
	s.leavesNothing(e)
}

func TestMajorIn(t *testing.T) {
	for content, want := range map[string]int{"16\n": 16, "9.6\n": 9, " 17 ": 17, "": 0, "-1": 0, "0": 0, "x": 0, "99999999": 0, "16 17": 0} {
		a, err := archive(versionFile, []byte(content))
		if err != nil {
			t.Fatal(err)
		}
		got, err := majorIn(a)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v; want %d", content, got, err, want)
		}
	}
}

// Whatever an engine sends, a version is a number above 0 or an error.
func FuzzMajorIn(f *testing.F) {
	for _, content := range []string{"16\n", "9.6", strings.Repeat("1", 1000)} {
		a, err := archive(versionFile, []byte(content))
		if err != nil {
			f.Fatal(err)
		}
		bytes, err := io.ReadAll(a)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes)
		f.Add(bytes[:600])
	}
	var directory bytes.Buffer
	w := tar.NewWriter(&directory)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: versionFile, Typeflag: tar.TypeDir}), w.Close()); err != nil {
		f.Fatal(err)
	}
	f.Add(directory.Bytes())
	f.Fuzz(func(t *testing.T, archive []byte) {
		major, err := majorIn(bytes.NewReader(archive))
		if (err == nil) != (major > 0) || major > 1<<16 {
			t.Fatalf("%d, %v", major, err)
		}
	})
}
