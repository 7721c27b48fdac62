package image

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
)

// offline is the real engine on a machine without a registry, and without the
// official images and the base.
type offline struct{ Engine }

func (o offline) ImagePull(context.Context, string, client.ImagePullOptions) (client.ImagePullResponse, error) {
	return nil, errors.New(`Get "https://ghcr.io/v2/": dial tcp: lookup ghcr.io on 10.0.0.1:53: no such host`)
}

func (o offline) ImageInspect(ctx context.Context, ref string, options ...client.ImageInspectOption) (client.ImageInspectResult, error) {
	if slices.Contains([]string{"ghcr.io/inmanta/orchestrator:latest", "postgres:16", baseRef}, ref) {
		return client.ImageInspectResult{}, cerrdefs.ErrNotFound.WithMessage("No such image: " + ref)
	}
	return o.Engine.ImageInspect(ctx, ref, options...)
}

func TestEnsureWithoutARegistry(t *testing.T) {
	t.Parallel()
	orchestrator, database := images(t)
	cli := offline{engineOf(t)}
	official := Wanted{Orchestrator: "ghcr.io/inmanta/orchestrator:latest", PostgreSQL: "postgres:16"}
	stands, err := Ensure(t.Context(), cli, official, progress.Discard)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "what stands in", stands, Stands{Orchestrator: orchestrator, PostgreSQL: database, PostgreSQLVersion: "17"})

	official.HasVolumes = true
	stands, err = Ensure(t.Context(), cli, official, progress.Discard)
	problems := problem.In(err)
	if len(problems) != 2 || stands != (Stands{}) {
		t.Fatalf("with data: %+v, %v", stands, err)
	}
	for _, p := range problems {
		if p.ID != "registry-unreachable" || !strings.Contains(p.What, "no such host") || !strings.Contains(p.Fix, "docker load") {
			t.Errorf("it says %+v", p)
		}
	}
}

// unbuildable is an engine that has images of another content under our names,
// and cannot build.
type unbuildable struct{ offline }

func (u unbuildable) ImageList(context.Context, client.ImageListOptions) (client.ImageListResult, error) {
	return client.ImageListResult{}, nil
}

func (u unbuildable) ImageInspect(ctx context.Context, ref string, options ...client.ImageInspectOption) (client.ImageInspectResult, error) {
	if ref == baseRef {
		ref = PostgreSQL().Ref() // anything that is there
	}
	return u.offline.ImageInspect(ctx, ref, options...)
}

func (u unbuildable) ImageBuild(context.Context, io.Reader, client.ImageBuildOptions) (client.ImageBuildResult, error) {
	return client.ImageBuildResult{}, errors.New("temporary failure resolving deb.debian.org")
}

// A new release of the recipes must not take down what ran with the last one.
func TestEnsureKeepsWhatItCannotBuildAgain(t *testing.T) {
	t.Parallel()
	orchestrator, database := images(t)
	cli := unbuildable{offline{engineOf(t)}}
	var kept []string
	_, err := Ensure(t.Context(), cli, Wanted{Orchestrator: orchestrator, PostgreSQL: database}, func(event progress.Event) {
		if event.Status == progress.Warning {
			kept = append(kept, event.ID)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "what is kept", kept, []string{"image " + orchestrator, "image " + database})

	_, err = Ensure(t.Context(), cli, Wanted{Orchestrator: orchestrator[:len(orchestrator)-6] + "2026.4", PostgreSQL: database}, progress.Discard)
	if problems := problem.In(err); len(problems) != 2 {
		t.Errorf("with one that was never built: %v", err)
	}
}

func TestBaseIsBootstrapped(t *testing.T) {
	t.Parallel()
	cli := engineOf(t)
	machine, err := ask(t.Context(), cli)
	if err != nil {
		t.Fatal(err)
	}
	bootstrapper := func(report progress.Report) *builder {
		return &builder{machine: machine, engine: offline{cli}, name: testName(), report: report,
			host: surroundings{Mirror: debianMirror, Security: debianSecurity}}
	}
	left := func(b *builder, label string) string {
		t.Helper()
		found, err := b.newest(context.Background(), baseLabel, label)
		if err != nil {
			t.Fatal(err)
		}
		return found.ID
	}

	// Each has a label of its own, so that nobody else takes its base for theirs.
	t.Run("from a mirror that does not answer", func(t *testing.T) {
		t.Parallel()
		label := testName()
		b := bootstrapper(progress.Discard)
		b.host.Mirror = "http://127.0.0.1:1/debian"
		_, err := b.bootstrap(t.Context(), label)
		problems := problem.In(err)
		if len(problems) != 1 || problems[0].ID != "base-failed" || !strings.Contains(problems[0].What, "127.0.0.1:1") {
			t.Errorf("it ends with %v", err)
		}
		equal(t, "what is left", left(b, label), "")
	})
	t.Run("called off", func(t *testing.T) {
		t.Parallel()
		label := testName()
		ctx, cancel := context.WithCancel(t.Context())
		places := regexp.MustCompile(`using (/\S+) as tempdir`)
		var place string
		atWork := when("running apt-get update", cancel)
		b := bootstrapper(func(event progress.Event) {
			if m := places.FindStringSubmatch(event.Detail); m != nil {
				place = m[1]
			}
			atWork(event)
		})
		_, err := b.bootstrap(ctx, label)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v", err)
		}
		equal(t, "what is left", left(b, label), "")
		if _, err := os.Stat(place); place == "" || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q is left (%v)", place, err)
		}
	})
	t.Run("for a processor that is not this machine's", func(t *testing.T) {
		t.Parallel()
		b := bootstrapper(progress.Discard)
		b.architecture = "riscv64"
		if problems := problem.In(func() error { _, err := b.bootstrap(t.Context(), testName()); return err }()); problems[0].ID != "base-missing" {
			t.Errorf("it ends with %v", problems)
		}
	})
	t.Run("and taken away", func(t *testing.T) {
		t.Parallel()
		label := testName()
		b := bootstrapper(progress.Discard)
		id, err := b.bootstrap(t.Context(), label)
		if err != nil {
			t.Fatal(err)
		}
		remove := b.remover(t.Context(), id)
		t.Cleanup(remove)
		equal(t, "the base by its label", left(b, label), id)
		t.Run("in use", func(t *testing.T) {
			equal(t, "the release", script(t, cli, id, "", ". /etc/os-release; echo $VERSION_CODENAME"), "trixie")
		})
		remove()
		equal(t, "what is left", left(b, label), "")
	})
}
