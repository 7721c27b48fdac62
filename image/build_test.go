package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
)

// small is a recipe that builds in no time, on the orchestrator's image. Its
// steps are the lines given, before what every recipe ends with.
func small(name string, steps ...string) Recipe {
	files := embedded(postgres)
	files["Dockerfile"] = []byte(`ARG BASE
FROM ${BASE} AS rootfs
USER root
ARG UNFINISHED=""
LABEL com.inmanta.docker.unfinished=${UNFINISHED}
COPY . /build/
` + strings.Join(steps, "\n") + `
FROM scratch
ARG UNFINISHED=""
LABEL com.inmanta.docker.unfinished=${UNFINISHED}
COPY --from=rootfs /etc /etc
`)
	return Recipe{name, "1", files}
}

// workshop builds small recipes: under a name of its own, so that what is left
// unfinished is known to be this test's. The returned base is what they start from.
func workshop(t testing.TB, engine Engine, report progress.Report) (b *builder, base string) {
	t.Helper()
	ref, _ := images(t)
	machine, err := ask(t.Context(), engine)
	if err != nil {
		t.Fatal(err)
	}
	found, err := engine.ImageInspect(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	host := surroundings{Mirror: debianMirror, Security: debianSecurity}
	return &builder{machine: machine, engine: engine, name: testName(), host: host, report: report}, found.ID
}

// forget removes the image of a recipe after the test.
func forget(t testing.TB, cli *client.Client, recipe Recipe) {
	t.Cleanup(func() {
		_, err := cli.ImageRemove(context.Background(), recipe.Ref(), client.ImageRemoveOptions{Force: true, PruneChildren: true})
		if err != nil && !cerrdefs.IsNotFound(err) {
			t.Errorf("removing %s: %v", recipe.Ref(), err)
		}
	})
}

// leftNothing checks that a build has named nothing and left nothing.
func leftNothing(t *testing.T, cli *client.Client, b *builder, recipe Recipe) {
	t.Helper()
	if there, err := exists(t.Context(), cli, recipe.Ref()); err != nil || there {
		t.Errorf("%s is there: %t (%v)", recipe.Ref(), there, err)
	}
	if containers, images := unfinished(t, cli, b.name); containers+images > 0 {
		t.Errorf("%d containers and %d images are left", containers, images)
	}
}

func unfinished(t *testing.T, cli *client.Client, name string) (containers, images int) {
	t.Helper()
	mine := client.Filters{}.Add("label", unfinishedLabel+"="+name)
	c, err := cli.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: mine})
	if err != nil {
		t.Fatal(err)
	}
	i, err := cli.ImageList(t.Context(), client.ImageListOptions{Filters: mine.Clone().Add("dangling", "true")})
	if err != nil {
		t.Fatal(err)
	}
	return len(c.Items), len(i.Items)
}

// when calls do once a build's output holds a text.
func when(text string, do func()) progress.Report {
	var once sync.Once
	return func(event progress.Event) {
		if strings.Contains(event.Detail, text) {
			once.Do(do)
		}
	}
}

