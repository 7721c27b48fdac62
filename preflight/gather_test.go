package preflight

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"
	specs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/inmanta/inmanta-docker/engine"
	"github.com/inmanta/inmanta-docker/progress"
)

// at is the engine that DOCKER_HOST names.
func at(t *testing.T, host string) *engine.Engine {
	t.Helper()
	t.Setenv("DOCKER_HOST", host)
	e, err := engine.Open(engine.Streams{Out: io.Discard, Err: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// What is wrong with the files is found also when no engine answers.
func TestGatherWithoutAnEngine(t *testing.T) {
	l := newLab(t).with("docker-compose.iso.yml")
	d, s := l.open()
	f, failed := Gather(context.Background(), at(t, "unix://"+l.dir+"/no.sock"), s, d, progress.Discard)
	if len(failed) != 1 || failed[0].ID != "engine-unreachable" {
		t.Errorf("problems %v", failed)
	}
	problems, _ := Check(d, s, f)
	l.expect("problem", problems,
		want{"licence-missing", "license/example.com.jwe", "no entitlement", ""},
		want{"licence-missing", "license/example.com.license", "no licence", ""})
}

func TestGatherFromAnOldEngine(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/_ping") {
			asked = append(asked, r.URL.Path)
		}
		w.Header().Set("Api-Version", "1.40")
	}))
	defer server.Close()
	l := newLab(t)
	d, s := l.open()
	f, failed := Gather(context.Background(), at(t, strings.Replace(server.URL, "http", "tcp", 1)), s, d, progress.Discard)
	l.expect("problem of asking", failed)
	problems, _ := Check(d, s, f)
	l.expect("problem", problems, want{"engine-too-old", "container engine", "1.40", "20.10"})
	if len(asked) > 0 {
		t.Errorf("it was asked for %v", asked)
	}
}

// offering is an engine behind which one registry answers in one way.
type offering struct {
	client.APIClient
	platforms []specs.Platform
	err       error
}

func (o offering) DistributionInspect(context.Context, string, client.DistributionInspectOptions) (client.DistributionInspectResult, error) {
	return client.DistributionInspectResult{DistributionInspect: registry.DistributionInspect{Platforms: o.platforms}}, o.err
}

func TestRegistry(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	for _, c := range []struct {
		offer offering
		want  Image
	}{
		{
			offering{platforms: []specs.Platform{
				{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm", Variant: "v7"}, {OS: "unknown", Architecture: "unknown"},
			}},
			Image{Registry: Offered, Platforms: []string{"linux/amd64", "linux/arm"}},
		},
		{offering{err: fmt.Errorf("log\n in: %w", errdefs.ErrUnauthenticated)}, Image{Registry: Denied, Trouble: "log in: unauthorized"}},
		{offering{err: errdefs.ErrPermissionDenied}, Image{Registry: Denied, Trouble: "permission denied"}},
		{offering{err: errdefs.ErrNotFound}, Image{Registry: NoSuchImage, Trouble: "not found"}},
		{offering{err: errors.New("no such host")}, Image{Registry: Unreachable, Trouble: "no such host"}},
	} {
		var told []string
		g := gathering{engine: c.offer, report: func(e progress.Event) { told = append(told, e.ID+" "+string(e.Status)) }}
		g.facts.Images = map[string]Image{}
		if err := g.registry(context.Background(), "registry.example/x:1"); err != nil {
			t.Fatal(err)
		}
		got := g.facts.Images["registry.example/x:1"]
		if got.Registry != c.want.Registry || got.Trouble != c.want.Trouble || !slices.Equal(got.Platforms, c.want.Platforms) {
			t.Errorf("%v: %+v, want %+v", c.offer.err, got, c.want)
		}
		// It may take seconds, so it is shown while it does.
		end := "failed"
		if c.offer.err == nil {
			end = "done"
		}
		if shown := []string{"Image registry.example/x:1 working", "Image registry.example/x:1 " + end}; !slices.Equal(told, shown) {
			t.Errorf("%v: told of %q, want %q", c.offer.err, told, shown)
		}
	}
}