func TestBuildIsKnownByItsContent(t *testing.T) {
	t.Parallel()
	cli := engineOf(t)
	name := testName()
	builds := &counting{Engine: cli}
	b, base := workshop(t, builds, progress.Discard)
	first := small(name, `RUN echo first >/etc/made`)
	forget(t, cli, first)
	build := func(recipe Recipe, options BuildOptions) string {
		t.Helper()
		recipes := []Recipe{recipe}
		if !options.Again {
			var err error
			if recipes, err = b.missing(t.Context(), recipes); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.on(t.Context(), base, recipes, options); err != nil {
			t.Fatal(err)
		}
		found, err := cli.ImageInspect(t.Context(), recipe.Ref())
		if err != nil {
			t.Fatal(err)
		}
		if containers, images := unfinished(t, cli, b.name); containers+images > 0 {
			t.Errorf("%d containers and %d images are left of a build that went well", containers, images)
		}
		return found.ID
	}

	id := build(first, BuildOptions{})
	equal(t, "builds of something new", builds.count, 1)
	build(first, BuildOptions{})
	equal(t, "builds of what is there", builds.count, 1)

	other := testName() + ":kept"
	if _, err := cli.ImageTag(t.Context(), client.ImageTagOptions{Source: id, Target: other}); err != nil {
		t.Fatal(err)
	}
	if _, err := cli.ImageRemove(t.Context(), first.Ref(), client.ImageRemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	equal(t, "the image that lost its name", build(first, BuildOptions{}), id)
	equal(t, "builds of what only lost its name", builds.count, 1)
	if _, err := cli.ImageRemove(t.Context(), other, client.ImageRemoveOptions{}); err != nil {
		t.Fatal(err)
	}

	second := build(small(name, `RUN echo second >/etc/made`), BuildOptions{})
	equal(t, "builds of another content under the same name", builds.count, 2)
	if second == id {
		t.Error("the name still is of the first content")
	}
	if _, err := cli.ImageInspect(t.Context(), id); !cerrdefs.IsNotFound(err) {
		t.Errorf("the image that was replaced is still there (%v)", err)
	}
	third := build(small(name, `RUN echo second >/etc/made`), BuildOptions{Again: true})
	equal(t, "builds when asked to build again", builds.count, 3)
	if third == second {
		t.Error("building again gave the same image: nothing was built")
	}
}

// counting is an engine that counts builds.
type counting struct {
	Engine
	count int
}

func (c *counting) ImageBuild(ctx context.Context, files io.Reader, options client.ImageBuildOptions) (client.ImageBuildResult, error) {
	c.count++
	return c.Engine.ImageBuild(ctx, files, options)
}

// The host's certificates and settings are there while building, and nowhere afterwards.
func TestBuildForgetsItsHost(t *testing.T) {
	t.Parallel()
	cli := engineOf(t)
	b, base := workshop(t, cli, progress.Discard)
	b.host = surroundings{
		Certificates: []byte("certificate-of-the-host\n"), PipConfig: []byte("pip-of-the-host\n"), AptProxy: "http://apt-of-the-host:1/",
		Environment: map[string]string{"PIP_INDEX_URL": "https://index-of-the-host/"},
		Mirror:      "http://mirror-of-the-host/debian", Security: debianSecurity,
	}
	recipe := small(testName(),
		`RUN . /build/environment && grep certificate-of-the-host "$PIP_CERT" && grep pip-of-the-host "$PIP_CONFIG_FILE"`,
		`RUN . /build/environment && [ "$PIP_INDEX_URL" = https://index-of-the-host/ ] && cp /build/debian.sources /etc/apt/sources.list.d/`,
		`RUN grep -q CAInfo /build/apt.conf && grep -q mirror-of-the-host /etc/apt/sources.list.d/debian.sources && sh /build/tidy.sh`)
	forget(t, cli, recipe)
	if err := b.on(t.Context(), base, []Recipe{recipe}, BuildOptions{}); err != nil {
		t.Fatal(err)
	}
	saved, err := cli.ImageSave(t.Context(), []string{recipe.Ref()})
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close()
	// Layers and configuration, as they would travel to another machine.
	everything, err := io.ReadAll(saved)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(everything), "URIs: "+debianMirror+"\n") {
		t.Fatal("this does not look into the layers at all")
	}
	if strings.Contains(string(everything), "of-the-host") {
		t.Error("something of the host is in the image")
	}
}

func TestFailedBuildSaysWhereAndWhy(t *testing.T) {
	t.Parallel()
	cli := engineOf(t)
	var mutex sync.Mutex
	var events []progress.Event
	b, base := workshop(t, cli, func(event progress.Event) {
		mutex.Lock()
		defer mutex.Unlock()
		events = append(events, event)
	})
	good, bad := small(testName()), small(testName(), `RUN seq 100 && echo "E: Unable to locate package nope" && exit 7`)
	forget(t, cli, good)
	err := b.on(t.Context(), base, []Recipe{bad, good}, BuildOptions{})
	problems := problem.In(err)
	if len(problems) != 1 {
		t.Fatalf("got %v", err)
	}
	p := problems[0]
	equal(t, "where", p.Where, "image "+bad.Ref())
	if !strings.Contains(p.What, "step 7 of 13 (RUN seq 100 ") || !strings.Contains(p.What, "code: 7") ||
		!strings.HasSuffix(p.What, "\n    99\n    100\n    E: Unable to locate package nope") {
		t.Errorf("it says %q", p.What)
	}
	leftNothing(t, cli, b, bad)
	if there, err := exists(t.Context(), cli, good.Ref()); err != nil || !there {
		t.Errorf("the one that builds is missing (%v)", err)
	}
	last := map[string]progress.Event{}
	for _, event := range events {
		last[event.ID] = event
		if event.Current > event.Total {
			t.Errorf("step %d of %d", event.Current, event.Total)
		}
	}
	equal(t, "the failed one's last event", last["image "+bad.Ref()].Status, progress.Failed)
	equal(t, "the good one's last event", last["image "+good.Ref()].Status, progress.Done)
}

func TestKilledBuildLeavesNothing(t *testing.T) {
	t.Parallel()
	const busy = `RUN echo "at work" && sleep 600`

	t.Run("called off", func(t *testing.T) {
		t.Parallel()
		cli := engineOf(t)
		ctx, cancel := context.WithCancel(t.Context())
		b, base := workshop(t, cli, when("at work", cancel))
		recipe := small(testName(), `RUN echo layer >/etc/layer`, busy)
		if err := b.on(ctx, base, []Recipe{recipe}, BuildOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v", err)
		}
		leftNothing(t, cli, b, recipe)
	})
	t.Run("the connection is lost", func(t *testing.T) {
		t.Parallel()
		cli := engineOf(t)
		var mutex sync.Mutex
		var open []net.Conn
		breakable := engineOf(t, client.WithDialContext(func(ctx context.Context, _, _ string) (net.Conn, error) {
			connection, err := cli.Dialer()(ctx)
			mutex.Lock()
			defer mutex.Unlock()
			open = append(open, connection)
			return connection, err
		}))
		b, base := workshop(t, breakable, when("at work", func() {
			mutex.Lock()
			defer mutex.Unlock()
			for _, connection := range open {
				connection.Close()
			}
		}))
		recipe := small(testName(), `RUN echo layer >/etc/layer`, busy)
		problems := problem.In(b.on(t.Context(), base, []Recipe{recipe}, BuildOptions{}))
		if len(problems) != 1 || problems[0].ID != "image-build-failed" {
			t.Errorf("it ends with %v", problems)
		}
		leftNothing(t, cli, b, recipe)
	})
	t.Run("the process is killed", func(t *testing.T) {
		t.Parallel()
		cli := engineOf(t)
		name := testName()
		b, base := workshop(t, cli, progress.Discard)
		b.name = name
		child := exec.Command(os.Args[0], "-test.run=^TestBuildInAnotherProcess$")
		child.Env = append(os.Environ(), "IMAGE_TEST_BUILD="+name+" "+base)
		output, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = child.Process.Kill() }()
		found := errors.New("found")
		_, err = io.Copy(writerFunc((&untilLine{text: "at work", then: found}).Write), output)
		if !errors.Is(err, found) {
			t.Fatalf("the other process never got to work (%v)", err)
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
		recipe := small(name)
		if there, err := exists(t.Context(), cli, recipe.Ref()); err != nil || there {
			t.Errorf("%s is there: %t (%v)", recipe.Ref(), there, err)
		}
		// It could not sweep; the same builder's next build does, whatever it builds.
		next := small(testName())
		forget(t, cli, next)
		if err := b.on(t.Context(), base, []Recipe{next}, BuildOptions{}); err != nil {
			t.Fatal(err)
		}
		leftNothing(t, cli, b, recipe)
	})
}

// untilLine gives up with an error once a line holds a text.
type untilLine struct {
	lineWriter
	text string
	then error
}

func (u *untilLine) Write(p []byte) (int, error) {
	var found bool
	u.take = func(line string) { found = found || strings.Contains(line, u.text) }
	n, err := u.lineWriter.Write(p)
	if found {
		return n, u.then
	}
	return n, err
}

// TestBuildInAnotherProcess is the process that TestKilledBuildLeavesNothing
// kills; on its own it does nothing.
func TestBuildInAnotherProcess(t *testing.T) {
	name, base, is := strings.Cut(os.Getenv("IMAGE_TEST_BUILD"), " ")
	if !is {
		return
	}
	b, _ := workshop(t, engineOf(t), func(event progress.Event) { fmt.Println(event.Detail) })
	b.name = name
	recipe := small(name, `RUN echo layer >/etc/layer`, `RUN echo "at work" && sleep 600`)
	t.Fatal(b.on(t.Context(), base, []Recipe{recipe}, BuildOptions{}))
}

func TestTwoBuildsAtOnceAreOne(t *testing.T) {
	t.Parallel()
	images(t)
	usual, err := Orchestrator("")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	builds := &counting{Engine: engineOf(t)}
	for range 4 {
		group.Go(func() {
			if err := Build(t.Context(), builds, []Recipe{usual, PostgreSQL()}, BuildOptions{}, progress.Discard); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	equal(t, "builds of what is there", builds.count, 0)
}
